"""Amazon Bedrock's Converse and ConverseStream, with the binary framing of the latter.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import json
import struct
from binascii import crc32
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from botocore.config import Config
from langchain_aws import ChatBedrockConverse
from llama_index.llms.bedrock_converse import BedrockConverse

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
MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
_ERRORS: dict[ErrorKind, tuple[int, str]] = {
    "rate_limit": (429, "ThrottlingException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "invalid": (400, "ValidationException"),
}
_STRING = 7
"""The type of a header's value."""


class BedrockHandler(ProviderHandler):
    """Answers `POST /model/{modelId}/converse` and `…/converse-stream`.

    `more` is added to whole answers and to the last event of streams; `broken` streams lack it.
    """

    more: Mapping[str, Any] = MappingProxyType({})
    broken: bool = False

    @property
    def model(self) -> str:
        """The model's id, which is part of the path."""
        return unquote(self.path.split("/")[2])

    def asked(self, body: dict[str, Any]) -> Asked:
        results: list[str] = []
        for message in reversed(body["messages"]):
            found = [b["toolResult"] for b in message["content"] if "toolResult" in b]
            if message["role"] == "user" and not found:
                break
            results += [_text(each["content"]) for each in found]
        config = body.get("toolConfig") or {}
        tools = [each["toolSpec"]["name"] for each in config.get("tools", ()) if "toolSpec" in each]
        return Asked(
            question=_text(message["content"]),
            results=tuple(results),
            tools=tuple(tools),
            schema="textFormat" in (body.get("outputConfig") or {}),
        )

    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        content, named = list(_content(answer, number)), {"x-amzn-requestid": f"request-{number}"}
        if self.path.endswith("/converse-stream"):
            events = [*_events(content, answer, self.more)]
            events = events[:-2] if self.broken else events
            frames = b"".join(frame(name, payload) for name, payload in events)
            kind = "application/vnd.amazon.eventstream"
            return Written(body=frames, kind=kind, headers=named)
        whole = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _reason(answer),
            "usage": _usage(answer.tokens),
            "metrics": {"latencyMs": 12},
            **self.more,
        }
        return json_body(whole, **named)

    def write_error(self, kind: ErrorKind) -> Written:
        return error_body(kind)


def error_body(kind: ErrorKind) -> Written:
    """Return an error, whose class is named in a header."""
    status, name = _ERRORS[kind]
    message = {"message": f"{kind} asked for by the test"}
    return json_body(message, status=status, **{"x-amzn-ErrorType": name})


def frame(event: str, payload: dict[str, Any], kind: str = "event") -> bytes:
    """Write one message of an event stream; its `kind` may also be "exception"."""
    given = {
        f":{kind}-type": event,
        ":content-type": "application/json",
        ":message-type": kind,
    }
    headers = b"".join(_header(name, value) for name, value in given.items())
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    checked = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return checked + struct.pack("!I", crc32(checked))


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + struct.pack("!BH", _STRING, len(raw)) + raw


def _text(content: list[dict[str, Any]]) -> str:
    return "".join(
        json.dumps(block["json"]) if "json" in block else block.get("text", "") for block in content
    )


def _reason(answer: Answer) -> str:
    return "max_tokens" if answer.cut else "tool_use" if answer.calls else "end_turn"


def _content(answer: Answer, number: int) -> Iterator[dict[str, Any]]:
    if answer.thoughts:
        thoughts = {"text": answer.thoughts, "signature": SIGNATURE}
        yield {"reasoningContent": {"reasoningText": thoughts}}
    if answer.text:
        yield {"text": answer.text}
    for place, call in enumerate(answer.calls):
        identifier = f"tooluse_{number:011d}{place:011d}"
        use = {"toolUseId": identifier, "name": call.name, "input": dict(call.arguments)}
        yield {"toolUse": use}


def _usage(tokens: Tokens) -> dict[str, Any]:
    written = {"5m": tokens.written_5m, "1h": tokens.written_1h}
    counts: dict[str, Any] = {
        "inputTokens": tokens.fresh,
        "outputTokens": tokens.output,
        "totalTokens": tokens.usage.total_tokens,
        "cacheReadInputTokens": tokens.read,
        "cacheWriteInputTokens": sum(written.values()),
    }
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in written.items() if count]
    return {**counts, "cacheDetails": details} if details else counts


def _events(
    content: list[dict[str, Any]], answer: Answer, more: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(content):
        at = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            begun = {"toolUseId": use["toolUseId"], "name": use["name"]}
            yield "contentBlockStart", {**at, "start": {"toolUse": begun}}
        for delta in _deltas(block):
            yield "contentBlockDelta", {**at, "delta": delta}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": _reason(answer)}
    yield "metadata", {"usage": _usage(answer.tokens), "metrics": {"latencyMs": 12}, **more}


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    if "text" in block:
        return [{"text": piece} for piece in pieces(block["text"])]
    if use := block.get("toolUse"):
        return [{"toolUse": {"input": piece}} for piece in pieces(json.dumps(use["input"]))]
    thoughts = block["reasoningContent"]["reasoningText"]
    texts = [{"reasoningContent": {"text": piece}} for piece in pieces(thoughts["text"])]
    return [*texts, {"reasoningContent": {"signature": thoughts["signature"]}}]


def _account() -> dict[str, Any]:
    return {
        "aws_access_key_id": "AKIAOFTHETEST",
        "aws_secret_access_key": "secret-of-the-test",
        "region_name": "us-east-1",
    }


def _counted(tokens: Tokens, _framework: FrameworkName, _stream: bool) -> Usage:
    """Return the counts; Converse has none of thoughts."""
    return replace(tokens.usage, reasoning_tokens=0)


def _langchain(server: ProviderServer, **settings: Any) -> ChatBedrockConverse:
    given = {"max_tokens": 4096, "max_retries": 0, **_account(), **settings}
    return ChatBedrockConverse(**{"model": MODEL, "base_url": server.url, **given})


def _llama_index(server: ProviderServer, **settings: Any) -> BedrockConverse:
    # LlamaIndex counts tries, and lets botocore try again as well.
    once = Config(retries={"total_max_attempts": 1})
    given = {
        "max_tokens": 4096,
        "max_retries": 1,
        "botocore_config": once,
        **_account(),
        **settings,
    }
    return BedrockConverse(**{"model": MODEL, "endpoint_url": server.url, **given})


_THINKING = {"type": "enabled", "budget_tokens": 1024}
BEDROCK = Provider(
    name="bedrock",
    handler=BedrockHandler,
    model=MODEL,
    prices="aws",
    langchain=_langchain,
    llama_index=_llama_index,
    methods=("function_calling", "json_schema"),
    thinking={
        "langchain": {"additional_model_request_fields": {"thinking": _THINKING}},
        "llama-index": {"thinking": _THINKING},
    },
    counted=_counted,
)
