"""`OptimizedChatModel`: a chat model that is sent shorter prompts, wherever it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatResult
from pydantic import Field

from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.prompts import afailing_open, failing_open, request_of, rewritten
from llm_optimizers.effects import closing_async
from llm_optimizers.prompts import Optimized, RequestOptimizer
from llm_optimizers.types import ChatRequest

__all__ = ["OptimizedChatModel"]


class OptimizedChatModel(DelegatingChatModel):
    """`PromptOptimizer` as a chat model, for places that take a model and no chain.

    Behind a cache the question stays what the user asked, so that it is found again:

        CachedChatModel(model=OptimizedChatModel(model=ChatOpenAI(model="gpt-4o")))
    """

    model: BaseChatModel
    """The model that is sent the shorter prompts."""
    optimizer: RequestOptimizer = Field(default_factory=RequestOptimizer, exclude=True)
    """What shortens them; lossless only by default."""

    @property
    def _child(self) -> BaseChatModel:
        return self.model

    @property
    def _llm_type(self) -> str:
        return f"optimized-{self.model._llm_type}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model._identifying_params}

    def _answer(self, call: ModelCall) -> ChatResult:
        return self._shorter(call).generate(self.model)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        return await (await self._ashorter(call)).agenerate(self.model)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return self._shorter(call).stream(self.model)

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        async with closing_async((await self._ashorter(call)).astream(self.model)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _shorter(self, call: ModelCall) -> ModelCall:
        found = failing_open(lambda: self.optimizer.optimize(self._request(call)))
        return _with(call, found)

    async def _ashorter(self, call: ModelCall) -> ModelCall:
        async def work() -> Optimized:
            return await self.optimizer.aoptimize(self._request(call))

        return _with(call, await afailing_open(work))

    def _request(self, call: ModelCall) -> ChatRequest:
        params = self.model._get_ls_params(stop=call.stop, **call.kwargs)
        name = str(params.get("ls_model_name") or "")
        return request_of(call.messages, name, tools=call.kwargs.get("tools") or ())


def _with(call: ModelCall, found: Optimized | None) -> ModelCall:
    return call if found is None else replace(call, messages=rewritten(call.messages, found))
