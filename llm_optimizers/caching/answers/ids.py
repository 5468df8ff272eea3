"""The ids of a served answer: which are new, which stay, and which are left out.

A provider rejects two tool calls with one id, so an answer that is served twice gets new ids, and
whatever names an id or is filed under it moves along. Two kinds of ids cannot change: those that a
provider signs, and those of what it keeps. OpenAI looks up the reasoning `rs_…` under its id and
requires the item that followed it, so such ids stay together, or go together: once the answer
stands for another question, or is so old that the provider may have deleted them, it is served
without them, and stands for itself.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from llm_optimizers.settings.provider_state import holds_reference

__all__ = [
    "ServedIds",
    "call_ids",
    "copy_with_new_ids",
    "ids_of_hit",
    "lies_at_provider",
    "new_id",
    "without_provider_items",
]

ServedIds: TypeAlias = Literal["kept", "renewed", "detached"]
"""`kept`: all as the provider gave them. `renewed`: new ids for tool calls, unless the whole
answer can be referred to at the provider. `detached`: new ids for tool calls, and nothing that
refers to the provider's copy of the answer."""

_RETENTION = 29 * 24 * 3600.0
"""Seconds for which an answer surely lies at its provider. OpenAI keeps responses for 30 days:
https://platform.openai.com/docs/guides/your-data"""

_ALPHABET = string.ascii_letters + string.digits
_SHORTEST = 9
_SIGNATURE = "__thought__"
"""LiteLLM appends Gemini's signature of a call to the call's id after this mark."""
_USER_DATA = frozenset({"args", "arguments", "input", "tool_kwargs", "parsed"})
"""Fields that hold tool arguments or parsed output."""
_TEXTS = frozenset(
    {
        *("text", "content", "thinking", "reasoning", "refusal", "output", "transcript"),
        *("name", "tool_name", "title", "cited_text", "query", "queries"),
    }
)
"""Fields that hold words, where a string that is equal to an id is none."""
_ID_FIELD = re.compile(r"(?:^|_)ids?$|[a-z]Ids?$")
_CALL_ID_FIELDS = frozenset({"call_id", "tool_use_id", "toolUseId", "tool_call_id"})
_CALL_TYPES = frozenset(
    {
        *("tool_call", "tool_call_chunk", "invalid_tool_call", "function"),
        *("tool_use", "server_tool_use", "mcp_tool_use", "server_tool_call"),
    }
)
_ITEM = re.compile(r"(?:resp|rs|msg|fc|ctc)_\w+")
"""The ids of OpenAI's responses and of the items in them that can do without."""
_KEPT = re.compile(r"(?:rs|ws|fs)_")


def ids_of_hit(*, same: bool, keeps_ids: bool, age: float) -> ServedIds:
    """Return which ids a hit has.

    `same` says that the answer is for the very request, not for one like it; `keeps_ids` that the
    request continues a response at the provider; `age` is the answer's in seconds.
    """
    if not same:
        return "detached"
    if keeps_ids:
        return "kept"
    return "renewed" if age < _RETENTION else "detached"


def new_id(old: str) -> str:
    """Return a random id with the old one's prefix, length and signature, which providers check.

    A random part under 9 characters is lengthened to 9, so that ids do not collide.
    """
    name, mark, signature = old.partition(_SIGNATURE)
    prefix, underscore, rest = name.rpartition("_")
    length = max(len(rest), _SHORTEST)
    random = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    return prefix + underscore + random + mark + signature


def call_ids(answer: Any) -> set[str]:
    """Return the ids of the tool calls in an answer, a JSON value; not those in arguments."""
    return set(_call_ids(answer))


def _call_ids(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _call_ids(item)
    if not isinstance(value, dict):
        return
    kind = value.get("type")
    call = isinstance(kind, str) and kind in _CALL_TYPES
    for name, item in value.items():
        if isinstance(item, str):
            if item and (name in _CALL_ID_FIELDS or (call and name == "id")):
                yield item
        elif name not in _USER_DATA:
            yield from _call_ids(item)


def copy_with_new_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a deep copy of a JSON value, with ids replaced where they are values and keys.

    Tool arguments, parsed output and texts are copied unchanged: they are the user's. An id that
    could be a word counts only in a field that is named as an id, and as a key only among ids.
    """
    return _copied("", value, ids)


def _copied(field: str, value: Any, ids: Mapping[str, str]) -> Any:
    """Copy the value of a field; strings in a list are of the list's field."""
    if isinstance(value, str):
        new = ids.get(value)
        named = new and (_ID_FIELD.search(field) or (field not in _TEXTS and _is_distinct(value)))
        return new if named else value
    if isinstance(value, list):
        return [_copied(field, item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    filed = value.keys() <= ids.keys()
    return {
        ids[name] if name in ids and (filed or _is_distinct(name)) else name: _copied(
            name, item, {} if name in _USER_DATA else ids
        )
        for name, item in value.items()
    }


def _is_distinct(identifier: str) -> bool:
    """Whether an id is no word or number that may stand in an answer for something else."""
    return len(identifier) > 5 and any(character.isdigit() for character in identifier)


def lies_at_provider(metadata: Mapping[str, Any]) -> bool:
    """Whether an answer's metadata name a response that a later request can continue."""
    identifier = metadata.get("id")
    if not isinstance(identifier, str) or not identifier:
        return False
    return identifier.startswith("resp_") or metadata.get("object") == "response"


def without_provider_items(answer: Any) -> Any:
    """Return a deep copy of an answer, a JSON value, that refers to nothing the provider keeps.

    Left out are ids of responses and items, and items that only their ids stand for. Encrypted
    reasoning holds its content, which is bound to its id, and stays.
    """
    return _detached(answer, call_ids(answer))


def _detached(value: Any, calls: set[str]) -> Any:
    if isinstance(value, list):
        return [_detached(item, calls) for item in value if not _is_kept(item)]
    if not isinstance(value, dict):
        return value
    bound = bool(value.get("encrypted_content"))
    response = value.get("object") == "response"
    return {
        name: item if name in _USER_DATA else _detached(item, calls)
        for name, item in value.items()
        if not _is_kept(item)
        and not (response and name == "id")
        and not (_is_item(item) and ((name == "id" and not bound) or name in calls))
    }


def _is_kept(value: Any) -> bool:
    """Whether this is an item whose content the provider keeps under its id.

    A search belongs to the reasoning before it. An image stays, since it is the answer.
    """
    return (
        isinstance(value, dict)
        and value.get("type") in ("reasoning", "web_search_call", "file_search_call")
        and isinstance(value.get("id"), str)
        and _KEPT.match(value["id"]) is not None
        and holds_reference(value)
    )


def _is_item(value: Any) -> bool:
    return isinstance(value, str) and _ITEM.fullmatch(value) is not None
