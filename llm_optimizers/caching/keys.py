"""What makes two requests the same: exact keys, normalised keys, and the scope of a question.

A semantic match may only vary the question. Everything else that shapes an answer (tenant,
model, settings, system prompt, history, retrieved context) is hashed into the scope, and two
questions are compared only inside one scope.

A setting enters a cache key by its content: a schema class by its JSON schema, a plain function
by its code. What has no content that can be seen makes the call uncacheable, since two different
things would otherwise share answers.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

__all__ = ["OBJECT_ADDRESS", "CacheKey", "cache_key", "fingerprint", "normalise", "split_question"]

SCHEMA = 1
"""Part of every key: raise it when the meaning of a key changes, and old entries fall out."""

_QUESTION_LINE = re.compile(
    r"(?:^|\n)[ \t]*(?:user |customer |final )?(?:question|query)[ \t]*:[ \t]*+"
    r"(?P<q>[^\n]++)(?P<tail>(?:\n\s*(?:answer|response|reply)[ \t]*:)?\s*)\Z",
    re.IGNORECASE,
)
# A prompt of sections holds more than a question, and what differs may stand in any of them.
_SECTIONS = re.compile(
    r"^[ \t]*(?:[-=*#]{5,}|<[A-Za-z][\w ]*>|\w[\w ]{2,40}:)[ \t]*$", re.MULTILINE
)
# Data may hold several questions whose answers go by their order or their ids, and the same
# questions in another order have the same meaning.
_DATA = re.compile(r"\[\s*[\[{]|[\[{]\s*\"")
# Text whose letter case, spacing or punctuation may carry meaning is only matched byte for byte:
# code, quotations, a text after a colon that something is to be done to, a factorial.
_LITERAL = re.compile(
    r"[\n\t`\"'“”‘’«»<>{}\[\]\\=_|]|:\s|\d!|\s[?!.]+\Z|case\b|\bspac|\bpunctuat|\bcapitali[sz]",
    re.IGNORECASE,
)
# Often left out when typing, but for words that would be others without ("we're" and "were").
_APOSTROPHE = re.compile(
    r"(?<!\bwe)(?<!\bhe)(?<!\bshe)(?<!\bi)(?<=\w)['’](?=\w)|(?<=\w)['’](?=(?:ve|m|s)\b)",
    re.IGNORECASE,
)
_KEPT_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_NORMALISED_LIMIT = 400
_TOOLS = ("tools", "functions", "toolConfig")
_IDENTIFIERS = ("id", "call_id", "tool_use_id", "tool_call_id")
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+", re.IGNORECASE)
_TIME_BOUND = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|currently|current|latest|this (?:morning|"
    r"afternoon|evening|week|month|year)|right now|at the moment|so far|up to date)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """Where a request's answer is kept.

    `exact`, `normalised` and `scope` are hex digests. `normalised` is None where case or spacing
    may matter; `question` is None where only an exact match may be served: a tool result is
    pending, the turn is not plain text or a prompt of several sections or JSON, tools are bound,
    or the answer depends on the time.
    """

    exact: str
    normalised: str | None
    scope: str
    tenant: str
    question: str | None


def cache_key(request: ChatRequest, *, tenant: str | None = None, embedder: str = "") -> CacheKey:
    """The key of a request; message ids and tool-call ids do not enter it.

    `tenant` replaces the one that the request names. `embedder` names what makes the vectors:
    those of two must not meet, while exact matches outlive a change of embedder.

    Raises:
        ConfigurationError: the request holds a value that has no stable written form.
    """
    *history, last = request.messages
    plain = last.role == "user" and (isinstance(last.content, str) or not last.multimodal)
    text = last.content if isinstance(last.content, str) else last.text
    context, question = split_question(text) if plain else ("", "")
    owner = request.tenant if tenant is None else tenant
    shared = [
        SCHEMA,
        owner,
        request.model,
        request.params,
        _canonical(history if plain else request.messages),
        last.name if plain else None,
        context,
    ]
    scope = _digest(shared)
    normalised = normalise(question) if plain else None
    semantic = (
        plain
        and question.strip() != ""
        and not any(request.params.get(name) for name in _TOOLS)
        and _TIME_BOUND.search(question) is None
        and _SECTIONS.search(question) is None
        and _DATA.search(question) is None
    )
    return CacheKey(
        exact=_hash(f"{scope} exact {question}"),
        normalised=None if normalised is None else _hash(f"{scope} normalised {normalised}"),
        scope=f"{scope}/{embedder}",
        tenant=owner,
        question=question if semantic else None,
    )


def split_question(text: str) -> tuple[str, str]:
    """Split a prompt that ends in a line `Question: …` into (context, question).

    Retrieval prompts put documents before such a line, and some an empty `Answer:` behind it. The
    documents belong to the scope: the same question over other documents has another answer.
    Without such a line the context is "".
    """
    match = _QUESTION_LINE.search(text)
    if match is None:
        return "", text
    return text[: match.start("q")] + match["tail"].strip(), match["q"].rstrip()


def normalise(text: str) -> str | None:
    """The text without differences of case, spacing and closing punctuation.

    None when such a difference may matter: code, quotations, several lines, long texts. Short
    words in capitals keep them, so that "US customers" and "us customers" stay apart.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if "'" in text or "’" in text:
        text = _APOSTROPHE.sub("", text)
        text = _KEPT_APOSTROPHE.sub("\N{MODIFIER LETTER APOSTROPHE}", text)
    if not text or len(text) > _NORMALISED_LIMIT or _LITERAL.search(text):
        return None
    words = text.rstrip("?!. ").split()
    if not words:
        return None
    shouted = text.isupper()
    return " ".join(
        word if word.isupper() and 1 < len(word) <= 5 and not shouted else word.lower()
        for word in words
    )


def _canonical(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as JSON-like values, with the ids of tool calls and of content blocks replaced by
    their order of appearance: providers make them up anew for every answer.
    """
    order: dict[str, str] = {}

    def place(identifier: object) -> str:
        return order.setdefault(str(identifier), f"id_{len(order)}")

    def placed(block: Mapping[str, Any]) -> dict[str, Any]:
        return {k: place(v) if k in _IDENTIFIERS and v else v for k, v in block.items()}

    canonical = []
    for message in messages:
        raw = message.to_openai()
        if message.role in ("assistant", "tool") and isinstance(raw["content"], list):
            raw["content"] = [placed(block) for block in raw["content"]]
        for call in raw.get("tool_calls", ()):
            call["id"] = place(call["id"])
        if message.tool_call_id is not None:
            raw["tool_call_id"] = place(message.tool_call_id)
        canonical.append(raw)
    return canonical


def _digest(value: object) -> str:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written as a key ({error})") from error
    return _hash(text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    """What json cannot write: mappings and sets in order, all else by its representation."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    text = repr(value)
    if _ADDRESS.search(text):
        # Another object may get the address later, and its request would get this one's answer.
        raise TypeError(f"a {type(value).__name__} has no stable form")
    return text


OBJECT_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
"""How a representation ends that names an object by where it lies in memory."""


def fingerprint(value: Any) -> Any:
    """The value as JSON-like data, by content.

    Raises:
        ConfigurationError: somewhere in it is an object whose content cannot be seen.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, type):
        if issubclass(value, BaseModel):
            return {"schema": value.model_json_schema()}
        return {"class": value.__qualname__, "fields": _fields(value)}
    if isinstance(value, BaseModel):
        return {"class": type(value).__qualname__, "fields": value.model_dump(mode="json")}
    if isinstance(value, Mapping):
        return {str(key): fingerprint(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fingerprint(item) for item in value]
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, FunctionType):
        return _function(value)
    text = repr(value)
    if OBJECT_ADDRESS.search(text):
        raise ConfigurationError(f"a setting is a {type(value).__name__} without a stable form")
    return text


def _function(value: FunctionType) -> dict[str, Any]:
    """A function by its name and code; what it closes over would escape the key."""
    if value.__closure__:
        raise ConfigurationError(
            f"the function {value.__qualname__} closes over values that a cache key cannot see"
        )
    return {
        "function": f"{value.__module__}.{value.__qualname__}",
        "code": _code(value.__code__),
        "defaults": fingerprint([value.__defaults__, value.__kwdefaults__]),
    }


def _code(code: CodeType) -> dict[str, Any]:
    names = repr((code.co_names, code.co_varnames))
    return {
        "body": hashlib.sha256(code.co_code + names.encode()).hexdigest(),
        "constants": [
            _code(each) if isinstance(each, CodeType) else fingerprint(each)
            for each in code.co_consts
        ],
    }


def _fields(value: type) -> Any:
    """What a typed dictionary, a dataclass or another class declares, inner classes included."""
    try:
        return TypeAdapter(value).json_schema()
    except PydanticUserError:
        kinds = getattr(value, "__annotations__", {})
        return fingerprint({name: repr(kind) for name, kind in kinds.items()})
