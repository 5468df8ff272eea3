"""Anthropic's Messages API: https://docs.anthropic.com/en/api/messages and …/messages-streaming.

A stream states the input in its first event and all counts in its last but one; how long written
tokens are kept stands only in the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from langchain_anthropic import ChatAnthropic
from llama_index.llms.anthropic import Anthropic

from llm_optimizers.costs import Usage
from support.provider_servers.base import (
    Answer,
    Asked,
    ErrorKind,
    ProviderHandler,
    ProviderServer,
    Tokens,
    Written,
    json_body,
    pieces,
)
from support.provider_servers.provider import FrameworkName, Provider

SIGNATURE = "EqQBCgIYAhIM+signed/by=="
MODEL = "claude-opus-4-7"
"""It is sent no temperature, so that both frameworks reach it with any version of `anthropic`."""
_ERRORS: dict[ErrorKind, tuple[int, str]] = {
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "invalid": (400, "invalid_request_error"),
}


class AnthropicHandler(ProviderHandler):
    """Answers `POST /v1/messages`; everything with `whole`, if a subclass has one."""

    whole: dict[str, Any] | None = None

    def asked(self, body: dict[str, Any]) -> Asked:
        results: list[str] = []
        for message in reversed(body["messages"]):
            blocks = _blocks(message["content"])
            if message["role"] == "user" and not any(b["type"] == "tool_result" for b in blocks):
                break
            results += [_text(b["content"]) for b in blocks if b["type"] == "tool_result"]
        return Asked(
            question=_text(message["content"]),
            results=tuple(results),
            tools=tuple(tool["name"] for tool in body.get("tools") or ()),
            schema="format" in (body.get("output_config") or {}),
        )

    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        whole = self.whole or answered(answer, number, model=body["model"])
        named = {"request-id": f"req_{number:024d}"}
        if not body.get("stream"):
            return json_body(whole, **named)
        lines = "".join(
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events_of(whole)
        )
        return Written(body=lines.encode(), kind="text/event-stream", headers=named)

    def write_error(self, kind: ErrorKind) -> Written:
        status, name = _ERRORS[kind]
        error = {"type": name, "message": f"{kind} asked for by the test"}
        return json_body({"type": "error", "error": error, "request_id": "req_1"}, status=status)


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: Any) -> str:
    return "".join(block.get("text", "") for block in _blocks(content))


def _reason(answer: Answer) -> str:
    return "max_tokens" if answer.cut else "tool_use" if answer.calls else "end_turn"


def _content(answer: Answer, number: int) -> Iterator[dict[str, Any]]:
    if answer.thoughts:
        yield {"type": "thinking", "thinking": answer.thoughts, "signature": SIGNATURE}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for place, call in enumerate(answer.calls):
        identifier = f"toolu_{number:012d}{place:012d}"
        yield {
            "type": "tool_use",
            "id": identifier,
            "name": call.name,
            "input": dict(call.arguments),
        }


def _usage(tokens: Tokens) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": tokens.written_5m + tokens.written_1h,
        "cache_read_input_tokens": tokens.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.written_5m,
            "ephemeral_1h_input_tokens": tokens.written_1h,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }
    if tokens.thinking:
        counts["output_tokens_details"] = {"thinking_tokens": tokens.thinking}
    return counts


def answered(answer: Answer, number: int, *, model: str) -> dict[str, Any]:
    """Return the whole answer to the `number`th request."""
    return message(
        list(_content(answer, number)),
        id=f"msg_{number:024d}",
        model=model,
        stop_reason=_reason(answer),
        usage=_usage(answer.tokens),
    )


def message(content: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a whole answer of these blocks."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _usage(Tokens()),
        **more,
    }


def events_of(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a whole answer as the events of a stream."""
    begun = {**whole, "content": [], "stop_reason": None}
    begun["usage"] = {**whole["usage"], "output_tokens": 1}
    begun["usage"].pop("output_tokens_details", None)
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        empty, deltas = _parts(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    cumulative = {
        name: count
        for name, count in whole["usage"].items()
        if name not in ("cache_creation", "service_tier")
    }
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": cumulative}
    yield {"type": "message_stop"}


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it begins, and what is added to it."""
    if block["type"] == "text":
        return {**block, "text": ""}, [
            {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
        ]
    if block["type"] == "thinking":
        thoughts = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])
        ]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*thoughts, signed]
    if block["type"] != "tool_use":
        return block, []
    arguments = [
        {"type": "input_json_delta", "partial_json": piece}
        for piece in pieces(json.dumps(block["input"]))
    ]
    return {**block, "input": {}}, arguments


def _counted(tokens: Tokens, _framework: FrameworkName, stream: bool) -> Usage:
    """Return the counts; how long written tokens are kept is in an event that neither passes on."""
    return replace(tokens.usage, cache_write_1h_tokens=0) if stream else tokens.usage


def _langchain(server: ProviderServer, **settings: Any) -> ChatAnthropic:
    given = {"api_key": "sk-ant-of-the-test", "max_retries": 0, "max_tokens": 4096, **settings}
    return ChatAnthropic(**{"model": MODEL, "base_url": server.url, **given})


def _llama_index(server: ProviderServer, **settings: Any) -> Anthropic:
    # It gives the number of retries to the SDK, where 0 is none.
    given = {"api_key": "sk-ant-of-the-test", "max_retries": 0, "max_tokens": 4096, **settings}
    return Anthropic(**{"model": MODEL, "base_url": server.url, **given})


_THINKING = {"type": "adaptive"}
ANTHROPIC = Provider(
    name="anthropic",
    handler=AnthropicHandler,
    model=MODEL,
    prices="anthropic",
    langchain=_langchain,
    llama_index=_llama_index,
    # It sends OpenAI's JSON text for arguments as it is, which Anthropic rejects.
    reads_others=False,
    methods=("function_calling", "json_schema"),
    thinking={
        "langchain": {"thinking": _THINKING},
        "llama-index": {"thinking_dict": _THINKING},
    },
    counted=_counted,
)
