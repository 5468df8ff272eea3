"""What a use of a model gave: its answer, the provider's requests, the callbacks; as plain data.

Only what no two calls of one model share is left out: ids, times, addresses in memory; and the
marks that the wrappers promise: a hit's `cache_hit` and `total_cost`, a router's `llm_optimizers`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from pydantic import BaseModel

__all__ = ["OTHER_MODEL", "AsyncRecorder", "Chunks", "Recorder", "Seen", "plain", "whole"]

_IDS = re.compile(
    r"(?:lc_run-+|lc_|run-+)?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:-\d+)?"
    r"|(?:chatcmpl|resp)[-_]\d+|\bcall_\w+|cache=<[^>]*>| at 0x[0-9a-f]+|127\.0\.0\.1:\d+"
)
_MARKS = {"cache_hit", "total_cost", "llm_optimizers"}
OTHER_MODEL = "gpt-4o"
"""The name of the model beside the one in question, for example its fallback."""
_TOKENS = {"on_llm_new_token", "on_stream_event"}
_TIMES = {"start_time", "end_time", "dotted_order", "time", "date", "revision_id", "process_rss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One use of a model, as plain data."""

    answer: Any
    requests: list[Any]
    events: list[Any]

    def compared(
        self, known: Seen, *, at_once: bool, hit: bool, never: Collection[str]
    ) -> dict[str, str]:
        """Return the parts that differ from those of the bare model, with details.

        On a hit no request is made, but those of the models beside the cached one. `never` are
        names of entries that such a wrapper never has.
        """
        mine = [self.answer, self.requests, self.events]
        bare = [known.answer, known.requests, known.events]
        for seen in (mine, bare):
            if hit:
                seen[0] = without_chunks(seen[0])
                seen[2] = without_chunks(with_tokens_merged(seen[2]))
            seen[0], seen[2] = without(never, seen[0]), without(never, seen[2])
            if at_once:
                seen[1:] = [sorted(seen[1]), as_trees(seen[2])]
        if hit:
            bare[1] = [each for each in known.requests if OTHER_MODEL in each]
        parts = zip(("answer", "requests", "events"), mine, bare, strict=True)
        found = {part: "\n".join(differences(one, other)) for part, one, other in parts}
        return {part: details for part, details in found.items() if details}


class Chunks(list[Any]):
    """A stream's chunks, which a hit may cut at other places."""


def plain(value: Any) -> Any:
    """Return a value as plain data that can be compared."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _without_ids(value)
    if type(value) is dict:
        return _entries(value)
    if isinstance(value, UUID):
        return "<id>"
    if isinstance(value, type):
        return f"class {value.__name__}"
    if isinstance(value, Chunks):
        return Chunks(plain(each) for each in value)
    if isinstance(value, BaseException):
        return type(value).__name__, plain(list(value.args))
    if isinstance(value, BaseModel):
        return type(value).__name__, _entries(dict(_fields_of(value)))
    if is_dataclass(value):
        return type(value).__name__, _entries(
            {f.name: getattr(value, f.name) for f in fields(value)}
        )
    if isinstance(value, Mapping):
        return _entries(value)
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(plain, value)))
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(each) for each in value]
    return _without_ids(repr(value))


@lru_cache(maxsize=10_000)
def _without_ids(text: str) -> str:
    return _IDS.sub("<id>", text)


def _fields_of(value: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in type(value).model_fields:
        yield name, getattr(value, name)
    yield from (value.model_extra or {}).items()


def _entries(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(plain(name)): plain(each)
        for name, each in value.items()
        if name not in _MARKS and name not in _TIMES
    }


def without_chunks(value: Any) -> Any:
    """Return plain data in which a stream's chunks are one text: a hit is cut at other places.

    What a provider says beside its last chunk is cut down to what a hit knows.
    """
    if isinstance(value, Chunks):
        return _text_of(value)
    if isinstance(value, dict):
        return {
            name: _entry(name, each) for name, each in value.items() if name != "chunk_position"
        }
    if isinstance(value, list | tuple):
        return type(value)(without_chunks(each) for each in value)
    return value


def _entry(name: str, value: Any) -> Any:
    if name == "generation_info" and isinstance(value, dict):
        return {known: value[known] for known in ("finish_reason", "logprobs") if known in value}
    return without_chunks(value)


def without(names: Collection[str], value: Any) -> Any:
    """Return plain data without the entries of these names."""
    if not names:
        return value
    if isinstance(value, dict):
        return {name: without(names, each) for name, each in value.items() if name not in names}
    if isinstance(value, list | tuple):
        return type(value)(without(names, each) for each in value)
    return value


def with_tokens_merged(events: Sequence[Any]) -> list[Any]:
    """Return a recording in which consecutive tokens of a run are one event."""
    kept: list[Any] = []
    for (_, token), group in groupby(events, key=lambda e: (e[0], e[2] in _TOKENS)):
        of_run = list(group)
        if token:
            run, parent, method, _, about = of_run[0]
            text = _text_of([args for _, _, _, args, _ in of_run])
            kept.append((run, parent, method, text, {"tags": about.get("tags")}))
        else:
            kept += of_run
    return kept


def as_trees(events: Sequence[Any]) -> list[Any]:
    """Return a recording as trees of runs, siblings in a fixed order: they ran at the same time."""
    own: dict[Any, list[Any]] = {}
    below: dict[Any, list[int]] = {}
    for run, parent, *rest in events:
        if run not in own:
            below.setdefault(parent, []).append(run)
        own.setdefault(run, []).append(rest)

    def tree(run: int) -> Any:
        return own[run], sorted((tree(each) for each in below.get(run, ())), key=repr)

    return sorted((tree(run) for run in below.get(None, ())), key=repr)


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield where plain data differ, and how."""
    if type(one) is not type(other):
        yield f"{place}: {one!r:.200} is not {other!r:.200}"
    elif isinstance(one, dict):
        for name in {**one, **other}:
            if name in one and name in other:
                yield from differences(one[name], other[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: {one.get(name)!r:.200} is not {other.get(name)!r:.200}"
    elif isinstance(one, list | tuple) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{at}]")
    elif one != other:
        yield f"{place}: {one!r:.400} is not {other!r:.400}"


def _text_of(parts: Sequence[Any]) -> str:
    """Return all the text in chunks or token events."""
    return "".join(_texts(list(parts)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(value.get("content") or value.get("text") or value.get("chunk") or "")
    elif isinstance(value, tuple):
        yield from _texts(value[1])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def whole(chunks: Sequence[Any]) -> Any:
    """Return the sum of a stream's chunks."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


class _Recording:
    """Records each call of a handler's methods: its name, its run and its arguments."""

    ran: list[Any]
    runs: dict[Any, int]

    def record(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        run, parent = kwargs.get("run_id"), kwargs.get("parent_run_id")
        number = self.runs.setdefault(run, len(self.runs))
        rest = {k: v for k, v in kwargs.items() if k not in ("run_id", "parent_run_id")}
        self.ran.append((number, self.runs.get(parent), method, plain(list(args)), plain(rest)))


_METHODS = [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]


def _recorder(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> None:
        self.record(name, args, kwargs)

    return method


def _async_recorder(name: str) -> Any:
    async def method(self: Any, *args: Any, **kwargs: Any) -> None:
        self.record(name, args, kwargs)

    return method


class Recorder(_Recording, BaseCallbackHandler):
    """A synchronous handler."""

    run_inline = True

    def __init__(self) -> None:
        self.ran, self.runs = [], {}


class AsyncRecorder(_Recording, AsyncCallbackHandler):
    """An asynchronous handler."""

    def __init__(self) -> None:
        self.ran, self.runs = [], {}


for _name in _METHODS:
    setattr(Recorder, _name, _recorder(_name))
    setattr(AsyncRecorder, _name, _async_recorder(_name))
