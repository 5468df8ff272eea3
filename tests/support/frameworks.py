"""One interface to both frameworks' components, so that one suite can run on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from langchain_llm_optimizers.optimized import OptimizedChatModel
from llm_optimizers.batching import GroupLimits
from llm_optimizers.costs import CallRecord, Ledger
from support.fakes import StreamingFake
from support.llama_fakes import FakeLLM

METHODS = ("ask", "aask", "stream", "astream")


class Framework(Protocol):
    """What the suite needs from a framework: fakes, wrappers, four call methods, and records."""

    def fake(self, model: str, **behaviour: Any) -> Any:
        """A model that answers `f"{model} says: {text}"` and lists its `calls`."""

    def reporting(self, model: str, **behaviour: Any) -> Any:
        """The same, reporting its calls itself, wherever it is called."""

    def cached(self, inner: Any, **settings: Any) -> Any: ...
    def routed(self, models: Sequence[Any], policy: Any, **settings: Any) -> Any: ...
    def batched(
        self,
        inner: Any,
        *,
        max_size: int = 6,
        max_delay: float = 2.0,
        timeout: float | None = None,
    ) -> Any: ...
    def shortened(self, inner: Any) -> Any: ...
    def stats(self, cached: Any) -> Any: ...
    def records(self) -> list[CallRecord]: ...
    def counting(self) -> Any: ...
    def tagged(self, model: Any, text: str, tags: Mapping[str, str]) -> None: ...
    def pieces(self, model: Any, text: str, *, system: str = "") -> Iterator[str]: ...
    def apieces(self, model: Any, text: str, *, system: str = "") -> AsyncIterator[str]: ...
    def ask(self, model: Any, text: str, *, system: str = "", user: str = "") -> str: ...
    async def aask(
        self, model: Any, text: str, *, system: str = "", user: str = "", **settings: Any
    ) -> str:
        """Return the answer; `tools` are functions, other settings are passed to the call."""
        ...


def ask_by(framework: Framework, method: str, model: Any, text: str, *, system: str = "") -> str:
    """Return the answer of one of the four call methods."""
    if method == "ask":
        return framework.ask(model, text, system=system)
    if method == "aask":
        return asyncio.run(framework.aask(model, text, system=system))
    if method == "stream":
        return "".join(framework.pieces(model, text, system=system))

    async def joined() -> str:
        return "".join([piece async for piece in framework.apieces(model, text, system=system)])

    return asyncio.run(joined())


class NoStructuredOutputFake(StreamingFake):
    """A fake without structured output, so that the prompt has to describe the JSON."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class LangChain:
    """LangChain's chat models."""

    def __init__(self) -> None:
        self._costs = lc.CostCallbackHandler(Ledger())

    def fake(self, model: str, **behaviour: Any) -> NoStructuredOutputFake:
        return NoStructuredOutputFake(model=model, **behaviour)

    def reporting(self, model: str, **behaviour: Any) -> NoStructuredOutputFake:
        return self.fake(model, callbacks=[self._costs], **behaviour)

    def cached(self, inner: Any, **settings: Any) -> Any:
        return lc.CachedChatModel(model=inner, cache=lc.HybridCache(**settings))

    def routed(self, models: Sequence[Any], policy: Any, **settings: Any) -> Any:
        named = {self.name_of(each): each for each in models}
        return lc.ChatModelRouter(models=named, policy=policy, **settings)

    def batched(
        self,
        inner: Any,
        *,
        max_size: int = 6,
        max_delay: float = 2.0,
        timeout: float | None = None,
    ) -> Any:
        return lc.BatchingChatModel(
            model=inner,
            combine=True,
            max_size=max_size,
            max_delay=max_delay,
            answer_timeout=timeout,
        )

    def shortened(self, inner: Any) -> Any:
        return OptimizedChatModel(model=inner)

    def stats(self, cached: Any) -> Any:
        return cached.cache.stats

    def records(self) -> list[CallRecord]:
        return list(self._costs.ledger.records())

    @contextmanager
    def counting(self) -> Iterator[None]:
        yield

    def ask(self, model: Any, text: str, *, system: str = "", user: str = "") -> str:
        return str(model.invoke(self._messages(text, system), self._config(user)).text)

    async def aask(
        self, model: Any, text: str, *, system: str = "", user: str = "", **settings: Any
    ) -> str:
        tools = settings.pop("tools", ())
        bound = model.bind_tools(tools) if tools else model
        messages = self._messages(text, system)
        return str((await bound.ainvoke(messages, self._config(user), **settings)).text)

    def pieces(self, model: Any, text: str, *, system: str = "") -> Iterator[str]:
        return (str(c.text) for c in model.stream(self._messages(text, system), self._config("")))

    async def apieces(self, model: Any, text: str, *, system: str = "") -> AsyncIterator[str]:
        async for chunk in model.astream(self._messages(text, system), self._config("")):
            yield str(chunk.text)

    def name_of(self, model: Any) -> str:
        return str(model._get_ls_params()["ls_model_name"])

    def tagged(self, model: Any, text: str, tags: Mapping[str, str]) -> None:
        model.invoke(text, {"callbacks": [self._costs], "metadata": dict(tags)})

    def _messages(self, text: str, system: str) -> list[BaseMessage]:
        return [*([SystemMessage(system)] if system else []), HumanMessage(text)]

    def _config(self, user: str) -> Any:
        return {"callbacks": [self._costs], "metadata": {"user": user} if user else {}}


class LlamaIndex:
    """LlamaIndex's LLMs."""

    def __init__(self) -> None:
        self._costs = li.CostEventHandler(Ledger())

    def fake(self, model: str, **behaviour: Any) -> FakeLLM:
        return FakeLLM(model=model, **behaviour)

    def reporting(self, model: str, **behaviour: Any) -> FakeLLM:
        return self.fake(model, **behaviour)

    def cached(self, inner: Any, **settings: Any) -> Any:
        return li.CachedLLM(inner, li.HybridCache(**settings))

    def routed(self, models: Sequence[Any], policy: Any, **settings: Any) -> Any:
        return li.RoutedLLM(models, policy=policy, **settings)

    def batched(
        self,
        inner: Any,
        *,
        max_size: int = 6,
        max_delay: float = 2.0,
        timeout: float | None = None,
    ) -> Any:
        limits = GroupLimits(max_size=max_size, max_delay=max_delay)
        return li.BatchedLLM(inner, combine=True, limits=limits, timeout=timeout)

    def shortened(self, inner: Any) -> Any:
        return li.PromptOptimizingLLM(inner)

    def stats(self, cached: Any) -> Any:
        return cached.cache.stats

    def records(self) -> list[CallRecord]:
        return list(self._costs.ledger.records())

    @contextmanager
    def counting(self) -> Iterator[None]:
        asyncio.set_event_loop(None)
        with self._costs:
            yield

    def ask(self, model: Any, text: str, *, system: str = "", user: str = "") -> str:
        with instrument_tags({"user": user} if user else {}):
            return model.chat(self._messages(text, system)).message.content or ""

    async def aask(
        self, model: Any, text: str, *, system: str = "", user: str = "", **settings: Any
    ) -> str:
        tools = [FunctionTool.from_defaults(each) for each in settings.pop("tools", ())]
        messages = self._messages(text, system)
        with instrument_tags({"user": user} if user else {}):
            if tools:
                answer = await model.achat_with_tools(tools, chat_history=messages, **settings)
            else:
                answer = await model.achat(messages, **settings)
        return answer.message.content or ""

    def pieces(self, model: Any, text: str, *, system: str = "") -> Iterator[str]:
        chunks = model.stream_chat(self._messages(text, system))
        try:
            for chunk in chunks:
                yield chunk.delta or ""
        finally:
            chunks.close()

    async def apieces(self, model: Any, text: str, *, system: str = "") -> AsyncIterator[str]:
        chunks = await model.astream_chat(self._messages(text, system))
        try:
            async for chunk in chunks:
                yield chunk.delta or ""
        finally:
            await chunks.aclose()

    def tagged(self, model: Any, text: str, tags: Mapping[str, str]) -> None:
        with instrument_tags(dict(tags)):
            model.chat([ChatMessage(text)])

    def _messages(self, text: str, system: str) -> list[ChatMessage]:
        before = [ChatMessage(role="system", content=system)] if system else []
        return [*before, ChatMessage(text)]


FRAMEWORKS: Mapping[str, type[LangChain] | type[LlamaIndex]] = {
    "langchain": LangChain,
    "llama-index": LlamaIndex,
}
