"""Amazon Bedrock's InvokeModel and its stream: Anthropic's messages in Bedrock's frames.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

from langchain_aws import ChatBedrock

from support.provider_servers.anthropic import AnthropicHandler, answered, events_of
from support.provider_servers.base import (
    Answer,
    ErrorKind,
    ProviderServer,
    Tokens,
    Written,
    json_body,
)
from support.provider_servers.bedrock import MODEL, error_body, frame


class InvokeHandler(AnthropicHandler):
    """Answers `POST /model/{modelId}/invoke` and `…/invoke-with-response-stream`.

    LangChain reads the counts of a whole answer from its headers, unless a proxy takes them out.
    """

    counted: bool = True

    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        whole = answered(answer, number, model=unquote(self.path.split("/")[2]))
        tokens = answer.tokens
        if not self.path.endswith("-stream"):
            return json_body(whole, **(_headers(tokens) if self.counted else {}))
        *events, last = events_of(whole)
        counts = {
            "inputTokenCount": tokens.fresh,
            "outputTokenCount": tokens.output,
            "cacheReadInputTokenCount": tokens.read,
            "cacheWriteInputTokenCount": tokens.written_5m + tokens.written_1h,
            "invocationLatency": 12,
            "firstByteLatency": 3,
        }
        last = {**last, "amazon-bedrock-invocationMetrics": counts}
        parts = [base64.b64encode(json.dumps(each).encode()).decode() for each in (*events, last)]
        frames = b"".join(frame("chunk", {"bytes": part}) for part in parts)
        return Written(body=frames, kind="application/vnd.amazon.eventstream")

    def write_error(self, kind: ErrorKind) -> Written:
        return error_body(kind)


def _headers(tokens: Tokens) -> dict[str, str]:
    counts = {
        "input": tokens.fresh,
        "output": tokens.output,
        "cache-read-input": tokens.read,
        "cache-write-input": tokens.written_5m + tokens.written_1h,
    }
    return {f"x-amzn-bedrock-{name}-token-count": str(count) for name, count in counts.items()}


def chat_bedrock(server: ProviderServer, **settings: Any) -> ChatBedrock:
    """Return a model that talks to the server."""
    account = {
        "aws_access_key_id": "AKIAOFTHETEST",
        "aws_secret_access_key": "secret-of-the-test",
        "region": "us-east-1",
    }
    given = {"model": MODEL, "endpoint_url": server.url, "max_tokens": 4096, **account}
    return ChatBedrock(**{**given, **settings})
