"""Turn a chat request into a cheaper one that asks the same.

Each message is shortened once, separately, when it enters a conversation. A prefix that the
provider has cached changes only if that saves money (`provider_cache` decides). Losing information
is opt-in: a budget for retrieved context, a summarised history, a hard limit on the whole request.
The same request always gives the same bytes, and the result says what was and was not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TypeVar, get_args

from llm_optimizers.arguments import flag, function, instance, names, optional, text, whole
from llm_optimizers.costs import PriceBook
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.embeddings import Embed
from llm_optimizers.failures import FailOpen
from llm_optimizers.holdout import is_held_out
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.prompts.context import (
    ContextBudget,
    ContextCut,
    cut_messages,
    log_cut,
    sent_cuts,
    trimmed,
)
from llm_optimizers.prompts.counting import TokenCount, TokenCounter
from llm_optimizers.prompts.history import History
from llm_optimizers.prompts.lossless import LOSSLESS, PassName
from llm_optimizers.prompts.provider_cache import (
    PlannedRequest,
    cache_rules,
    plan_request,
    with_breakpoints,
)
from llm_optimizers.prompts.shortening import shortened
from llm_optimizers.types import ChatRequest, Message
from llm_optimizers.warming import WarmsUp

__all__ = ["Optimized", "RequestOptimizer"]

T = TypeVar("T")

_BLOCKING = 20_000
"""Characters above which a request is handled outside the event loop."""
_TOKENS = 3
"""The most tokens of a character."""
_EXAMPLE = ChatRequest(
    messages=(
        Message(role="system", content="Answer from the context."),
        Message(
            role="user",
            content="<context>\n"
            + "".join(f"<document>Shop {n} takes boots back.</document>\n" for n in range(9))
            + "</context>\nWhich shop takes boots back?",
        ),
    )
)
"""Its context is ranked, if there is a budget for it."""
_SENT_UNCHANGED = "The prompt could not be shortened; it is sent unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """The request to send, its tokens before and after, and what was and was not changed.

    `origins` gives each message's index in the original request, None for a summary; an unchanged
    message is the same object. The token counts are estimates unless `exact`. `removed` is for
    the ledger: the input tokens removed from the call, and how many of them an earlier call of
    the conversation had already sent. `context` says, for each context that was over its budget
    and is sent, which documents were kept, cut and dropped, or why less was cut.
    """

    request: ChatRequest
    tokens_before: int
    tokens: int
    removed: RemovedTokens
    exact: bool
    origins: tuple[int | None, ...]
    done: tuple[str, ...]
    left_alone: tuple[str, ...]
    context: tuple[ContextCut, ...] = ()


class RequestOptimizer(WarmsUp, PickledAsArguments):
    """Makes requests cheaper; safe to share between threads.

    Args:
        passes: What is shortened without loss. The default, `"json"`, takes the blanks out of
            JSON where a whole text of a tool message, or a whole document of retrieved context in
            tags or alone in its section, is JSON or lines of JSON objects, and proves by parsing
            that the value is the same. `"tables"` writes JSON records with the same keys as
            tables; `from_table` reads them back. The others act on user and system messages only,
            and change how a text is written, so decide by your own prompts: `"embedded_json"`
            (JSON that stands by itself in a text), `"markup"` (HTML comments and invisible
            characters between prose), `"whitespace"` (gaps between sentences and paragraphs of
            prose), `"repeats"` (long paragraphs that are repeated word for word). An empty set
            switches all of them off, for example for an agent that edits JSON files by their
            exact text.
        context: A token budget for the retrieved context in each message; None keeps it all. In
            a system message it applies only to a conversation's first question.
        history: Settings for summarising long conversations; None keeps them. With a warm cache
            messages are summarised only if that saves money in the same call, or if the request
            would exceed `max_tokens` or the model's context window.
        max_tokens: A hard limit on the request, kept by removing the middle of the longest
            messages, with a warning.
        provider_cache: Whether to take the provider's prompt cache into account. Switch it off
            if your cache is always cold: then shortening is always cheaper.
        marks: Whether to set the provider's cache breakpoints.
        cache_key: Routes requests with the same prefix to the same cache, if the provider can.
        counter, prices: Shared with other components if given.
        embed: Adds similarity in meaning to the selection of context.
        report: Gets the result of each request that an adapter sends; by default the cuts of
            context are logged. In a model, a chain or an agent this is the way to the result.

    Raises:
        ConfigurationError: a setting is out of range or of another kind.
    """

    def __init__(
        self,
        *,
        passes: Collection[PassName] = LOSSLESS,
        context: ContextBudget | None = None,
        history: History | None = None,
        max_tokens: int | None = None,
        provider_cache: bool = True,
        marks: bool = False,
        cache_key: str | None = None,
        counter: TokenCounter | None = None,
        prices: PriceBook | None = None,
        embed: Embed | None = None,
        report: Callable[[Optimized], None] | None = None,
    ) -> None:
        self._passes: frozenset[PassName] = names("passes", passes, get_args(PassName))
        give = "a ContextBudget(max_tokens=…)"
        self._context = optional(instance, "context", context, ContextBudget, give=give)
        self._history = optional(instance, "history", history, History, give="a History(keep=…)")
        self._max_tokens = optional(whole, "max_tokens", max_tokens, least=1)
        self._provider_cache = flag("provider_cache", provider_cache)
        self._marks = flag("marks", marks)
        self._cache_key = optional(text, "cache_key", cache_key)
        self._counter = optional(instance, "counter", counter, TokenCounter) or TokenCounter()
        self._prices = optional(instance, "prices", prices, PriceBook) or PriceBook()
        self._embed = optional(function, "embed", embed)
        self._report = optional(function, "report", report) or _log_cuts
        self._warm = False

    def __fingerprint__(self) -> object:
        """What decides the prompt that is sent, for the key of a cache in front of it."""
        steps = (self._passes, self._context, self._history, self._max_tokens, self._embed)
        return (*steps, self._provider_cache, self._marks)

    def optimize(self, request: ChatRequest) -> Optimized:
        """Return the cheaper request, or `request` itself if nothing is gained.

        A call that is held out (see `holdout`) goes untouched, unless it is too long to be sent.
        """
        before = self._counter.count_request(instance("request", request, ChatRequest))
        if is_held_out() and not self._exceeds(before, request.model):
            return _unchanged(request, before)
        cut, cuts = self._context_cut(request)
        planned = self._planned(request, cut)
        sent, done = replace(request, messages=planned.messages), planned.plan.changes()
        notes: list[str] = []
        if self._max_tokens is not None:
            sent, notes = trimmed(sent, max_tokens=self._max_tokens, counter=self._counter)
        plan, origins = planned.plan, planned.origins
        context = sent_cuts(
            cuts, planned.messages, sent.messages, origins, shortened=plan.shortened
        )
        done += [str(cut) for cut in context if cut.changed] + notes
        sent = self._with_breakpoints(sent)
        if sent.messages == request.messages and sent.params == request.params:
            sent, after = request, before
        else:
            after = self._counter.count_request(sent)
        self._warm = True
        removed = max(0, before.tokens - after.tokens)
        newly = self._removed_newly(request, sent.messages, origins)
        return Optimized(
            request=sent,
            tokens_before=before.tokens,
            tokens=after.tokens,
            removed=RemovedTokens(tokens=removed, repeated=max(0, removed - newly)),
            exact=before.exact and after.exact,
            origins=origins,
            done=tuple(done),
            left_alone=(*plan.left_alone, *(str(cut) for cut in context if not cut.changed)),
            context=context,
        )

    async def aoptimize(self, request: ChatRequest) -> Optimized:
        """Like `optimize`, in a thread if it would block the event loop."""
        if self._may_wait(request):
            return await asyncio.to_thread(self.optimize, request)
        return self.optimize(request)

    def warm_up(self, *models: str) -> None:
        """Load now what the first call would load: vocabularies of these models, prices, words.

        Never raises; a failing embedder is logged.
        """
        self._counter.warm_up(*models)
        self._prices.warm_up()
        for message in _EXAMPLE.messages:
            shortened(message, self._passes)
        if self._context is not None:
            budget = replace(self._context, max_tokens=1)
            cut_messages(_EXAMPLE, budget, counter=self._counter, embed=self._embed)
        self._warm = True

    async def awarm_up(self, *models: str) -> None:
        """Do the same in a thread."""
        await asyncio.to_thread(self.warm_up, *models)

    def _may_wait(self, request: ChatRequest) -> bool:
        """Whether optimising could take more than some milliseconds."""
        length = sum(len(message.text) for message in request.messages)
        summarises = self._history is not None and self._history.summariser is not None
        # Within its budget no context is cut, so none is ranked or embedded.
        cuts = self._context is not None and length * _TOKENS > self._context.max_tokens
        cold = not self._warm or not self._counter.is_warm(request.model)
        return summarises or cuts or cold or length > _BLOCKING

    def apply(
        self, read: Callable[[], ChatRequest], write: Callable[[Optimized], T], *, otherwise: T
    ) -> T:
        """Optimise `read()` and return `write` of the result; on an error warn, return `otherwise`.

        For adapters: a prompt is sent even if its shortening or translation fails.
        """
        with FailOpen(__name__, _SENT_UNCHANGED):
            return self._reported(optimized := self.optimize(read()), write(optimized))
        return otherwise

    async def aapply(
        self, read: Callable[[], ChatRequest], write: Callable[[Optimized], T], *, otherwise: T
    ) -> T:
        """Like `apply`, in a thread if it would block the event loop."""
        with FailOpen(__name__, _SENT_UNCHANGED):
            return self._reported(optimized := await self.aoptimize(read()), write(optimized))
        return otherwise

    def _reported(self, optimized: Optimized, written: T) -> T:
        """Return what was written, once the result is reported."""
        with FailOpen(__name__, "`report` failed; the prompt is sent all the same"):
            self._report(optimized)
        return written

    def _context_cut(self, request: ChatRequest) -> tuple[Sequence[Message], Sequence[ContextCut]]:
        """Return the messages with their context cut, and what was kept of it."""
        if self._context is None:
            return request.messages, ()
        return cut_messages(request, self._context, counter=self._counter, embed=self._embed)

    def _planned(self, request: ChatRequest, cut: Sequence[Message]) -> PlannedRequest:
        """Decide which shortened messages to send, and which history to summarise."""
        shorter = [shortened(message, self._passes) for message in cut]
        rules = cache_rules(request.model, self._prices) if self._provider_cache else None
        single = not request.params.get("tools") and _cuts_first_call(request.messages, cut)
        plan = partial(
            plan_request,
            request,
            shorter,
            counter=self._counter,
            prices=self._prices,
            history=self._history,
        )
        planned = plan(rules, single_call=single)
        if rules is None or self._history is None:
            return planned
        if not self._too_long(replace(request, messages=planned.messages)):
            return planned
        return plan(None)  # It does not fit: summarise, even if a cached prefix is lost.

    def _too_long(self, request: ChatRequest) -> bool:
        return self._exceeds(self._counter.count_request(request), request.model)

    def _exceeds(self, count: TokenCount, model: str) -> bool:
        limit = self._max_tokens or self._prices.context_window(model)
        return limit is not None and count.tokens > limit

    def _with_breakpoints(self, request: ChatRequest) -> ChatRequest:
        if not self._marks and self._cache_key is None:
            return request
        sizes = [self._tokens(m, request.model) for m in request.messages]
        rules = cache_rules(request.model, self._prices)
        if rules is not None and not self._marks:
            rules = replace(rules, max_breakpoints=0)
        return with_breakpoints(request, sizes, rules, key=self._cache_key)

    def _removed_newly(
        self,
        request: ChatRequest,
        sent: Sequence[Message],
        origins: Sequence[int | None],
    ) -> int:
        """Return the tokens removed from messages after the last answer, never sent before."""
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


def _unchanged(request: ChatRequest, count: TokenCount) -> Optimized:
    return Optimized(
        request=request,
        tokens_before=count.tokens,
        tokens=count.tokens,
        removed=NOTHING_REMOVED,
        exact=count.exact,
        origins=tuple(range(len(request.messages))),
        done=(),
        left_alone=("the call is held out",),
    )


def _log_cuts(optimized: Optimized) -> None:
    for cut in optimized.context:
        log_cut(cut)


def _cuts_first_call(messages: Sequence[Message], cut: Sequence[Message]) -> bool:
    """Return whether context was cut in a message of the conversation's first call."""
    pairs = zip(messages, cut, strict=True)
    first_call = takewhile(lambda pair: pair[0].role != "assistant", pairs)
    return any(before is not after for before, after in first_call)
