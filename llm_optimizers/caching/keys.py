"""Cache keys: exact keys, normalised keys, and the scope of a semantic match.

In a semantic match only the question may differ. Everything else that shapes an answer (tenant,
model, settings, system prompt, history, retrieved context) is hashed into the scope, and questions
are compared within one scope only.

A setting enters the key by its content: a schema class by its JSON schema, a plain function by
its code. If a setting's content cannot be read, the call is not cached, since two different
settings could otherwise share answers.
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

from llm_optimizers.caching.sampling import asks_for_sample
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

__all__ = ["OBJECT_ADDRESS", "CacheKey", "cache_key", "fingerprint", "normalise", "split_question"]

SCHEMA = 1
"""Part of every key. Raise it when keys change their meaning; old entries then no longer match."""

_QUESTION_LINE = re.compile(
    r"(?:^|\n)[ \t]*(?:user |customer |final )?(?:question|query)[ \t]*:[ \t]*+"
    r"(?P<q>[^\n]++)(?P<tail>(?:\n\s*(?:answer|response|reply)[ \t]*:)?\s*)\Z",
    re.IGNORECASE,
)
# A prompt with sections holds more than a question, and the difference may be in any section.
_SECTIONS = re.compile(
    r"^[ \t]*(?:[-=*#]{5,}|<[A-Za-z][\w ]*>|\w[\w ]{2,40}:)[ \t]*$", re.MULTILINE
)
# Data may hold several questions whose answers depend on their order or ids, yet the same
# questions in another order have the same meaning.
_DATA = re.compile(r"\[\s*[\[{]|[\[{]\s*\"")
# Text is only matched byte for byte if case, spacing or punctuation may matter: code, quotations,
# text to work on after a colon, a factorial.
_LITERAL = re.compile(
    r"[\n\t`\"'“”‘’«»<>{}\[\]\\=_|]|:\s|\d!|\s[?!.]+\Z|case\b|\bspac|\bpunctuat|\bcapitali[sz]",
    re.IGNORECASE,
)
# Apostrophes are often left out when typing, but not where that makes another word ("we're").
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
    """The keys under which a request's answer is stored.

    `exact`, `normalised` and `scope` are hex digests. `normalised` is None if case or spacing may
    matter. `question` is None if no semantic match is allowed: the last message is a tool result
    or not plain text, the prompt has several sections or holds JSON, tools are bound, or the
    answer depends on the time. A `sampled` request's calls at the same time are never merged.
    """

    exact: str
    normalised: str | None
    scope: str
    tenant: str
    question: str | None
    sampled: bool = False


def cache_key(request: ChatRequest, *, tenant: str | None = None, embedder: str = "") -> CacheKey:
    """Return a request's key; message ids and tool call ids are left out of it.

    `tenant` replaces the one that the request names. `embedder` is the id of the embedding model:
    vectors of two models are never compared, while exact matches survive a change of model.

    Raises:
        ConfigurationError: the request holds a value that cannot be written into a key.
    """
    *history, last = request.messages
    plain = last.role == "user" and not last.multimodal
    context, question = split_question(last.text) if plain else ("", "")
    owner = request.tenant if tenant is None else tenant
    shared = [
        SCHEMA,
        owner,
        request.model,
        request.params,
        _canonical(history if plain else request.messages),
        # Not None: the same messages with an empty text after them are another request.
        last.name if plain else False,
        context,
    ]
    scope = _digest(shared)
    normalised = normalise(question)
    semantic = (
        question.strip() != ""
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
        sampled=request.sampled or asks_for_sample(request.params, depth=0),
    )


def split_question(text: str) -> tuple[str, str]:
    """Split a prompt that ends in a line `Question: …` into (context, question).

    Retrieval prompts have documents before such a line, and some have an empty `Answer:` after it.
    The documents belong to the scope: the same question over other documents has another answer.
    Without such a line the context is "".
    """
    match = _QUESTION_LINE.search(text)
    if match is None:
        return "", text
    return text[: match.start("q")] + match["tail"].strip(), match["q"].rstrip()


def normalise(text: str) -> str | None:
    """Return the text with case, spacing and final punctuation normalised.

    None if such differences may matter: code, quotations, several lines, long texts. Short words
    in capitals keep them, so that "US customers" and "us customers" stay different.
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
    all_capitals = text.isupper()
    return " ".join(
        word if word.isupper() and 1 < len(word) <= 5 and not all_capitals else word.lower()
        for word in words
    )


def _canonical(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as JSON-like values, numbering ids in order of appearance.

    Providers make up new ids of tool calls and content blocks for every answer.
    """
    numbers: dict[str, str] = {}

    def number(identifier: object) -> str:
        return numbers.setdefault(str(identifier), f"id_{len(numbers)}")

    def numbered(block: Mapping[str, Any]) -> dict[str, Any]:
        return {k: number(v) if k in _IDENTIFIERS and v else v for k, v in block.items()}

    canonical = []
    for message in messages:
        raw = message.to_openai()
        if message.role in ("assistant", "tool") and isinstance(raw["content"], list):
            raw["content"] = [numbered(block) for block in raw["content"]]
        for call in raw.get("tool_calls", ()):
            call["id"] = number(call["id"])
        if message.tool_call_id is not None:
            raw["tool_call_id"] = number(message.tool_call_id)
        canonical.append(raw)
    return canonical


def _digest(value: object) -> str:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_as_json_value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written into a key ({error})") from error
    return _hash(text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_json_value(value: object) -> object:
    """Convert what JSON cannot write: sets are sorted, other objects become their `repr`."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    text = repr(value)
    if _ADDRESS.search(text):
        # Another object may have this address later, and its request would get this answer.
        raise TypeError(f"a {type(value).__name__} has no stable form")
    return text


OBJECT_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
"""The end of a `repr` that gives only the object's address in memory."""


def fingerprint(value: Any) -> Any:
    """Return the value as JSON-like data that changes whenever its content does.

    Raises:
        ConfigurationError: it contains an object whose content cannot be read.
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
    """Return a function's name and code; a closure's values could not be included."""
    if value.__closure__:
        raise ConfigurationError(
            f"the function {value.__qualname__} closes over values that a cache key cannot include;"
            " pass them as arguments"
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
    """Return the fields that a typed dict, dataclass or other class declares, nested ones too."""
    try:
        return TypeAdapter(value).json_schema()
    except PydanticUserError:
        kinds = getattr(value, "__annotations__", {})
        return fingerprint({name: repr(kind) for name, kind in kinds.items()})
