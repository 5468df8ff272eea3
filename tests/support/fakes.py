"""Fake chat models: answers made of the questions, recorded calls, and errors on demand."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr


class StreamingFake(BaseChatModel):
    """Answers `f"{model} says: {last text}"`, streams it by words, and can call tools.

    With tools bound and `tool_choice` set, or a text about magic or the weather, it calls the first
    tool with the numbers of the text as arguments.
    """

    model: str = "gpt-4o-mini"
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = None
    stop_sequences: list[str] | None = None
    timeout: float | None = None
    max_retries: int | None = None
    delay: float = 0.0
    n: int = 1
    breaks_after: int | None = None
    """Number of chunks after which a stream breaks."""
    usage: bool = True
    """Whether answers report their tokens."""
    finish_reason: str = "stop"
    service_tier: str = ""
    """The service tier that answers report, if any."""
    reply: Callable[[str], str] | None = Field(default=None, exclude=True)
    fail: Callable[[str], BaseException | None] | None = Field(default=None, exclude=True)
    _calls: list[str] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def calls(self) -> list[str]:
        """The last message's text of each call."""
        return self._calls

    @property
    def _llm_type(self) -> str:
        return "streaming-fake"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "openai"}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "temperature": self.temperature, "n": self.n}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=formatted, **kwargs)

    def _asked(self, messages: list[BaseMessage]) -> str:
        text = messages[-1].text if messages else ""
        with self._lock:
            self._calls.append(text)
        error = self.fail(text) if self.fail else None
        if error is not None:
            raise error
        return text

    def _message(self, text: str, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        body = self.reply(text) if self.reply else f"{self.model} says: {text}"
        calls = []
        tools = kwargs.get("tools") or []
        wanted = kwargs.get("tool_choice") or re.search("magic|weather", text, re.IGNORECASE)
        if tools and wanted and messages[-1].type == "human":
            function = tools[0]["function"]
            calls = [
                {"name": function["name"], "args": _arguments(function, text), "id": "call_1a"}
            ]
            body = ""
        sent = sum(len(m.text.split()) + 4 for m in messages)
        tier = {"service_tier": self.service_tier} if self.service_tier else {}
        metadata = {"model_name": self.model, "finish_reason": self.finish_reason, **tier}
        return AIMessage(
            content=body,
            tool_calls=calls,
            response_metadata=metadata,
            usage_metadata={
                "input_tokens": sent,
                "output_tokens": len(body.split()) + 1,
                "total_tokens": sent + len(body.split()) + 1,
            }
            if self.usage
            else None,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = self._asked(messages)
        time.sleep(self.delay)
        answers = [self._message(text, messages, kwargs) for _ in range(self.n)]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in answers])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = self._asked(messages)
        await asyncio.sleep(self.delay)
        answers = [self._message(text, messages, kwargs) for _ in range(self.n)]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in answers])

    def _chunks(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> list[AIMessageChunk]:
        whole = self._message(self._asked(messages), messages, kwargs)
        words = [AIMessageChunk(content=w) for w in re.findall(r"\s*\S+", str(whole.content))]
        calls = [
            tool_call_chunk(name=c["name"], args=_dumps(c["args"]), id=c["id"], index=i)
            for i, c in enumerate(whole.tool_calls)
        ]
        last = AIMessageChunk(
            content="",
            tool_call_chunks=calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            chunk_position="last",
        )
        return [*words, last]

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for number, chunk in enumerate(self._chunks(messages, kwargs)):
            if number == self.breaks_after:
                raise ConnectionError("broken")
            time.sleep(self.delay)
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for number, chunk in enumerate(self._chunks(messages, kwargs)):
            if number == self.breaks_after:
                raise ConnectionError("broken")
            await asyncio.sleep(self.delay)
            yield ChatGenerationChunk(message=chunk)


class CombiningFake(StreamingFake):
    """A streaming fake that answers combined prompts with a call of the `answers` tool.

    `faults` may contain "garbled" (no JSON), "confused" (wrong answers) and questions that it does
    not answer; copies share them.
    """

    faults: set[str] = Field(default_factory=set)

    def _message(self, text: str, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        tools = kwargs.get("tools") or []
        if not tools or tools[0]["function"]["name"] != "answers":
            return super()._message(text, messages, kwargs)
        asked = json.loads(text.split("\n\n")[1])
        says = "thinks" if "confused" in self.faults else "says"
        answers = [
            {"id": q["id"], "answer": f"{self.model} {says}: {q['request']}"}
            for q in asked
            if q["request"] not in self.faults
        ]
        whole = super()._message(text, messages, {})
        if "garbled" in self.faults:
            return whole.model_copy(update={"content": "I would rather not."})
        call = {"name": "answers", "args": {"answers": answers}, "id": "call_1"}
        return AIMessage(
            content="",
            tool_calls=[call],
            response_metadata=whole.response_metadata,
            usage_metadata=whole.usage_metadata,
        )

    @property
    def call_count(self) -> int:
        return len(self.calls)


def _arguments(function: dict[str, Any], text: str) -> dict[str, Any]:
    numbers = [int(number) for number in re.findall(r"\d+", text)] or [0]
    properties = function.get("parameters", {}).get("properties", {})
    return {
        name: numbers[i % len(numbers)] if schema.get("type") in ("integer", "number") else text
        for i, (name, schema) in enumerate(properties.items())
    }


def _dumps(value: Any) -> str:
    return json.dumps(value)
