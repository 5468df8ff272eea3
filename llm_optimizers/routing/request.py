"""A request's routing context, and what it requires of a model.

Tokens are estimated from bytes, on the high side, because deciding must take well under a
millisecond and a request that is estimated to fit a context window must fit. Pass the router
another `count_tokens` (a tokenizer) where the estimate is too coarse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from types import NoneType
from typing import Any, TypeAlias

from llm_optimizers.arguments import Kinds, amount, fields, keep
from llm_optimizers.costs.attribution import current_attribution, names_of
from llm_optimizers.routing.specs import Capability
from llm_optimizers.types import ChatRequest, Message

__all__ = [
    "Previous",
    "Requirements",
    "RoutingContext",
    "TokenEstimate",
    "estimate_tokens",
    "requirements_of",
]

TokenEstimate: TypeAlias = Callable[[ChatRequest], int]

BYTES_PER_TOKEN = 3.6
"""English prose has about 4.3 bytes per token in cl100k, code about 3.4: high for most prompts."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_BLOCK = 800
"""An image of 1024 by 1024 at OpenAI's high detail counts 765 tokens."""
HEADROOM_TOKENS = 1024
"""Room kept for the answer when the request sets no limit."""
_OUTPUT_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_BLOCKS: Mapping[str, Capability] = {
    "image": "vision",
    "image_url": "vision",
    "input_image": "vision",
    "audio": "audio",
    "input_audio": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
    "video": "files",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The model of the conversation's last answer, and its time (seconds since the epoch)."""

    model: str
    at: float | None = None

    def __post_init__(self) -> None:
        fields(self, {"model": str, "at": (float, Real, NoneType)})


_CONTEXT: Mapping[str, Kinds] = {
    **dict.fromkeys(("user", "session", "tier", "task"), str),
    "previous": (Previous, NoneType),
    "streaming": bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingContext:
    """What is known about a request besides its content.

    `task` is a tag that the application sets ("extract", "chat"), a strong signal for a learned
    policy. `max_cost` is in dollars for this request. `previous` keeps a conversation with its
    model.
    """

    user: str = ""
    session: str = ""
    tier: str = ""
    task: str = ""
    previous: Previous | None = None
    streaming: bool = False
    max_cost: Decimal | None = None

    def __post_init__(self) -> None:
        fields(self, _CONTEXT)
        if self.max_cost is not None:
            keep(self, "max_cost", amount("max_cost", self.max_cost, above=0))

    @classmethod
    def from_tags(
        cls,
        tags: Mapping[str, object],
        *,
        previous: Previous | None = None,
        streaming: bool = False,
    ) -> RoutingContext:
        """Read a context from an app's tags or metadata, and from `attributed` around the call.

        The user and the session have any of their usual names (`costs/aliases.py`).
        """
        names = {**current_attribution(), **names_of(tags)}

        def first(name: str) -> str:
            return "" if tags.get(name) is None else str(tags[name])

        return cls(
            user=names.get("user", ""),
            session=names.get("session", ""),
            tier=first("tier"),
            task=first("task"),
            previous=previous,
            streaming=streaming,
        )

    @property
    def decisive(self) -> dict[str, str]:
        """What a cache in front of the router must tell apart: it can change which model answers.

        A user's tier pays for its models. The user and the conversation are left out, since an
        answer that depends on who asks belongs to a tenant.
        """
        cost = "" if self.max_cost is None else str(self.max_cost)
        found = {"tier": self.tier, "task": self.task, "max_cost": cost}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a request requires of a model: tokens and capabilities.

    `output_tokens` is the expected output, for the cost; `headroom` the tokens that the context
    window must leave for it. `prefix_tokens` are those of the messages before the model's last
    answer, which a provider's prompt cache may still hold.
    """

    input_tokens: int
    output_tokens: int
    headroom: int
    prefix_tokens: int
    capabilities: frozenset[Capability]


def estimate_tokens(request: ChatRequest) -> int:
    """Estimate the tokens of a request's messages and tools from their bytes, on the high side."""
    tools = request.params.get("tools") or request.params.get("functions")
    extra = _tokens(json.dumps(tools, default=str)) if tools else 0
    return extra + sum(_message_tokens(message) for message in request.messages)


def requirements_of(
    request: ChatRequest,
    *,
    streaming: bool,
    expected_output: int,
    count_tokens: TokenEstimate = estimate_tokens,
) -> Requirements:
    """Return a request's requirements; `expected_output` is used where it sets no token limit."""
    limits = [request.params.get(name) for name in _OUTPUT_LIMITS]
    limit = next((value for value in limits if isinstance(value, int) and value > 0), None)
    return Requirements(
        input_tokens=count_tokens(request),
        output_tokens=expected_output if limit is None else limit,
        headroom=HEADROOM_TOKENS if limit is None else limit,
        prefix_tokens=_prefix_tokens(request),
        capabilities=frozenset(_capabilities(request, streaming=streaming)),
    )


def _capabilities(request: ChatRequest, *, streaming: bool) -> set[Capability]:
    found: set[Capability] = {"streaming"} if streaming else set()
    if request.params.get("tools") or request.params.get("functions"):
        found.add("tools")
    if _structured(request.params.get("response_format")):
        found.add("structured_output")
    for message in request.messages:
        if isinstance(message.content, tuple):
            found.update(_BLOCKS[p.kind] for p in message.content if p.kind in _BLOCKS)
    return found


def _structured(response_format: Any) -> bool:
    if isinstance(response_format, Mapping):
        return response_format.get("type") != "text"
    return response_format is not None


def _prefix_tokens(request: ChatRequest) -> int:
    """Return the tokens of all messages before the model's last answer."""
    answers = [i for i, message in enumerate(request.messages) if message.role == "assistant"]
    if not answers:
        return 0
    return sum(_message_tokens(message) for message in request.messages[: answers[-1]])


def _message_tokens(message: Message) -> int:
    calls = sum(_tokens(call.name + call.arguments) for call in message.tool_calls)
    if isinstance(message.content, str):
        return TOKENS_PER_MESSAGE + _tokens(message.content) + calls
    blocks = sum(part.kind != "text" for part in message.content)
    return TOKENS_PER_MESSAGE + _tokens(message.text) + blocks * TOKENS_PER_BLOCK + calls


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)
