"""Bodies of answers, with the counts that a row gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["chat", "chat_events", "claude", "claude_events", "converse", "gemini"]
__all__ += ["response", "response_events"]

TEXT = "It is sunny."
Json = dict[str, Any]


def chat(model: str, usage: Mapping[str, Any], **more: Any) -> Json:
    """https://platform.openai.com/docs/api-reference/chat/object"""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": dict(usage),
        **more,
    }


def chat_events(model: str, usage: Mapping[str, Any], **more: Any) -> list[Json]:
    """https://platform.openai.com/docs/api-reference/chat-streaming"""
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_764_000_000,
        "model": model,
        **more,
    }
    said = {"index": 0, "delta": {"role": "assistant", "content": TEXT}, "finish_reason": None}
    ended: Json = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [
        {**head, "choices": [said]},
        {**head, "choices": [ended]},
        {**head, "choices": [], "usage": dict(usage)},
    ]


def response(
    model: str, usage: Mapping[str, Any], output: Sequence[Json] = (), **more: Any
) -> Json:
    """https://platform.openai.com/docs/api-reference/responses/object"""
    parts = [{"type": "output_text", "text": TEXT, "annotations": []}]
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": parts,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_764_000_000,
        "status": "completed",
        "model": model,
        "error": None,
        "incomplete_details": None,
        "output": [*output, message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": {},
        "instructions": None,
        "usage": dict(usage),
        **more,
    }


def response_events(whole: Json) -> list[Json]:
    """https://platform.openai.com/docs/api-reference/responses-streaming"""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(whole["output"]):
        where = {"output_index": place}
        if item["type"] == "message":
            at = {**where, "item_id": item["id"], "content_index": 0}
            said = {**at, "delta": TEXT, "logprobs": []}
            empty = {**item, "content": [], "status": "in_progress"}
            events.append({"type": "response.output_item.added", **where, "item": empty})
            events.append({"type": "response.output_text.delta", **said})
        events.append({"type": "response.output_item.done", **where, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def claude(model: str, usage: Mapping[str, Any], content: Sequence[Json] = (), **more: Any) -> Json:
    """https://docs.anthropic.com/en/api/messages"""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [*content, {"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": dict(usage),
        **more,
    }


def claude_events(whole: Json) -> list[Json]:
    """https://docs.anthropic.com/en/docs/build-with-claude/streaming"""
    usage = whole["usage"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(whole["content"]):
        text = block["type"] == "text"
        empty = {**block, "text": ""} if text else block
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        if text:
            delta = {"type": "text_delta", "text": TEXT}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    counts = {name: usage[name] for name in usage if name not in ("cache_creation", "service_tier")}
    return [
        *events,
        {"type": "message_delta", "delta": ended, "usage": counts},
        {"type": "message_stop"},
    ]


def gemini(model: str, usage: Mapping[str, Any], **candidate: Any) -> Json:
    """https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse"""
    content = {"role": "model", "parts": [{"text": TEXT}]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0, **candidate}],
        "usageMetadata": dict(usage),
        "modelVersion": model,
        "responseId": "r1",
    }


def converse(usage: Mapping[str, Any], **more: Any) -> Json:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
        "stopReason": "end_turn",
        "usage": dict(usage),
        "metrics": {"latencyMs": 400},
        **more,
    }
