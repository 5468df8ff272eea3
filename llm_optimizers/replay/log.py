"""Read a log of requests: one OpenAI chat request per line, as JSON, plain or gzipped.

Besides the fields of the request, a line may have:

    response        the answer: a text, or an OpenAI completion object
    tenant          the tenant that sent it
    time            when it was sent, ISO 8601
    answer_class    requests of one class have the same right answer (also `answer_id`,
                    `intent`); needed to count wrong hits
    background      true if the answer may come a day later
    evidence        words in the request that the answer depends on
    cheap_response, cheap_correct   a cheap model's answer, and whether it was as good; without
                    them, answers of a request that is routed to a cheap model are not judged

Other fields that the API does not have are not sent; `Log.unknown_fields` lists them. A line with
`prompt` or `text` instead of `messages` is one user message.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from llm_optimizers.connections.paths import file_path, opened_to_read
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.text.json_lines import json_lines, opened_lines
from llm_optimizers.types import ChatRequest

__all__ = ["BadLine", "Log", "LoggedRequest", "parse_log", "read_log"]

_CLASSES = ("answer_class", "answer_id", "intent")
_OURS = frozenset(
    {"id", "response", "tenant", "time", "feature", "background", "evidence", "split"}
    | {"cheap_response", "cheap_correct", "prompt", "text", *_CLASSES}
)
_NAME = re.compile(r"[!-~]{1,40}")
_SETTINGS = frozenset({"stream", *CompletionCreateParamsBase.__annotations__})
"""The fields of a chat request that the SDK accepts."""
MODEL = "gpt-4o"
"""The model of requests without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request of a log; `answer_class` is "" and `response` None if the log has none.

    `cheap_known` says whether the log tells what a cheap model would have answered.
    """

    id: str
    request: ChatRequest
    response: str | None = None
    tenant: str = ""
    feature: str = ""
    answer_class: str = ""
    background: bool = False
    cheap_response: str | None = None
    cheap_correct: bool = True
    cheap_known: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A skipped line: its number, counted from 1, and the reason."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The requests of a log in order, the lines that were skipped, and the fields not sent."""

    requests: tuple[LoggedRequest, ...]
    bad_lines: tuple[BadLine, ...] = ()
    unknown_fields: frozenset[str] = frozenset()


def read_log(path: str | os.PathLike[str], limit: int | None = None) -> Log:
    """Read a log file; malformed lines are skipped and listed in `Log.bad_lines`.

    Raises:
        ConfigurationError: the file cannot be read, or holds no request.
    """
    path = file_path("path", path)
    with opened_to_read(path), opened_lines(path) as lines:
        log = parse_log(lines, limit)
    if not log.requests:
        first = [f" (line {bad.number}: {bad.reason})" for bad in log.bad_lines[:1]]
        raise ConfigurationError(
            f"{path} holds no request{''.join(first)}; a line looks like"
            ' {"model": "gpt-4o", "messages": [{"role": "user", "content": "…"}]}'
        )
    return log


def parse_log(lines: Iterable[bytes], limit: int | None = None) -> Log:
    """Parse the lines of a log, up to `limit` requests; malformed lines are skipped and listed."""
    requests: list[LoggedRequest] = []
    bad: list[BadLine] = []
    names: set[str] = set()
    unknown_fields: set[str] = set()
    for line in json_lines(lines):
        if limit is not None and len(requests) >= limit:
            break
        try:
            raw = line.read()
            requests.append(_request(_name(raw, line.number, names), raw))
            unknown_fields.update(raw.keys() - _SETTINGS - _OURS)
        except UnicodeError:
            bad.append(BadLine(number=line.number, reason="not UTF-8 text"))
        except (ConfigurationError, ValueError) as error:
            bad.append(BadLine(number=line.number, reason=str(error)))
    return Log(
        requests=tuple(requests),
        bad_lines=tuple(bad),
        unknown_fields=frozenset(unknown_fields),
    )


def _name(raw: Any, number: int, names: set[str]) -> str:
    """Return the line's id if it is unique and fits in an HTTP header, else its line number."""
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
    # Half of a surrogate pair is valid JSON but cannot be sent as UTF-8.
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
        cheap_known="cheap_correct" in raw or "cheap_response" in raw,
        evidence=str(raw.get("evidence") or ""),
    )


def _text(response: Any) -> str | None:
    """Return the text of a logged answer: a string, or the first choice of a completion."""
    if response is None or isinstance(response, str):
        return response
    try:
        content = response["choices"][0]["message"]["content"]
    except (LookupError, TypeError) as error:
        raise ConfigurationError(
            "`response` must be a text or a completion with choices[0].message.content"
        ) from error
    return content if isinstance(content, str) else None
