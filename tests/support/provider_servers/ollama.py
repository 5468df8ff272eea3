"""A stand-in for Ollama's own API, and the models of both frameworks that talk to it.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_ollama import ChatOllama
from llama_index.llms.ollama import Ollama

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

__all__ = ["OLLAMA", "OllamaAnswer", "OllamaHandler"]

MODEL = "llama3.2"
_ERRORS: Mapping[ErrorKind, int] = {"rate_limit": 429, "overloaded": 503, "invalid": 400}


@dataclass(frozen=True, kw_only=True)
class OllamaAnswer(Answer):
    """An answer with what only Ollama has.

    `finish` is why it ended. `unfinished` streams end without the line that says so, as when the
    server behind a proxy goes away. `failed` streams end with an error.
    """

    finish: str = ""
    unfinished: bool = False
    failed: bool = False


class OllamaHandler(ProviderHandler):
    """Answers `/api/chat`, `/api/generate`, `/api/show` and `/api/tags`."""

    def do_GET(self) -> None:
        names = [f"{MODEL}:latest", MODEL]
        self._send(json_body({"models": [{"name": name, "model": name} for name in names]}), {})

    def do_POST(self) -> None:
        if self.path == "/api/show":
            self.rfile.read(int(self.headers["Content-Length"]))
            info = {"general.architecture": "llama", "llama.context_length": 8192}
            self._send(json_body({"model_info": info, "capabilities": ["tools"]}), {})
        else:
            super().do_POST()

    def asked(self, body: dict[str, Any]) -> Asked:
        if "messages" not in body:
            return Asked(question=body["prompt"], schema=bool(body.get("format")))
        question, results = "", []
        for message in body["messages"]:
            if message["role"] == "tool":
                results.append(message["content"])
            elif message["role"] == "user":
                question, results = message["content"].strip(), []
        return Asked(
            question=question,
            results=tuple(results),
            tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
            schema=bool(body.get("format")),
        )

    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        head = {"model": body["model"], "created_at": f"2026-01-01T00:00:0{number % 10}Z"}
        chat = "messages" in body
        if body.get("stream", True):
            lines = [json.dumps({**head, **line}) + "\n" for line in _lines(answer, chat=chat)]
            return Written(body="".join(lines).encode(), kind="application/x-ndjson")
        parts = _message(answer, text=answer.text, thoughts=answer.thoughts, chat=chat)
        return json_body({**head, **parts, **_end(answer)})

    def write_error(self, kind: ErrorKind) -> Written:
        return json_body({"error": "failure requested by the test"}, status=_ERRORS[kind])


def _lines(answer: Answer, *, chat: bool) -> Iterator[dict[str, Any]]:
    empty = Answer()
    for piece in pieces(answer.thoughts):
        yield {**_message(empty, text="", thoughts=piece, chat=chat), "done": False}
    for piece in pieces(answer.text):
        yield {**_message(empty, text=piece, thoughts="", chat=chat), "done": False}
    if answer.calls:
        yield {**_message(answer, text="", thoughts="", chat=chat), "done": False}
    if isinstance(answer, OllamaAnswer) and answer.failed:
        yield {"error": "failure requested by the test"}
    elif not (isinstance(answer, OllamaAnswer) and answer.unfinished):
        yield {**_message(empty, text="", thoughts="", chat=chat), **_end(answer)}


def _message(answer: Answer, *, text: str, thoughts: str, chat: bool) -> dict[str, Any]:
    thinking = {"thinking": thoughts} if thoughts else {}
    if not chat:
        return {"response": text, **thinking}
    calls = [
        {"function": {"name": call.name, "arguments": dict(call.arguments)}}
        for call in answer.calls
    ]
    called = {"tool_calls": calls} if calls else {}
    return {"message": {"role": "assistant", "content": text, **thinking, **called}}


def _end(answer: Answer) -> dict[str, Any]:
    given = answer.finish if isinstance(answer, OllamaAnswer) else ""
    tokens = answer.tokens
    return {
        "done": True,
        "done_reason": given or ("length" if answer.cut else "stop"),
        "total_duration": 5_000_000,
        "prompt_eval_count": tokens.usage.input_tokens,
        "eval_count": tokens.output,
    }


def _counted(tokens: Tokens, framework: FrameworkName, stream: bool) -> Usage:
    """Return the two counts that Ollama has."""
    usage = tokens.usage
    return Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def langchain_model(server: ProviderServer, **settings: Any) -> ChatOllama:
    """Return LangChain's model for this server."""
    return ChatOllama(base_url=server.url, **{"model": MODEL, **settings})


def llama_index_model(server: ProviderServer, **settings: Any) -> Ollama:
    """Return LlamaIndex's LLM for this server."""
    return Ollama(base_url=server.url, **{"model": MODEL, **settings})


OLLAMA = Provider(
    name="ollama",
    handler=OllamaHandler,
    model=MODEL,
    prices="",
    langchain=langchain_model,
    llama_index=llama_index_model,
    counted=_counted,
    names_calls=False,
    states_settings=False,
    reads_others=False,
    methods=("function_calling", "json_mode", "json_schema"),
    thinking={"langchain": {"reasoning": True}, "llama-index": {"thinking": True}},
)
