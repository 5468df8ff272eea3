"""A chat request in, one that costs less and asks the same out.

Each message is shortened once, by itself, when it enters a conversation; what the provider has
cached is never touched (`provider_cache` decides). Losing information is opt-in: a budget for
retrieved context, a history that is summarised, a hard bound on the whole. The same request
always gives the same bytes, and the record says what was done and what was left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TypeVar

from llm_optimizers.costs import PriceBook
from llm_optimizers.costs.pricing import RemovedTokens
from llm_optimizers.embeddings import Embed
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context import ContextBudget, PassageSelector, cut_context, trimmed
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.history import History
from llm_optimizers.prompts.lossless import LOSSLESS, PassName, shorten
from llm_optimizers.prompts.provider_cache import (
    Planned,
    cache_rules,
    marked,
    plan_request,
)
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = ["Optimized", "RequestOptimizer"]

T = TypeVar("T")

_log = logging.getLogger(__name__)
_BLOCKING = 20_000
"""Characters above which a request leaves the event loop."""
_SENT_WHOLE = "The prompt could not be shortened; it is sent as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """The request to send, its tokens before and after, what was done and what was not.

    `origins` gives for each message the index it had before, None for a summary; a message that
    was not changed is the very same object. `tokens` are estimates unless `exact`.
    `removed` is what the account needs of it: the input tokens that were taken out of the call,
    and how many of them stood in messages that an earlier call of the conversation has sent.
    """

    request: ChatRequest
    tokens_before: int
    tokens: int
    removed: RemovedTokens
    exact: bool
    origins: tuple[int | None, ...]
    done: tuple[str, ...]
    left_alone: tuple[str, ...]


class RequestOptimizer:
    """Makes requests cheaper; safe to share between threads.

    Args:
        passes: The lossless passes; add `"tables"` to write uniform JSON records as tables.
        context: A budget for retrieved context in each message; None leaves it alone. In a system
            message it is cut to only for a conversation's first question.
        history: How long conversations are folded; None leaves them alone. With a warm cache
            that happens where it pays at once, or where the whole outgrows `max_tokens` or the
            model's context window.
        max_tokens: A hard bound on the whole, kept by leaving out the middle of the longest
            messages, with a warning.
        provider_cache: Whether to allow for the provider's prompt cache. Switch it off when
            yours is always cold, and shortening is always cheaper.
        marks: Whether to set the provider's own cache marks.
        cache_key: Ties requests with one prefix together, where the provider takes a key.
        counter, prices: Shared with others if given.
        embed: Adds likeness in meaning to the choice of context.

    Raises:
        ConfigurationError: `max_tokens` is below one.
    """

    def __init__(
        self,
        *,
        passes: frozenset[PassName] = LOSSLESS,
        context: ContextBudget | None = None,
        history: History | None = None,
        max_tokens: int | None = None,
        provider_cache: bool = True,
        marks: bool = False,
        cache_key: str | None = None,
        counter: TokenCounter | None = None,
        prices: PriceBook | None = None,
        embed: Embed | None = None,
    ) -> None:
        if max_tokens is not None and max_tokens < 1:
            raise ConfigurationError(f"`max_tokens` is {max_tokens}; give 1 or more, or None")
        self._passes = passes
        self._context = context
        self._history = history
        self._max_tokens = max_tokens
        self._provider_cache = provider_cache
        self._marks = marks
        self._cache_key = cache_key
        self._counter = counter or TokenCounter()
        self._prices = prices or PriceBook()
        self._embed = embed

    def optimize(self, request: ChatRequest) -> Optimized:
        """The cheaper request; `request` itself where nothing can be gained."""
        before = self._counter.count_request(request)
        planned = self._planned(request)
        sent, done = replace(request, messages=planned.messages), planned.plan.changes()
        if self._max_tokens is not None:
            sent, cut = trimmed(sent, max_tokens=self._max_tokens, counter=self._counter)
            done += cut
        sent = self._with_marks(sent)
        if sent.messages == request.messages and sent.params == request.params:
            sent, after = request, before
        else:
            after = self._counter.count_request(sent)
        removed = max(0, before.tokens - after.tokens)
        newly = self._removed_newly(request, sent.messages, planned.origins)
        return Optimized(
            request=sent,
            tokens_before=before.tokens,
            tokens=after.tokens,
            removed=RemovedTokens(tokens=removed, repeated=max(0, removed - newly)),
            exact=before.exact and after.exact,
            origins=planned.origins,
            done=tuple(done),
            left_alone=planned.plan.left_alone,
        )

    async def aoptimize(self, request: ChatRequest) -> Optimized:
        """As `optimize`, outside the event loop when that would hold it up."""
        waits = self._history is not None and self._history.summariser is not None
        if waits or sum(len(m.text) for m in request.messages) > _BLOCKING:
            return await asyncio.to_thread(self.optimize, request)
        return self.optimize(request)

    def apply(
        self, read: Callable[[], ChatRequest], write: Callable[[Optimized], T], *, otherwise: T
    ) -> T:
        """What `write` makes of the optimised `read()`; `otherwise`, with a warning, on an error.

        For adapters: a prompt is never lost to its shortening or translation.
        """
        with FailOpen(_log, _SENT_WHOLE):
            return write(self.optimize(read()))
        return otherwise

    async def aapply(
        self, read: Callable[[], ChatRequest], write: Callable[[Optimized], T], *, otherwise: T
    ) -> T:
        """As `apply`, outside the event loop when that would hold it up."""
        with FailOpen(_log, _SENT_WHOLE):
            return write(await self.aoptimize(read()))
        return otherwise

    def _planned(self, request: ChatRequest) -> Planned:
        """Which shortened messages are sent, and which history is folded."""
        within = [self._within(message, request) for message in request.messages]
        shorter = [self._shorter(message) for message in within]
        rules = cache_rules(request.model, self._prices) if self._provider_cache else None
        single = not request.params.get("tools") and _cut_at_first(request.messages, within)
        plan = partial(
            plan_request,
            request,
            shorter,
            counter=self._counter,
            prices=self._prices,
            history=self._history,
        )
        planned = plan(rules, single=single)
        if rules is None or self._history is None:
            return planned
        if not self._too_long(replace(request, messages=planned.messages)):
            return planned
        return plan(None)  # What does not fit must be folded, whatever the provider has cached.

    def _too_long(self, request: ChatRequest) -> bool:
        bound = self._max_tokens or self._prices.context_window(request.model)
        return bound is not None and self._counter.count_request(request).tokens > bound

    def _with_marks(self, request: ChatRequest) -> ChatRequest:
        if not self._marks and self._cache_key is None:
            return request
        sizes = [self._tokens(m, request.model) for m in request.messages]
        rules = cache_rules(request.model, self._prices)
        if rules is not None and not self._marks:
            rules = replace(rules, marks=0)
        return marked(request, sizes, rules, key=self._cache_key)

    def _within(self, message: Message, request: ChatRequest) -> Message:
        """One message with its retrieved context cut to the budget."""
        if self._context is None or message.role in ("assistant", "tool"):
            return message
        asked = _asked(request) if message.role == "system" else None
        if message.role == "system" and asked is None:
            return message
        budget = self._context
        selector = PassageSelector(model=request.model, counter=self._counter, embed=self._embed)
        return _with_text(message, lambda text: cut_context(text, budget, selector, asked=asked))

    def _shorter(self, message: Message) -> Message:
        """One message by itself after the lossless passes; an assistant's words stay."""
        if message.role == "assistant":
            return message
        passes = self._passes - {"repeats"} if message.role == "tool" else self._passes
        system = message.role == "system"
        return _with_text(
            message, lambda text: shorten(text, passes=passes, instructions=system).text
        )

    def _removed_newly(
        self,
        request: ChatRequest,
        sent: Sequence[Message],
        origins: Sequence[int | None],
    ) -> int:
        """Tokens removed from the messages after the last answer, which no call has sent before."""
        answers = [at for at, m in enumerate(request.messages) if m.role == "assistant"]
        since = answers[-1] if answers else -1
        return sum(
            self._tokens(request.messages[origin], request.model)
            - self._tokens(message, request.model)
            for message, origin in zip(sent, origins, strict=True)
            if origin is not None and origin > since and message is not request.messages[origin]
        )

    def _tokens(self, message: Message, model: str) -> int:
        return self._counter.count_message(message, model).tokens


def _asked(request: ChatRequest) -> str | None:
    """The question that retrieved context in a system message is for.

    A conversation asks many, and whatever is chosen for the latest breaks the prefix: None.
    """
    roles = [m.role for m in request.messages]
    if roles.count("user") != 1 or "assistant" in roles:
        return None
    return request.messages[roles.index("user")].text


def _cut_at_first(messages: Sequence[Message], within: Sequence[Message]) -> bool:
    """Whether context was cut in what the conversation's first call sends."""
    pairs = zip(messages, within, strict=True)
    first = takewhile(lambda pair: pair[0].role != "assistant", pairs)
    return any(message is not cut for message, cut in first)


def _with_text(message: Message, change: Callable[[str], str]) -> Message:
    """The message with its text parts shortened; itself where none is another."""
    if isinstance(message.content, str):
        text = change(message.content)
        return message if text == message.content else replace(message, content=text)
    parts = tuple(_part_with_text(part, change) for part in message.content)
    same = all(a is b for a, b in zip(parts, message.content, strict=True))
    return message if same else replace(message, content=parts)


def _part_with_text(part: Part, change: Callable[[str], str]) -> Part:
    if part.kind != "text":
        return part
    text = change(part.text)
    return part if text == part.text else replace(part, text=text)
