"""Reads a log of requests: one OpenAI chat request a line, as JSON, plain or gzipped.

Besides the request's own fields a line may have:

    response        the answer: a text, or OpenAI's completion object
    tenant          whose request it is
    time            when it was made, ISO 8601
    answer_class    two requests of one class have the same right answer (also `answer_id`,
                    `intent`); with it wrong hits can be counted
    background      true where the answer may come a day later
    evidence        words of the request that its answer rests on
    cheap_response, cheap_correct   what a cheap model answered, and whether that was as good

Other fields that are no settings of the API are not sent; `Log.unknown_fields` names them. A line
with a `prompt` or `text` instead of `messages` is a question by itself.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest

__all__ = ["BadLine", "Log", "LoggedRequest", "parse_log", "read_log"]

_CLASSES = ("answer_class", "answer_id", "intent")
_OURS = frozenset(
    {"id", "response", "tenant", "time", "feature", "background", "evidence", "split"}
    | {"cheap_response", "cheap_correct", "prompt", "text", *_CLASSES}
)
_GZIP = b"\x1f\x8b"
_NAME = re.compile(r"[!-~]{1,40}")
_SETTINGS = frozenset({"stream", *CompletionCreateParamsBase.__annotations__})
"""A chat request's fields, as the SDK knows them; it refuses to send others."""
MODEL = "gpt-4o"
"""The model of requests that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request of a log; `answer_class` "" and `response` None where the log has none."""

    id: str
    request: ChatRequest
    response: str | None = None
    tenant: str = ""
    feature: str = ""
    answer_class: str = ""
    background: bool = False
    cheap_response: str | None = None
    cheap_correct: bool = True
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that was skipped, by its number from 1, and what is wrong with it."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The requests of a log in its order, the lines that were none, and the fields not understood.

    `unknown_fields` are names beside a request's that are neither ours nor settings of the API.
    """

    requests: tuple[LoggedRequest, ...]
    bad_lines: tuple[BadLine, ...] = ()
    unknown_fields: frozenset[str] = frozenset()


def read_log(path: Path, limit: int | None = None) -> Log:
    """Read a log; malformed lines are skipped and listed by number.

    Raises:
        ConfigurationError: the file cannot be read, or no line of it is a request.
    """
    try:
        with _open(path) as lines:
            log = parse_log(lines, limit)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not log.requests:
        first = [f" (line {bad.number}: {bad.reason})" for bad in log.bad_lines[:1]]
        raise ConfigurationError(
            f"{path} has no request{''.join(first)}; a line looks like"
            ' {"model": "gpt-4o", "messages": [{"role": "user", "content": "…"}]}'
        )
    return log


@contextmanager
def _open(path: Path) -> Iterator[Iterable[bytes]]:
    """The file's lines, unpacked if they are gzipped, whatever the file is called."""
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def parse_log(lines: Iterable[bytes], limit: int | None = None) -> Log:
    """Read a log's lines, up to `limit` requests; malformed ones are skipped and listed."""
    requests: list[LoggedRequest] = []
    bad: list[BadLine] = []
    names: set[str] = set()
    unknown_fields: set[str] = set()
    for number, line in _numbered(lines):
        if limit is not None and len(requests) >= limit:
            break
        try:
            raw = json.loads(line.decode("utf-8"), parse_constant=_no_number)
            requests.append(_request(_name(raw, number, names), raw))
            unknown_fields.update(raw.keys() - _SETTINGS - _OURS)
        except json.JSONDecodeError as error:
            bad.append(BadLine(number=number, reason=f"no JSON: {error.msg}"))
        except RecursionError:
            bad.append(BadLine(number=number, reason="nested too deep"))
        except UnicodeError:
            bad.append(BadLine(number=number, reason="not UTF-8 text"))
        except (ConfigurationError, ValueError) as error:
            bad.append(BadLine(number=number, reason=str(error)))
    return Log(
        requests=tuple(requests),
        bad_lines=tuple(bad),
        unknown_fields=frozenset(unknown_fields),
    )


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, from 1; a byte order mark is no part of the first."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if text.strip():
            yield number, text


def _no_number(name: str) -> float:
    raise ConfigurationError(f"no JSON: {name} is no number of JSON")


def _name(raw: Any, number: int, names: set[str]) -> str:
    """The line's own id if it can name one request alone, in a header too; else its number."""
    given = raw.get("id") if isinstance(raw, Mapping) else None
    name = given if isinstance(given, str) and _NAME.fullmatch(given) else f"line-{number}"
    while name in names:
        name = f"{name}-line-{number}"
    names.add(name)
    return name


def _request(name: str, raw: Any) -> LoggedRequest:
    if not isinstance(raw, Mapping):
        raise ConfigurationError("not an object")
    body = {key: value for key, value in raw.items() if key in _SETTINGS}
    question = raw.get("prompt", raw.get("text"))
    if "messages" not in body and isinstance(question, str):
        body["messages"] = [{"role": "user", "content": question}]
    body["model"] = str(body.get("model") or MODEL)
    # Half of a surrogate pair is JSON, but no text that could be sent.
    json.dumps(body, ensure_ascii=False).encode()
    tenant = str(raw.get("tenant") or "")
    classes = [str(raw[name]) for name in _CLASSES if raw.get(name) is not None]
    return LoggedRequest(
        id=name,
        request=ChatRequest.from_openai(body),
        response=_text(raw.get("response")),
        tenant=tenant,
        feature=str(raw.get("feature") or ""),
        answer_class=classes[0] if classes else "",
        background=raw.get("background") is True,
        cheap_response=_text(raw.get("cheap_response")),
        cheap_correct=raw.get("cheap_correct") is not False,
        evidence=str(raw.get("evidence") or ""),
    )


def _text(response: Any) -> str | None:
    """The text of a logged answer: a string, or the first choice of a completion."""
    if response is None or isinstance(response, str):
        return response
    try:
        content = response["choices"][0]["message"]["content"]
    except (LookupError, TypeError) as error:
        raise ConfigurationError(
            "`response` must be a text or a completion with choices[0].message.content"
        ) from error
    return content if isinstance(content, str) else None
