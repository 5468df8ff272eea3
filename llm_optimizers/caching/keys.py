"""Cache keys: exact keys, normalised keys, and the scope of a semantic match.

In a semantic match only the question may differ. Everything else that shapes an answer (tenant,
model, settings, system prompt, history, retrieved context) is hashed into the scope, and questions
are compared within one scope only.

A setting enters the key by its content (`fingerprint`). If that cannot be read, the call is not
cached, since two different settings could otherwise share answers.

What a request refers to at the provider (`provider_state`) is not in its text. If calls change it,
there is no key. Otherwise its id is part of the key, and only the same request gets the answer.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_optimizers.caching.sampling import asks_for_sample
from llm_optimizers.caching.text_tasks.detection import works_on_text
from llm_optimizers.choices import stated_choices
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest, fingerprint
from llm_optimizers.provider_state import ProviderState, holds_reference, state_of
from llm_optimizers.tenancy import request_tenant
from llm_optimizers.types import ChatRequest, Message

__all__ = [
    "CacheKey",
    "cache_key",
    "fingerprint",
    "keys_of_question",
    "normalise",
    "scope_digest",
    "split_question",
]

SCHEMA = 2
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
# Where words are spoken about, "its" and "it's" are two. "What's" in front is not one of them.
_ABOUT_WORDS = re.compile(
    r"\b(?:apostroph|spell|spelt|pronounc|gramma|mean|word|verb|noun|plural|use of|"
    r"difference between|when (?:do|should|can) (?:i|you|we) use\b)",
    re.IGNORECASE,
)
_KEPT_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_NORMALISED_LIMIT = 400
# Half a character: valid in a Python string but not in UTF-8, so it cannot be stored as text.
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOOLS = ("tools", "functions", "toolConfig")
_SYSTEM_PROMPTS = ("instructions", "system", "system_instruction", "systemInstruction")
_CALL_IDENTIFIERS = ("call_id", "tool_use_id", "tool_call_id")
_MADE_UP = "lc_"
"""The beginning of ids that LangChain makes up for the blocks of a tool's result."""
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
    or not plain text, a text to work on is attached, the prompt has several sections or holds
    JSON, tools are bound, the answer depends on the time, or the request refers to state at the
    provider. `asked` is the question's text wherever another request may be served this answer, by
    meaning or by its normalised key: it is stored with the answer, so that the keys can be derived
    from it again. `completion` is the request's. `choices` is how many answers the settings ask
    for, None if they do not say. `keeps_ids` says that the request goes on from a response at the
    provider, which knows the ids in its answer. A `sampled` request's calls at the same time are
    never merged.
    """

    exact: str
    normalised: str | None
    scope: str
    tenant: str
    question: str | None
    asked: str | None = None
    completion: bool = False
    choices: int | None = None
    keeps_ids: bool = False
    sampled: bool = False


def cache_key(request: ChatRequest, *, tenant: str | None = None, embedder: str = "") -> CacheKey:
    """Return a request's key; message ids and tool call ids are left out of it.

    Where a request goes on from a response at the provider, the calls that its tool results
    answer are there too, so that their ids count.

    `tenant` replaces the one that the request names. `embedder` is the id of the embedding model:
    vectors of two models are never compared, while exact matches survive a change of model.

    Raises:
        ConfigurationError: the request holds a value that cannot be written into a key, or its
            tenant is not a string, or it refers to state at the provider that moves.
    """
    state = _unmoving_state(request)
    continued = bool(state.continued)
    *history, last = request.messages
    plain = last.role == "user" and not last.multimodal
    context, question = split_question(last.text) if plain else ("", "")
    owner = request_tenant(request.tenant if tenant is None else tenant)
    shared = [
        SCHEMA,
        owner,
        request.completion,
        request.model,
        request.params,
        _canonical(history if plain else request.messages, literal=continued),
        # Not None: the same messages with an empty text after them are another request.
        last.name if plain else False,
        context,
    ]
    scope = f"{digest(shared)}/{embedder}"
    exact, normalised = keys_of_question(scope, question)
    exact_only = (
        bool(state)
        or any(map(_references, request.messages))
        or (plain and works_on_text(history, context, question, _instructions(request)))
    )
    if exact_only:
        normalised = None
    semantic = (
        not exact_only
        and question.strip() != ""
        and not any(request.params.get(name) for name in _TOOLS)
        and _TIME_BOUND.search(question) is None
        and _SECTIONS.search(question) is None
        and _DATA.search(question) is None
        and _SURROGATE.search(question) is None
    )
    return CacheKey(
        exact=exact,
        normalised=normalised,
        scope=scope,
        tenant=owner,
        question=question if semantic else None,
        asked=question if semantic or normalised is not None else None,
        completion=request.completion,
        choices=stated_choices(request.params),
        keeps_ids=continued,
        sampled=request.sampled or asks_for_sample(request.params, depth=0),
    )


def _unmoving_state(request: ChatRequest) -> ProviderState:
    """Return the state that the request refers to; raise if calls change it."""
    state = state_of(request.params)
    if state.moving:
        raise ConfigurationError(
            f"{state.moving[0]} refers to state at the provider that calls change, so that equal "
            "requests have different answers: such calls are not cached"
        )
    return state


def _references(message: Message) -> bool:
    content = message.content
    return not isinstance(content, str) and any(holds_reference(part.data) for part in content)


def keys_of_question(scope: str, question: str) -> tuple[str, str | None]:
    """Return a question's exact and normalised key in a scope; what follows "/" is left out."""
    digest = scope_digest(scope)
    normalised = normalise(question)
    return (
        _hash(f"{digest} exact {question}"),
        None if normalised is None else _hash(f"{digest} normalised {normalised}"),
    )


def scope_digest(scope: str) -> str:
    """Return a scope without its embedding model: exact matches survive a change of model."""
    return scope.partition("/")[0]


def _instructions(request: ChatRequest) -> list[str]:
    """Return the system prompts among a request's settings."""
    values = map(request.params.get, _SYSTEM_PROMPTS)
    return [value for value in values if isinstance(value, str)]


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
        if _ABOUT_WORDS.search(text) and _APOSTROPHE.search(text.partition(" ")[2]):
            return None
        text = _APOSTROPHE.sub("", text)
        text = _KEPT_APOSTROPHE.sub("\N{MODIFIER LETTER APOSTROPHE}", text)
    if (
        not text
        or len(text) > _NORMALISED_LIMIT
        or _LITERAL.search(text)
        or _SURROGATE.search(text)
    ):
        return None
    words = text.rstrip("?!. ").split()
    if not words:
        return None
    all_capitals = text.isupper()
    return " ".join(
        word if word.isupper() and 1 < len(word) <= 5 and not all_capitals else word.lower()
        for word in words
    )


def _canonical(messages: Sequence[Message], *, literal: bool) -> list[dict[str, Any]]:
    """Return messages as JSON-like values, numbering ids in order of appearance.

    Providers make up new ids of tool calls and content blocks for every answer. `literal` ids
    stay, and so do the id of a block that stands for content at the provider, and the ids in the
    data that a tool returned.
    """
    numbers: dict[str, str] = {}

    def number(identifier: object) -> str:
        if literal:
            return str(identifier)
        return numbers.setdefault(str(identifier), f"id_{len(numbers)}")

    def numbered(block: Mapping[str, Any], role: str) -> dict[str, Any]:
        if holds_reference(block):
            return dict(block)
        own = role == "tool" and not str(block.get("id")).startswith(_MADE_UP)
        names = _CALL_IDENTIFIERS if own else ("id", *_CALL_IDENTIFIERS)
        return {k: number(v) if k in names and v else v for k, v in block.items()}

    canonical = []
    for message in messages:
        raw = message.to_openai()
        if message.role in ("assistant", "tool") and isinstance(raw["content"], list):
            raw["content"] = [numbered(block, message.role) for block in raw["content"]]
        for call in raw.get("tool_calls", ()):
            call["id"] = number(call["id"])
        if message.tool_call_id is not None:
            raw["tool_call_id"] = number(message.tool_call_id)
        canonical.append(raw)
    return canonical


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
