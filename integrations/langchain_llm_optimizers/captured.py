"""`Captured`: what a call through a model's wrappers would send to a provider.

The call goes through all wrappers as an ordinary one does: a cache may answer it, a router decides,
an optimizer shortens the prompt. Only the model behind them is not called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_llm_optimizers.account import hit_mark
from langchain_llm_optimizers.batching import BatchingChatModel
from langchain_llm_optimizers.cached import CachedChatModel
from langchain_llm_optimizers.call import CAPTURE, ModelCall
from langchain_llm_optimizers.codec import GenerationsCodec, generation_of
from langchain_llm_optimizers.hits import ServedChatModel, set_run_fields
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.own_cache import OwnCache
from langchain_llm_optimizers.run_tree import attribution_in
from langchain_llm_optimizers.usage import removed_of
from langchain_llm_optimizers.wrappers import is_wrapper
from llm_optimizers.batching.provider import RequestContext
from llm_optimizers.caching.answers import CACHE_HIT
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext, context_of
from llm_optimizers.errors import ConfigurationError

__all__ = ["Captured", "answer_from", "capture", "keep_answer", "message_from"]

T = TypeVar("T")

_CODEC = GenerationsCodec()


@dataclass(slots=True)
class Captured:
    """One call: either a cache's `hit`, or the `model` and `call` that would be asked.

    `marks` is what the wrappers write on the answer, `account` what a router says of the call to
    the ledger. `keys` are those of the caches on the outside, from the outside in.
    """

    keys: list[CacheKey | None] = field(default_factory=list)
    hit: ChatResult | None = None
    model: BaseChatModel | None = None
    call: ModelCall | None = None
    account: CallContext = NO_CALL_CONTEXT
    marks: dict[str, Any] = field(default_factory=dict)

    def take(self, model: BaseChatModel, call: ModelCall) -> ChatResult:
        """See `Capture.take`."""
        if isinstance(model, ServedChatModel):
            return _uncaptured(partial(call.generate, model))
        own = OwnCache.of(model)
        stored = None if own is None else _uncaptured(partial(own.served, call))
        if stored is not None:
            return stored
        self.model, self.call = model, call
        self.account = context_of(str(call.config.get("run_id") or ""))
        # An empty draft fails a cascade's first check, so that the strong model is asked: nobody
        # could check the draft before the batch is done.
        text = "" if self.account.role == "draft" else "-"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def context(self) -> RequestContext:
        """Return what the batch's journal and the ledger need to know of the call."""
        note: dict[str, Any] = {"marks": self.marks}
        if self.hit is not None:
            return RequestContext(note={**note, "hit": True})
        assert self.call is not None
        config, last = self.call.config, self.call.messages[-1:]
        mark = last[0].additional_kwargs.get(METADATA_KEY) if last else None
        note["keys"] = [None if key is None else key.as_dict() for key in self.keys]
        return RequestContext(
            tags=attribution_in(
                config, config.get("metadata") or {}, config.get("tags") or ()
            ).tags,
            baseline_model=self.account.baseline_model,
            baseline_provider=self.account.baseline_provider,
            removed=self.account.removed + removed_of(mark),
            note=note,
        )


def _uncaptured(serve: Callable[[], T]) -> T:
    token = CAPTURE.set(None)
    try:
        return serve()
    finally:
        CAPTURE.reset(token)


def capture(model: BaseChatModel, call: ModelCall) -> Captured:
    """Send a call through a model's wrappers, up to the model behind them.

    Raises:
        Whatever a wrapper raises, such as NoModelFitsError.
        ConfigurationError: a wrapper answered by itself.
    """
    taken = Captured(keys=[cached.key_of(each) for cached, each in _caches_of(model, call)])
    token = CAPTURE.set(taken)
    try:
        result = call.generate(model)
    finally:
        CAPTURE.reset(token)
    taken.marks = dict(_first(result).response_metadata.get(METADATA_KEY) or {})
    if hit_mark(result.generations) is not None:
        taken.hit = result  # not any hit on the way: a cascade may have refused it as a draft
    elif taken.model is None:
        raise ConfigurationError(
            f"a wrapper in {type(model).__name__} answers without its model: put it after the batch"
        )
    return taken


def answer_from(hit: ChatResult) -> dict[str, Any]:
    """Return a hit as JSON values, for `message_from` in any process."""
    mark = hit_mark(hit.generations)
    return {"generations": _CODEC.encode(list(hit.generations)), CACHE_HIT: mark}


def message_from(answer: Any) -> AIMessage:
    """Return the hit that `answer_from` wrote.

    Raises:
        ValueError: it was not written by `answer_from`.
    """
    generations = cast("list[ChatGeneration]", _CODEC.decode(answer["generations"]))
    message = _first(ChatResult(generations=generations))
    message.response_metadata[CACHE_HIT] = answer[CACHE_HIT]
    set_run_fields(message)
    return message


def keep_answer(model: BaseChatModel, call: ModelCall, keys: Any, message: AIMessage) -> None:
    """Store an answer in the caches around a model, under the keys of its captured call.

    Raises:
        ConfigurationError: the model has other caches than when the call was captured.
    """
    caches = _caches_of(model, call)
    if len(caches) != len(keys):
        raise ConfigurationError("the chain has other caches than when the batch was submitted")
    result = ChatResult(generations=[generation_of(message)])
    for (cached, each), key in zip(caches, keys, strict=True):
        if key is not None:
            cached.keep(CacheKey.from_dict(key), each, result)


def _caches_of(
    model: BaseChatModel, call: ModelCall
) -> list[tuple[CachedChatModel | OwnCache, ModelCall]]:
    """Return the caches on the outside of a model, each with the call that it gets.

    Within a router or an optimizer a cache gets a call that depends on what they decide.
    """
    found: list[tuple[CachedChatModel | OwnCache, ModelCall]] = []
    while isinstance(model, CachedChatModel | BatchingChatModel):
        if isinstance(model, CachedChatModel):
            found.append((model, call))
        model, call, _ = model._passed_on(call, None)
    own = None if is_wrapper(model) else OwnCache.of(model)
    return found if own is None else [*found, (own, call)]


def _first(result: ChatResult) -> AIMessage:
    return cast("AIMessage", result.generations[0].message)
