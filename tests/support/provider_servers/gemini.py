"""A stand-in for Google's Gemini API, and the models of both frameworks that talk to it.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.genai.types import GenerateContentConfig, HttpOptions, ThinkingConfig
from langchain_google_genai import ChatGoogleGenerativeAI
from llama_index.llms.google_genai import GoogleGenAI

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

__all__ = ["GEMINI", "GeminiAnswer", "GeminiHandler"]

MODEL = "gemini-2.5-flash"
_ERRORS: Mapping[ErrorKind, tuple[int, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "invalid": (400, "INVALID_ARGUMENT"),
}


@dataclass(frozen=True, kw_only=True)
class GeminiAnswer(Answer):
    """An answer with what only Gemini has.

    `signature` is of the thoughts behind the text and the first call. `blocked` is the reason for
    which the prompt got no answer at all, `finish` why the answer ended.
    """

    signature: bytes = b""
    blocked: str = ""
    finish: str = ""


class GeminiHandler(ProviderHandler):
    """Answers `generateContent`, `streamGenerateContent`, `countTokens` and the model's card."""

    def do_GET(self) -> None:
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        card = {"name": f"models/{name}", "inputTokenLimit": 1000, "outputTokenLimit": 100}
        self._send(json_body(card), {})

    def asked(self, body: dict[str, Any]) -> Asked:
        config = body.get("generationConfig") or {}
        tools = [
            each["name"]
            for tool in body.get("tools") or ()
            for each in tool.get("functionDeclarations") or ()
        ]
        question, results = "", []
        for part in (part for turn in body["contents"] for part in turn["parts"]):
            if "text" in part and not part.get("thought"):
                question, results = part["text"], []
            elif "functionResponse" in part:
                results.append(json.dumps(part["functionResponse"]["response"]))
        return Asked(
            question=question,
            results=tuple(results),
            tools=tuple(tools),
            schema=any(name in config for name in ("responseSchema", "responseJsonSchema")),
        )

    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        if "countTokens" in self.path:
            return json_body({"totalTokens": len(json.dumps(body["contents"]).split())})
        full = answer if isinstance(answer, GeminiAnswer) else _with_defaults(answer)
        model = self.path.rsplit("/", 1)[-1].split(":")[0]
        head = {"modelVersion": model, "responseId": f"response-{number}"}
        if "stream" not in self.path:
            return json_body({**head, **_response(full, _parts(full), full.finish or _end(full))})
        lines = [f"data: {json.dumps({**head, **event})}\r\n\r\n" for event in _events(full)]
        return Written(body="".join(lines).encode(), kind="text/event-stream")

    def write_error(self, kind: ErrorKind) -> Written:
        code, status = _ERRORS[kind]
        error = {"code": code, "message": "failure requested by the test", "status": status}
        return json_body({"error": error}, status=code)


def _with_defaults(answer: Answer) -> GeminiAnswer:
    return GeminiAnswer(
        text=answer.text,
        thoughts=answer.thoughts,
        calls=answer.calls,
        cut=answer.cut,
        tokens=answer.tokens,
    )


def _end(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.cut else "STOP"


def _parts(answer: GeminiAnswer) -> list[dict[str, Any]]:
    """Return the parts of a whole answer; the signature is on the text and on the first call."""
    signed = _signed(answer)
    parts: list[dict[str, Any]] = []
    if answer.thoughts:
        parts.append({"text": answer.thoughts, "thought": True})
    if answer.text:
        parts.append({"text": answer.text, **signed})
    for place, call in enumerate(answer.calls):
        written = {"id": f"call-{place}", "name": call.name, "args": dict(call.arguments)}
        parts.append({"functionCall": written, **({} if place else signed)})
    return parts


def _signed(answer: GeminiAnswer) -> dict[str, str]:
    if not answer.signature:
        return {}
    return {"thoughtSignature": base64.b64encode(answer.signature).decode()}


def _response(
    answer: GeminiAnswer, parts: list[dict[str, Any]], finish: str | None
) -> dict[str, Any]:
    usage = _usage(answer.tokens)
    if answer.blocked:
        return {"promptFeedback": {"blockReason": answer.blocked}, "usageMetadata": usage}
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage}


def _events(answer: GeminiAnswer) -> Iterator[dict[str, Any]]:
    """Yield a stream's events; a text's signature comes with the last, on a part without text."""
    if answer.blocked:
        yield _response(answer, [], None)
        return
    for piece in pieces(answer.thoughts):
        yield _response(answer, [{"text": piece, "thought": True}], None)
    for piece in pieces(answer.text):
        yield _response(answer, [{"text": piece}], None)
    calls = [part for part in _parts(answer) if "functionCall" in part]
    last = calls or [{"text": "", **_signed(answer)}]
    yield _response(answer, last, answer.finish or _end(answer))


def _usage(tokens: Tokens) -> dict[str, Any]:
    """Return the counts as Gemini states them: the candidates' without the thoughts."""
    prompt = tokens.usage.input_tokens
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": tokens.output - tokens.thinking,
        "totalTokenCount": prompt + tokens.output,
    }
    if tokens.read:
        counts["cachedContentTokenCount"] = tokens.read
    if tokens.thinking:
        counts["thoughtsTokenCount"] = tokens.thinking
    return counts


def _counted(tokens: Tokens, framework: FrameworkName, stream: bool) -> Usage:
    """Return what both frameworks pass on; Gemini counts nothing as written to its cache."""
    return replace(tokens.usage, cache_write_tokens=0, cache_write_1h_tokens=0)


def langchain_model(server: ProviderServer, **settings: Any) -> ChatGoogleGenerativeAI:
    """Return LangChain's model for this server."""
    given = {"model": MODEL, "max_retries": 1, "google_api_key": "key-of-the-test", **settings}
    return ChatGoogleGenerativeAI(base_url=server.url, **given)


def llama_index_model(server: ProviderServer, **settings: Any) -> GoogleGenAI:
    """Return LlamaIndex's LLM for this server."""
    given = {"model": MODEL, "api_key": "key-of-the-test", "max_retries": 0, **settings}
    limits = {"max_tokens": 1000, "context_window": 100_000}
    if "generation_config" in given:
        limits["max_tokens"] = given["generation_config"].max_output_tokens or 1000
    return GoogleGenAI(http_options=HttpOptions(base_url=server.url), **{**limits, **given})


GEMINI = Provider(
    name="gemini",
    handler=GeminiHandler,
    model=MODEL,
    prices="google",
    langchain=langchain_model,
    llama_index=llama_index_model,
    counted=_counted,
    keeps_tools=False,
    reads_others=False,
    methods=("function_calling", "json_mode", "json_schema"),
    thinking={
        "langchain": {"include_thoughts": True, "thinking_budget": 100},
        "llama-index": {
            "generation_config": GenerateContentConfig(
                thinking_config=ThinkingConfig(include_thoughts=True, thinking_budget=100)
            )
        },
    },
)
