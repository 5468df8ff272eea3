"""A cache hit is like the answer, field by field; what a hit leaves out is listed here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import Field

from llama_index_llm_optimizers import CachedLLM
from llama_index_llm_optimizers.codec import CachedReply, ReplyCodec, stream_to_cache
from support.llama_fakes import FakeLLM
from support.openai_answers import (
    CALLS,
    CITED_TEXT,
    FUNCTION_CALL,
    REASONING,
    WEB_SEARCH,
    call_deltas,
    completion,
    completion_events,
    response,
    response_events,
)
from support.scripted_server import scripted_server

QUESTION = "How do I activate my new card?"

# --- what the SDK makes of a provider's answer -------------------------------------------------

TEXT = (
    completion(content="Hello there, all of you."),
    completion_events([{"content": "Hello there, "}, {"content": "all of you."}]),
)
TOOLS = (
    completion("tool_calls", content="Well.", tool_calls=CALLS),
    completion_events([{"content": "Well."}, *call_deltas()], "tool_calls"),
)
CALLS_ONLY = (
    completion("tool_calls", tool_calls=CALLS),
    completion_events(call_deltas(), "tool_calls"),
)
CITED = [REASONING, WEB_SEARCH, CITED_TEXT]
CALLED = [REASONING, FUNCTION_CALL]
ANSWERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "text": (OpenAI, TEXT, {}),
    "log probabilities": (OpenAI, TEXT, {"logprobs": True, "top_logprobs": 1}),
    "text and calls": (OpenAI, TOOLS, {}),
    "calls": (OpenAI, CALLS_ONLY, {}),
    "reasoning and citations": (OpenAIResponses, (response(CITED), response_events(CITED)), {}),
    "reasoning and a call": (OpenAIResponses, (response(CALLED), response_events(CALLED)), {}),
}
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "usage", "thinking_delta")


def fields(reply: Any) -> Any:
    """Return a reply's fields without those that a hit leaves out.

    They are the provider's object and its counts, which belong to the original call, and the older
    form of the tool calls, which are blocks as well. Ids of tool calls are numbered.
    """
    written = reply.model_dump(exclude={"raw", "delta"})
    for name in (*COUNTS, "cache_hit"):
        written["additional_kwargs"].pop(name, None)
    message = written.get("message", {"additional_kwargs": {}, "blocks": []})
    message["additional_kwargs"].pop("tool_calls", None)
    text = json.dumps(written, default=str)
    ids = [b["tool_call_id"] for b in message["blocks"] if b["block_type"] == "tool_call"]
    ids += [call["id"] for call in written["additional_kwargs"].get("tool_calls", ())]
    for number, identifier in enumerate(ids):
        text = text.replace(identifier, f"call {number}")
    return json.loads(text)


def answer_of(llm: Any, method: str) -> tuple[Any, str]:
    """Return the reply, or a stream's last chunk, and the text of all its deltas."""
    asked: Any = QUESTION if "complete" in method else [ChatMessage(QUESTION)]
    reply = getattr(llm, method)(asked)
    if "stream" not in method:
        return reply, ""
    chunks = list(reply)
    return chunks[-1], "".join(chunk.delta or "" for chunk in chunks)


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["chat", "stream_chat", "complete", "stream_complete"])
@pytest.mark.parametrize("name", ANSWERS)
def test_every_field_of_a_hit_is_that_of_the_answer(name: str, method: str) -> None:
    kind, (body, events), settings = ANSWERS[name]
    with scripted_server(body, events) as server, httpx.Client() as client:
        llm = CachedLLM(
            kind(
                model="gpt-4o",
                api_base=server.url,
                api_key="sk-test",
                max_retries=0,
                http_client=client,
                **settings,
            )
        )
        (made, said), (hit, repeated) = answer_of(llm, method), answer_of(llm, method)
    if not hit.additional_kwargs.get("cache_hit"):
        assert "complete" in method  # A completion of tool calls has no text, so it is not kept.
        assert "call" in name
        return
    assert len(server.requests) == 1
    assert fields(hit) == fields(made)
    assert repeated == said
    assert hit.raw is None


# --- what Gemini leaves beside a message ------------------------------------------------------


class Reason(Enum):
    STOP = "STOP"


class Gemini(FakeLLM):
    """Answers with this message, as LlamaIndex's Gemini does: signatures are bytes."""

    message: ChatMessage = Field(exclude=True)

    def _respond(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        made = super()._respond(messages, kwargs)
        beside = dict(self.message.additional_kwargs)
        return made.model_copy(
            update={"message": self.message, "additional_kwargs": beside, "raw": None}
        )


SIGNATURE = b"\x01\xffsigned"
THOUGHT = ThinkingBlock(
    content="Let me see.",
    additional_information={
        "thought": True,
        "thought_signature": SIGNATURE,
        "media_resolution": None,
        "nested": [{"parts": {1: SIGNATURE}}],
    },
)
FROM_GEMINI = ChatMessage(
    role=MessageRole.ASSISTANT,
    blocks=[
        THOUGHT,
        TextBlock(text="Well, I will look it up."),
        ToolCallBlock(tool_call_id="weather", tool_name="weather", tool_kwargs={"town": "Ulm"}),
        ToolCallBlock(tool_call_id="weather", tool_name="weather", tool_kwargs={"town": "Bonn"}),
    ],
    additional_kwargs={"thought_signatures": [SIGNATURE, None, b""], "cached_content_tokens": 4},
)


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
def test_signatures_and_names_of_tools_come_back(method: str) -> None:
    inner = Gemini(message=FROM_GEMINI)
    llm = CachedLLM(inner)
    for _ in range(3):
        reply, _ = answer_of(llm, method)
        assert reply.message == FROM_GEMINI
        assert reply.additional_kwargs["thought_signatures"] == [SIGNATURE, None, b""]
    assert len(inner.calls) == 1


def call(identifier: str | None, name: str = "weather") -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=identifier, tool_name=name, tool_kwargs={})


def read_back(message: ChatMessage) -> ChatMessage:
    codec = ReplyCodec()
    found = codec.decode(codec.encode(CachedReply(reply=ChatResponse(message=message)))).reply
    assert isinstance(found, ChatResponse)
    return found.message


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["weather"], True),  # Gemini: the tool's name
        (["weather", "weather"], True),
        ([None], True),  # Ollama
        ([""], True),
        (["a-call", "a-call"], True),
        (["call_abc123def", "call_abc123deg"], False),
        (["toolu_01AbCdEfGh"], False),
    ],
    ids=str,
)
def test_only_ids_are_made_new(ids: list[str | None], kept: bool) -> None:
    message = ChatMessage(role="assistant", blocks=[call(each) for each in ids])
    found = [block.tool_call_id for block in read_back(message).blocks]  # type: ignore[union-attr]
    assert (found == ids) is kept
    assert len(set(found)) == len(set(ids))


def test_a_call_without_an_id_beside_one_with_an_id() -> None:
    message = ChatMessage(role="assistant", blocks=[call("search", "search"), call("call_abc123")])
    name, identifier = (b.tool_call_id for b in read_back(message).blocks)  # type: ignore[union-attr]
    assert name == "search"
    assert identifier not in ("call_abc123", None)


def test_citations_of_text_are_stored_and_those_of_files_are_not() -> None:
    cited = CitationBlock(
        cited_content=TextBlock(text="on the Danube"),
        source="guide",
        title="Ulm",
        additional_location_info={"start": 3},
    )
    message = ChatMessage(role="assistant", blocks=[TextBlock(text="Ulm lies there."), cited])
    assert read_back(message) == message
    shown = cited.model_copy(update={"cited_content": ImageBlock(url="https://a.example/x.png")})
    with pytest.raises(TypeError, match="CitationBlock"):
        read_back(message.model_copy(update={"blocks": [shown]}))
    codec = ReplyCodec()
    payload = codec.encode(CachedReply(reply=ChatResponse(message=message)))
    forged = payload.replace(
        '{"block_type": "text", "text": "on the Danube"}',
        '{"block_type": "image", "url": "file:///etc/passwd"}',
    )
    assert forged != payload
    with pytest.raises(ValueError, match=r"response|text"):
        codec.decode(forged)


# --- streams --------------------------------------------------------------------------------------


def test_the_thoughts_of_a_hit_are_streamed_once() -> None:
    blocks = [THOUGHT, TextBlock(text="a text of quite a few more words than one")]
    llm = CachedLLM(Gemini(message=ChatMessage(role="assistant", blocks=blocks)))
    for text in (QUESTION, "another"):
        llm.chat([ChatMessage(text)])
        chunks = list(llm.stream_chat([ChatMessage(text)]))
        deltas = [chunk.additional_kwargs.get("thinking_delta") for chunk in chunks]
        assert deltas == ["Let me see.", *[None] * (len(chunks) - 1)]
        assert all(chunk.message.blocks[0] == THOUGHT for chunk in chunks)


@pytest.mark.parametrize("text", [True, False])
def test_a_stream_stores_its_thoughts_before_its_text(text: bool) -> None:
    blocks = [THOUGHT, *([TextBlock(text="a")] if text else []), call("call_1")]
    last = ChatMessage(role="assistant", blocks=blocks)
    chunks = [
        ChatResponse(message=ChatMessage(role="assistant", content="a b"), delta="a b"),
        ChatResponse(message=last, delta=""),
    ]
    whole = stream_to_cache(chunks).reply
    assert isinstance(whole, ChatResponse)
    assert [type(block) for block in whole.message.blocks] == [
        ThinkingBlock,
        TextBlock,
        ToolCallBlock,
    ]
    assert whole.message.content == "a b"


# --- several answers ------------------------------------------------------------------------------


def in_turn(events: list[dict[str, Any]], number: int) -> Iterator[dict[str, Any]]:
    """Yield a stream's events for several answers, in turn, as OpenAI sends them."""
    for event in events:
        for index in range(number if event["choices"] else 1):
            yield {**event, "choices": [{**each, "index": index} for each in event["choices"]]}


@pytest.mark.loopback
@pytest.mark.parametrize("first", ["chat", "stream_chat", "complete", "stream_complete"])
def test_one_of_several_answers_is_never_stored(first: str) -> None:
    body = completion(content="Hello there")
    body["choices"] = [{**body["choices"][0], "index": index} for index in range(3)]
    events = list(in_turn(completion_events([{"content": "Hello "}, {"content": "there"}]), 3))
    with scripted_server(body, events) as server, httpx.Client() as client:
        llm = CachedLLM(
            OpenAI(
                http_client=client,
                model="gpt-4o",
                api_base=server.url,
                api_key="sk-test",
                max_retries=0,
                additional_kwargs={"n": 3},
            )
        )
        answer_of(llm, first)
        assert len(llm.cache) == 0
        reply, _ = answer_of(llm, "chat")
    assert reply.message.content == "Hello there"
    assert len(reply.raw.choices) == 3
