"""Fake LlamaIndex LLMs: answers made of the questions, recorded calls, and errors on demand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field, PrivateAttr


class FakeLLM(FunctionCallingLLM):
    """Answers `f"{model} says: {last text}"`, streams it by words, and can call tools.

    With tools given, a text about magic or the weather calls the first tool with the text's
    numbers. Usage is in `raw`, as OpenAI's mapping; `usage=False` reports none.
    """

    model: str = "gpt-4o-mini"
    temperature: float = 0.0
    window: int = 128_000
    tools: bool = True
    usage: bool = True
    delay: float = 0.0
    breaks_after: int | None = None
    """Number of chunks after which a stream breaks."""
    finish_reason: str = "stop"
    service_tier: str = ""
    """The service tier that answers report, if any."""
    reply: Callable[[str], str] | None = Field(default=None, exclude=True)
    fail: Callable[[str], BaseException | None] | None = Field(default=None, exclude=True)
    raw_of: Callable[[dict[str, Any]], Any] | None = Field(default=None, exclude=True)
    _calls: list[str] = PrivateAttr(default_factory=list)
    _asked: list[list[ChatMessage]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def class_name(cls) -> str:
        return "openai_llm"

    @property
    def calls(self) -> list[str]:
        """The last message's text of each call."""
        return self._calls

    @property
    def asked(self) -> list[list[ChatMessage]]:
        """The messages of each call."""
        return self._asked

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name=self.model,
            context_window=self.window,
            num_output=256,
            is_chat_model=True,
            is_function_calling_model=self.tools,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        response = self._respond(messages, kwargs)
        time.sleep(self.delay)
        return response

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        response = self._respond(messages, kwargs)
        await asyncio.sleep(self.delay)
        return response

    @llm_chat_callback()
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        def chunks() -> Generator[ChatResponse, None, None]:
            for number, chunk in enumerate(self._chunks(messages, kwargs)):
                if number == self.breaks_after:
                    raise ConnectionError("broken")
                time.sleep(self.delay)
                yield chunk

        return chunks()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        async def chunks() -> AsyncGenerator[ChatResponse, None]:
            for number, chunk in enumerate(self._chunks(messages, kwargs)):
                if number == self.breaks_after:
                    raise ConnectionError("broken")
                await asyncio.sleep(self.delay)
                yield chunk

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return _completion(self._respond([ChatMessage(prompt)], kwargs))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        return _completion(self._respond([ChatMessage(prompt)], kwargs))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        def chunks() -> Generator[CompletionResponse, None, None]:
            for chunk in self._chunks([ChatMessage(prompt)], kwargs):
                yield _completion(chunk)

        return chunks()

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        async def chunks() -> AsyncGenerator[CompletionResponse, None]:
            for chunk in self._chunks([ChatMessage(prompt)], kwargs):
                yield _completion(chunk)

        return chunks()

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        message = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
        messages = [*(chat_history or []), *([message] if message else [])]
        specs = [tool.metadata.to_openai_tool() for tool in tools]
        return {"messages": messages, "tools": specs, "tool_required": tool_required, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        blocks = [b for b in response.message.blocks if isinstance(b, ToolCallBlock)]
        if not blocks and error_on_no_tool_call:
            raise ValueError("no tool call")
        return [
            ToolSelection(
                tool_id=b.tool_call_id or "",
                tool_name=b.tool_name,
                tool_kwargs=json.loads(b.tool_kwargs)
                if isinstance(b.tool_kwargs, str)
                else b.tool_kwargs,
            )
            for b in blocks
        ]

    def _respond(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        text = messages[-1].content or ""
        with self._lock:
            self._calls.append(text)
            self._asked.append(list(messages))
        error = self.fail(text) if self.fail else None
        if error is not None:
            raise error
        body = self.reply(text) if self.reply else f"{self.model} says: {text}"
        blocks: list[Any] = [TextBlock(text=body)]
        tools = kwargs.get("tools") or []
        wanted = kwargs.get("tool_required") or re.search("magic|weather", text, re.IGNORECASE)
        if tools and wanted and messages[-1].role == MessageRole.USER:
            function = tools[0]["function"]
            arguments = _arguments(function, text)
            blocks = [
                ToolCallBlock(
                    tool_call_id="call_1a",
                    tool_name=function["name"],
                    tool_kwargs=json.dumps(arguments),
                )
            ]
            body = ""
        sent = sum(len((m.content or "").split()) + 4 for m in messages)
        raw: dict[str, Any] = {
            "model": self.model,
            "choices": [{"finish_reason": self.finish_reason}],
        }
        if self.service_tier:
            raw["service_tier"] = self.service_tier
        if self.usage:
            raw["usage"] = {"prompt_tokens": sent, "completion_tokens": len(body.split()) + 1}
        return ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks),
            raw=self.raw_of(raw) if self.raw_of else raw,
        )

    def _chunks(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> Generator[ChatResponse, None, None]:
        whole = self._respond(messages, kwargs)
        so_far = ""
        for word in re.findall(r"\s*\S+", whole.message.content or ""):
            so_far += word
            message = ChatMessage(role=MessageRole.ASSISTANT, content=so_far)
            yield ChatResponse(message=message, delta=word, raw={"model": self.model})
        yield whole.model_copy(update={"delta": ""})


class PlainLLM(CustomLLM):
    """An LLM without tools and without its own async methods."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="plain", is_chat_model=False)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=f"plain: {prompt}")

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        yield CompletionResponse(text=f"plain: {prompt}", delta=f"plain: {prompt}")


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "", delta=response.delta, raw=response.raw
    )


def _arguments(function: dict[str, Any], text: str) -> dict[str, Any]:
    numbers = [int(number) for number in re.findall(r"\d+", text)] or [0]
    properties = function.get("parameters", {}).get("properties", {})
    return {
        name: numbers[i % len(numbers)] if schema.get("type") in ("integer", "number") else text
        for i, (name, schema) in enumerate(properties.items())
    }


class HashEmbedding(BaseEmbedding):
    """Deterministic vectors of word hashes; texts that share words are closer."""

    model_name: str = "text-embedding-3-small"

    def _vector(self, text: str) -> list[float]:
        vector = [0.01] * 512
        for word in re.findall(r"\w+", text.lower()):
            vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 512] += 1.0
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._vector(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._vector(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector(text)
