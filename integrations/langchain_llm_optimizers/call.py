"""A request on its way to a chat model, in the form that all wrappers hand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig

__all__ = ["ModelCall", "nested_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request on its way to a model: what was asked, and how to hand it on."""

    messages: list[BaseMessage]
    config: RunnableConfig
    stop: list[str] | None
    kwargs: dict[str, Any]

    def generate(self, child: BaseChatModel) -> ChatResult:
        """Let the child answer, with all its generations."""
        result = child.generate([self.messages], self.stop, **self._run(), **self.kwargs)
        chats = cast("list[ChatGeneration]", result.generations[0])
        return ChatResult(generations=chats, llm_output=result.llm_output)

    async def agenerate(self, child: BaseChatModel) -> ChatResult:
        """The asynchronous twin of `generate`."""
        result = await child.agenerate([self.messages], self.stop, **self._run(), **self.kwargs)
        chats = cast("list[ChatGeneration]", result.generations[0])
        return ChatResult(generations=chats, llm_output=result.llm_output)

    def stream(self, child: BaseChatModel) -> Iterator[AIMessageChunk]:
        """Let the child stream."""
        return child.stream(self.messages, self.config, stop=self.stop, **self.kwargs)

    def astream(self, child: BaseChatModel) -> AsyncIterator[AIMessageChunk]:
        """The asynchronous twin of `stream`."""
        return child.astream(self.messages, self.config, stop=self.stop, **self.kwargs)

    def _run(self) -> dict[str, Any]:
        """The configuration as `generate` takes it."""
        return {
            "callbacks": self.config.get("callbacks"),
            "tags": self.config.get("tags"),
            "metadata": self.config.get("metadata"),
            "run_name": self.config.get("run_name"),
            "run_id": self.config.get("run_id"),
        }


def nested_call(messages: list[BaseMessage], stop: list[str] | None, kwargs: Any) -> ModelCall:
    """A call inside a run of our own: the callbacks already hear of that one."""
    return ModelCall(messages=messages, config={"callbacks": []}, stop=stop, kwargs=kwargs)
