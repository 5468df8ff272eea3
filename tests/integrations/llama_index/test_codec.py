"""`ReplyCodec`: what is stored and read back; how providers' fields are read."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LogProb,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from llama_index_llm_optimizers.codec import ReplyCodec
from llama_index_llm_optimizers.replies import CachedReply, reply_to_cache, stream_to_cache
from llm_optimizers.costs import Usage
from llm_optimizers.costs.prices.names import provider_of

CODEC = ReplyCodec()
texts = st.text(max_size=40)
blocks = st.lists(
    st.one_of(
        st.builds(TextBlock, text=texts),
        st.builds(ThinkingBlock, content=texts),
        st.builds(ToolCallBlock, tool_name=texts, tool_kwargs=st.dictionaries(texts, texts)),
    ),
    max_size=4,
)


@given(blocks=blocks, model=texts, tokens=st.integers(0, 9))
def test_a_response_is_read_back_as_it_was(blocks: list[Any], model: str, tokens: int) -> None:
    reply = ChatResponse(message=ChatMessage(role="assistant", blocks=blocks), raw=object())
    kept = CachedReply(reply=reply, model=model, usage=Usage(input_tokens=tokens))
    found = CODEC.decode(CODEC.encode(kept))
    assert found.reply == reply.model_copy(update={"raw": None})
    assert (found.model, found.usage) == (model, kept.usage)


@given(payload=st.one_of(st.text(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_a_payload_of_another_codec_is_rejected(payload: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        CODEC.decode(payload)


def kept(**changes: Any) -> str:
    reply = ChatResponse(message=ChatMessage(role="assistant", content="hi"))
    return json.dumps({**json.loads(CODEC.encode(CachedReply(reply=reply))), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": [{"block_type": "image", "path": "/etc/passwd"}]},
        {"blocks": [{"block_type": "document", "url": "https://example.com"}]},
        {"blocks": [{"block_type": "text", "text": 7}]},
        {"blocks": 3},
        {"role": "emperor"},
        {"role": "user"},
        {"role": "system"},
        {"role": "tool"},
        {"usage": {"input_tokens": -1}},
        {"usage": {"cost": 0}},
    ],
)
def test_a_stored_value_can_only_become_a_message(changes: dict[str, Any]) -> None:
    assert CODEC.decode(kept()).reply.message.content == "hi"  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"holds no response|MessageRole"):
        CODEC.decode(kept(**changes))


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool", "function"])
def test_only_an_answer_is_written(role: str) -> None:
    message = ChatMessage(role=role, content="hi")
    with pytest.raises(TypeError, match="cannot be a message"):
        CODEC.encode(CachedReply(reply=ChatResponse(message=message)))


@pytest.mark.parametrize("role", ["assistant", "chatbot", "model"])
def test_every_role_of_a_model_is_read_back(role: str) -> None:
    reply = ChatResponse(message=ChatMessage(role=role, content="hi"))
    assert CODEC.decode(CODEC.encode(CachedReply(reply=reply))).reply == reply


def test_images_in_the_older_form_are_dropped() -> None:
    found = CODEC.decode(kept(message_kwargs={"images": [{"path": "/etc/passwd"}], "x": 1}))
    assert found.reply.message.additional_kwargs == {"x": 1}  # type: ignore[union-attr]


def test_blocks_that_name_files_are_not_written() -> None:
    message = ChatMessage(role="assistant", blocks=[ImageBlock(url="https://example.com/a.png")])
    with pytest.raises(TypeError, match="ImageBlock"):
        CODEC.encode(CachedReply(reply=ChatResponse(message=message)))
    older = ChatMessage(role="assistant", content="x", additional_kwargs={"tool_calls": [1]})
    with pytest.raises(TypeError, match="tool calls"):
        CODEC.encode(CachedReply(reply=ChatResponse(message=older)))


def test_counts_are_not_stored_and_provider_objects_become_data() -> None:
    class Annotation(BaseModel):
        title: str = "a"

    message = ChatMessage(
        role="assistant",
        content="hi",
        additional_kwargs={"annotations": [Annotation()], "usage": {"input_tokens": 3}},
    )
    beside = {"prompt_tokens": 7, "thinking_delta": "x", "kept": True}
    probs = [[LogProb(token="hi", logprob=-0.1)]]
    reply = ChatResponse(message=message, additional_kwargs=beside, logprobs=probs)
    found = CODEC.decode(CODEC.encode(CachedReply(reply=reply))).reply
    assert isinstance(found, ChatResponse)
    assert found.additional_kwargs == {"kept": True}
    assert found.message.additional_kwargs == {"annotations": [{"title": "a"}]}
    assert found.logprobs == probs


def test_each_copy_of_a_tool_call_has_a_new_id() -> None:
    call = ToolCallBlock(tool_call_id="call_abc123def", tool_name="add", tool_kwargs="{}")
    message = ChatMessage(role="assistant", blocks=[call])
    payload = CODEC.encode(CachedReply(reply=ChatResponse(message=message)))
    ids = {CODEC.decode(payload).reply.message.blocks[0].tool_call_id for _ in range(3)}  # type: ignore[union-attr]
    assert len(ids) == 3
    assert {len(each) for each in ids} == {len("call_abc123def")}


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"finish_reason": "length"}]},
        {"stop_reason": "max_tokens"},
        {"stopReason": "max_tokens"},
        {"candidates": [{"finish_reason": SimpleNamespace(name="MAX_TOKENS")}]},
        {"status": "incomplete"},
        {"response": {"status": "incomplete"}},
        {"done_reason": "length"},
        {"delta": {"stop_reason": "max_tokens"}},
    ],
)
def test_a_cut_off_answer_is_recognised_for_every_provider(raw: dict[str, Any]) -> None:
    reply = ChatResponse(message=ChatMessage(role="assistant", content="hi"), raw=raw)
    assert CODEC.cacheability(reply_to_cache(reply)).finish_reason not in ("", "stop")


def test_a_refusal_is_recognised() -> None:
    message = SimpleNamespace(refusal="no")
    raw = SimpleNamespace(choices=[SimpleNamespace(message=message)])
    reply = ChatResponse(message=ChatMessage(role="assistant", content="no"), raw=raw)
    assert CODEC.cacheability(reply_to_cache(reply)).refusal


def test_an_anthropic_stream_reports_input_first_and_output_last() -> None:
    def chunk(text: str, raw: dict[str, Any]) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=text), delta="", raw=raw)

    first = {"input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 1}
    last = {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 9}
    chunks = [
        chunk("Hel", {"usage": first, "type": "message_start"}),
        chunk("Hello", {"type": "content_block_delta"}),
        chunk("Hello", {"usage": last, "delta": {"stop_reason": "end_turn"}}),
    ]
    found = stream_to_cache(chunks)
    assert found.usage == Usage(input_tokens=23, cache_read_tokens=20, output_tokens=9)
    assert found.finish_reason == "end_turn"


def test_a_stream_whose_text_is_shorter_than_its_deltas_is_stored_in_full() -> None:
    chunks = [
        CompletionResponse(text="", delta="one "),
        CompletionResponse(text="one", delta="two"),
    ]
    assert stream_to_cache(chunks).reply.text == "one two"  # type: ignore[union-attr]
    assert CODEC.cacheability(stream_to_cache([])).empty


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        ("openai_llm", "openai"),
        ("openai_responses_llm", "openai_responses"),
        ("azure_openai_llm", "azure_openai"),
        ("Anthropic_LLM", "anthropic"),
        ("Bedrock_Converse_LLM", "bedrock_converse"),
        ("MistralAI_LLM", "mistralai"),
        ("OpenAIEmbedding", "openai"),
        ("MyHouseLLM", None),
        ("", None),
    ],
)
def test_providers_are_recognised_by_their_class(kind: str, provider: str | None) -> None:
    assert provider_of(kind) == provider
