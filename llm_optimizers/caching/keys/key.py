"""The key of a request: exact, normalised, and the scope of a semantic match.

In a semantic match only the question may differ. Everything else that shapes an answer (tenant,
model, settings, system prompt, history, retrieved context) is hashed into the scope, and questions
are compared within one scope only.

A setting enters the key by its content (`fingerprint`). If that cannot be read, the call is not
cached, since two different settings could otherwise share answers.

What a request refers to at the provider (`provider_state`) is not in its text. If calls change it,
there is no key. Otherwise its id is part of the key, and only the same request gets the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from llm_optimizers.caching.keys.questions import keys_of_question, why_not_by_meaning
from llm_optimizers.caching.keys.templates import SplitPrompt, split_question
from llm_optimizers.caching.keys.text_tasks.detection import works_on_text
from llm_optimizers.caching.keys.unmatched import Unmatched
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest
from llm_optimizers.settings.bookkeeping import unmarked
from llm_optimizers.settings.choices import stated_choices
from llm_optimizers.settings.provider_state import ProviderState, holds_reference, state_of
from llm_optimizers.settings.sampling import asks_for_sample
from llm_optimizers.tenancy import request_tenant
from llm_optimizers.types import ChatRequest, Message

__all__ = ["CacheKey", "cache_key"]

SCHEMA = 2
"""Part of every key. Raise it when keys change their meaning; old entries then no longer match."""

_TOOLS = ("tools", "functions", "toolConfig")
_SYSTEM_PROMPTS = ("instructions", "system", "system_instruction", "systemInstruction")
_CALL_IDENTIFIERS = ("call_id", "tool_use_id", "tool_call_id")
_NUMBERS = ("id", "index")
"""Fields of a text that only tell it from others: LangChain makes up new ids for every call."""
_MADE_UP = "lc_"
"""The beginning of ids that LangChain makes up for the blocks of a tool's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """The keys under which a request's answer is stored.

    `exact`, `normalised` and `scope` are hex digests. `normalised` is None if case or spacing may
    matter. `question` is None if no semantic match is allowed, and `unmatched` says why. `asked` is
    the question's text wherever another request may be served this answer, by meaning or by its
    normalised key: it is stored with the answer, so that the keys can be derived from it again.
    `completion` is the request's. `choices` is how many answers the settings ask for, None if they
    do not say. `keeps_ids` says that the request continues a response at the provider, which knows
    the ids in its answer. A `sampled` request's calls at the same time are never merged, and others
    only if they have the same `in_flight`: what is asked, and how soon the answer is wanted.
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
    unmatched: Unmatched | None = None
    delivery: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the key as JSON values, for an answer that comes later, in another process."""
        reason = None if self.unmatched is None else str(self.unmatched)
        return {**asdict(self), "unmatched": reason, "delivery": [list(p) for p in self.delivery]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> CacheKey:
        """Return the key that `as_dict` wrote.

        Raises:
            ValueError: these are not the fields of a key.
        """
        try:
            reason, delivery = raw["unmatched"], raw["delivery"]
            return cls(
                **{
                    **raw,
                    "unmatched": None if reason is None else Unmatched(reason),
                    "delivery": tuple((str(name), str(value)) for name, value in delivery),
                }
            )
        except (LookupError, TypeError) as error:
            raise ValueError("these are not the fields of a cache key") from error

    @property
    def in_flight(self) -> str:
        """What calls must have in common to be made once for all of them."""
        return f"{self.exact} {self.delivery}" if self.delivery else self.exact


def cache_key(request: ChatRequest, *, tenant: str | None = None, embedder: str = "") -> CacheKey:
    """Return a request's key; message ids and tool call ids are left out of it.

    Where a request continues a response at the provider, the calls that its tool results
    answer are there too, so that their ids count.

    `tenant` replaces the one that the request names. `embedder` is the id of the embedding model:
    vectors of two models are never compared, while exact matches survive a change of model.

    Raises:
        ConfigurationError: the request holds a value that cannot be written into a key, or has no
            messages, or its tenant is not a string, or it refers to state at the provider that
            moves.
    """
    if not request.messages:
        raise ConfigurationError("a call without messages asks for nothing that could be kept")
    request = _unmarked(request)
    state = _unmoving_state(request)
    last = request.messages[-1]
    prompt = split_question(last.text) if _is_plain(last) else None
    question = "" if prompt is None else prompt.question
    owner = request_tenant(request.tenant if tenant is None else tenant)
    scope = f"{_scope_digest_of(request, owner, prompt, literal=bool(state.continued))}/{embedder}"
    exact, normalised = keys_of_question(scope, question)
    reason = _why_exact_only(request, prompt, state)
    if reason is not None:
        normalised = None
    reason = reason or _why_not_by_meaning(request, prompt)
    semantic = reason is None
    return CacheKey(
        exact=exact,
        normalised=normalised,
        scope=scope,
        tenant=owner,
        question=question if semantic else None,
        asked=question if semantic or normalised is not None else None,
        completion=request.completion,
        choices=stated_choices(request.params),
        keeps_ids=bool(state.continued),
        sampled=request.sampled or asks_for_sample(request.params, depth=0),
        unmatched=reason,
        delivery=request.delivery,
    )


def _why_exact_only(
    request: ChatRequest, prompt: SplitPrompt | None, state: ProviderState
) -> Unmatched | None:
    """Return why not even the spelling of a request may differ; None if it may."""
    if state or any(map(_references, request.messages)):
        return Unmatched.STATE
    if prompt is None:
        return Unmatched.NOT_TEXT
    if works_on_text(request.messages[:-1], prompt.question, prompt.around, _instructions(request)):
        return Unmatched.TEXT_TASK if prompt.certain else Unmatched.SECTIONS
    return None


def _unmarked(request: ChatRequest) -> ChatRequest:
    """Return the request without marks for the provider's prompt cache, which shape no answer."""
    messages = request.messages
    if all(isinstance(message.content, str) for message in messages):
        return request
    return replace(request, messages=tuple(map(_unmarked_message, messages)))


def _unmarked_message(message: Message) -> Message:
    """Return a message without marks; content that is then one plain text as this text."""
    if isinstance(message.content, str):
        return message
    parts = tuple(
        part if data is part.data else replace(part, data=data)
        for part in message.content
        if (data := unmarked(part.data)) or part.kind == "text"
    )
    if len(parts) == 1 and parts[0].kind == "text" and not parts[0].data:
        return replace(message, content=parts[0].text)
    return message if parts == message.content else replace(message, content=parts)


def _is_plain(message: Message) -> bool:
    """Whether a message is a user's text and nothing else."""
    return message.role == "user" and not message.multimodal


def _why_not_by_meaning(request: ChatRequest, prompt: SplitPrompt | None) -> Unmatched | None:
    """Return why only the spelling of a request may differ, and not its words."""
    if any(request.params.get(name) for name in _TOOLS):
        return Unmatched.TOOLS
    if prompt is None or not prompt.certain:
        return Unmatched.SECTIONS
    return why_not_by_meaning(prompt.question)


def _scope_digest_of(
    request: ChatRequest, owner: str, prompt: SplitPrompt | None, *, literal: bool
) -> str:
    """Return a digest of all that shapes the answer besides the question."""
    *history, last = request.messages
    plain = prompt is not None
    shared = [
        SCHEMA,
        owner,
        request.completion,
        request.model,
        request.params,
        _canonical(history if plain else request.messages, literal=literal),
        # Not None: the same messages with an empty text after them are another request.
        last.name if plain else False,
        list(prompt.around) if prompt is not None and prompt.framed else "",
    ]
    parts = _parts_of(last) if plain else []
    return digest([*shared, parts] if parts else shared)


def _parts_of(message: Message) -> list[Any]:
    """Return what a message's text does not say of its parts: their borders and other fields.

    The length of the last part follows from the text, so that a question there may vary.
    """
    if isinstance(message.content, str):
        return []
    said = [
        {name: value for name, value in part.data.items() if name not in _NUMBERS}
        for part in message.content
    ]
    if not any(said) and len(said) == 1:
        return []
    lengths = [len(part.text) for part in message.content[:-1]]
    return [*lengths, *said]


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


def _instructions(request: ChatRequest) -> list[str]:
    """Return the system prompts among a request's settings."""
    values = map(request.params.get, _SYSTEM_PROMPTS)
    return [value for value in values if isinstance(value, str)]


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
        if isinstance(raw["content"], list):
            answer = message.role in ("assistant", "tool")
            raw["content"] = [
                numbered(block, message.role) if answer or block.get("type") == "text" else block
                for block in raw["content"]
            ]
        for call in raw.get("tool_calls", ()):
            call["id"] = number(call["id"])
        if message.tool_call_id is not None:
            raw["tool_call_id"] = number(message.tool_call_id)
        canonical.append(raw)
    return canonical
