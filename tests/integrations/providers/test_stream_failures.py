"""Streams that fail after their status: another model answers until the first piece of content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from llama_index.core.llms import MockLLM
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai import OpenAI, OpenAIResponses

from langchain_llm_optimizers import CachedChatModel, ChatModelRouter
from llama_index_llm_optimizers import CachedLLM, RoutedLLM
from llm_optimizers.errors import InterruptedStreamError
from support.scripted_server import scripted_server

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
Events = Sequence[Mapping[str, Any]]
KEY = "sk-of-the-test"


def chat_chunk(**delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "gpt-4o-mini",
        "choices": [choice],
    }


def response(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_800_000_000,
        "model": "gpt-4o-mini",
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def response_failed(code: str) -> dict[str, Any]:
    failed = response("failed", error={"code": code, "message": "no"})
    return {"type": "response.failed", "sequence_number": 9, "response": failed}


OPENING: dict[str, Events] = {
    "openai": [chat_chunk(role="assistant", content="")],
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": response("in_progress")}
    ],
    "anthropic": [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-opus-4-7",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 5, "output_tokens": 1},
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
    ],
}
CONTENT: dict[str, Events] = {
    "openai": [chat_chunk(content="Some")],
    "responses": [
        {
            "type": "response.output_text.delta",
            "sequence_number": 1,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "Some",
            "logprobs": [],
        }
    ],
    "anthropic": [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Some"},
        }
    ],
}
PASSING: dict[str, Events] = {
    "openai": [{"error": {"message": "no", "type": "server_error", "code": None}}],
    "responses": [response_failed("server_error")],
    "anthropic": [{"type": "error", "error": {"type": "overloaded_error", "message": "no"}}],
}
REFUSED: dict[str, Events] = {
    "openai": [{"error": {"message": "no", "type": None, "code": "content_filter"}}],
    "responses": [response_failed("invalid_prompt")],
    "anthropic": [{"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}],
}


def of_langchain(api: str, url: str) -> Any:
    if api == "anthropic":
        return ChatAnthropic(
            model="claude-opus-4-7",
            base_url=url.removesuffix("/v1"),
            api_key=KEY,
            max_retries=0,
        )
    return ChatOpenAI(
        model="gpt-4o-mini",
        base_url=url,
        api_key=KEY,
        max_retries=0,
        use_responses_api=api == "responses",
    )


def of_llama_index(api: str, url: str) -> Any:
    if api == "anthropic":
        return Anthropic(
            model="claude-opus-4-7", base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0
        )
    kind = OpenAIResponses if api == "responses" else OpenAI
    return kind(model="gpt-4o-mini", api_base=url, api_key=KEY, max_retries=0)


class Failing:
    """A router in either framework whose first model's stream is these events."""

    def __init__(self, framework: str, api: str, url: str) -> None:
        self.framework = framework
        if framework == "langchain":
            weak = GenericFakeChatModel(messages=iter([AIMessage("from weak")]))
            self.router: Any = ChatModelRouter(
                models={"weak": weak, "strong": of_langchain(api, url)}
            )
        else:
            self.router = RoutedLLM({"weak": MockLLM(), "strong": of_llama_index(api, url)})

    async def text(self, way: str) -> str:
        if self.framework == "langchain":
            if way == "stream":
                return "".join(each.text for each in self.router.stream("from weak"))
            return "".join([each.text async for each in self.router.astream("from weak")])
        if way == "stream":
            return [each.text for each in self.router.stream_complete("from weak")][-1]
        return [each.text async for each in await self.router.astream_complete("from weak")][-1]


@pytest.fixture(params=["langchain", "llama_index"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["openai", "responses", "anthropic"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def failing(servers: ExitStack, framework: str, api: str, *parts: Mapping[str, Events]) -> Failing:
    events = [event for part in parts for event in part[api]]
    url = servers.enter_context(scripted_server({}, events)).url
    return Failing(framework, api, url)


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_before_the_first_piece_of_content_another_model_answers(
    servers: ExitStack, framework: str, api: str, way: str
) -> None:
    router = failing(servers, framework, api, OPENING, PASSING)
    assert await router.text(way) == "from weak"


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_after_it_the_stream_is_interrupted(
    servers: ExitStack, framework: str, api: str, way: str
) -> None:
    router = failing(servers, framework, api, OPENING, CONTENT, PASSING)
    with pytest.raises(InterruptedStreamError) as caught:
        await router.text(way)
    assert caught.value.partial == "Some"


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_refused_request_goes_to_no_other_model(
    servers: ExitStack, framework: str, api: str, way: str
) -> None:
    router = failing(servers, framework, api, OPENING, REFUSED)
    with pytest.raises(Exception) as caught:
        await router.text(way)
    assert not isinstance(caught.value, InterruptedStreamError)


TEXT = {"type": "output_text", "text": "Some", "annotations": []}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [TEXT],
}
USAGE = {
    "input_tokens": 1,
    "output_tokens": 1,
    "total_tokens": 2,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
COMPLETED: dict[str, Events] = {
    "responses": [
        {
            "type": "response.completed",
            "sequence_number": 5,
            "response": response("completed", output=[MESSAGE], usage=USAGE),
        }
    ]
}
BROKEN_OFF: dict[str, Events] = {"responses": []}


@pytest.mark.parametrize(
    ("end", "calls"), [(PASSING, 2), (REFUSED, 2), (BROKEN_OFF, 2), (COMPLETED, 1)]
)
def test_only_a_whole_stream_of_responses_is_kept(
    framework: str, end: dict[str, Events], calls: int
) -> None:
    events = [event for part in (OPENING, CONTENT, end) for event in part["responses"]]
    with scripted_server({}, events) as server:
        if framework == "langchain":
            ask: Any = CachedChatModel(of_langchain("responses", server.url)).stream
        else:
            ask = CachedLLM(of_llama_index("responses", server.url)).stream_complete
        for _ in range(2):
            with suppress(ValueError):  # langchain-openai's own for a failed response
                list(ask("How high is it?"))
        assert len(server.requests) == calls
