"""An OpenAI-compatible provider on loopback that answers from a log.

Requests come over real HTTP from the real SDK; the answers are the log's, the token counts are
tiktoken's. A request is recognised by the header `x-replay-id` if there is one (strategies may
have changed its messages on the way), else by its messages.
"""

from __future__ import annotations

import atexit
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.batches import BatchDesk
from llm_optimizers.replay.log import day_log
from llm_optimizers.replay.sheet import AnswerSheet, Reply
from llm_optimizers.types import ChatRequest

__all__ = ["REPLAY_ID", "AnswerSheet", "recorded_provider", "serving"]

REPLAY_ID = "x-replay-id"
_WORDS_A_CHUNK = 8
_POLL_S = 0.05
"""How soon the server notices that it is to stop."""


class Desk:
    """What the recorded provider's endpoints answer, apart from HTTP."""

    def __init__(self, sheet: AnswerSheet) -> None:
        self._sheet = sheet
        self._numbers = itertools.count(1)
        self.batches = BatchDesk(self._batched)

    def reply(self, request: ChatRequest, replay_id: str | None) -> Reply | None:
        """The log's answer."""
        return self._sheet.answer(request, replay_id)

    def head(self, request: ChatRequest, kind: str) -> dict[str, Any]:
        """What every completion and every chunk begins with."""
        number = f"chatcmpl-replay-{next(self._numbers)}"
        return {"id": number, "object": kind, "created": int(time.time()), "model": request.model}

    def completion(self, request: ChatRequest, reply: Reply) -> dict[str, Any]:
        """The answer as a completion."""
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            **self.head(request, "chat.completion"),
            "choices": [choice],
            "usage": _usage(reply),
        }

    def _batched(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        request = ChatRequest.from_openai(body)
        reply = self.reply(request, None)
        return None if reply is None else self.completion(request, reply)


@contextmanager
def serving(sheet: AnswerSheet) -> Iterator[str]:
    """Serve the sheet on a free port of 127.0.0.1; gives the base URL for a client."""

    class Handler(_Handler):
        pass

    Handler.desk = Desk(sheet)
    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_S,), name="replay-server", daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A burst of connections must not be refused while the accepting thread is busy.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of errors, but not of clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Chat completions (whole, or as server-sent events), files and batches."""

    desk: Desk
    protocol_version = "HTTP/1.1"
    # Small writes must not wait for the acknowledgement of earlier ones.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer a chat request, take in a file, or make a batch."""
        try:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/v1/chat/completions":
                self._chat(ChatRequest.from_openai(_object(body)))
            elif self.path == "/v1/files":
                kind = self.headers.get("content-type", "")
                self._send(200, self.desk.batches.upload(kind, body))
            elif self.path == "/v1/batches":
                self._send(200, self.desk.batches.create(_object(body)))
            else:
                self._send(404, _error(f"this server has no {self.path}"))
        except (ValueError, LookupError, ConfigurationError, RecursionError) as error:
            self._send(400, _error(f"bad request: {error}"))

    def do_GET(self) -> None:
        """Give a batch, all batches, or a file's content."""
        found: Mapping[str, Any] | bytes | None = None
        match self.path.partition("?")[0].split("/")[2:]:
            case ["batches"]:
                found = {"object": "list", "data": self.desk.batches.all(), "has_more": False}
            case ["batches", batch_id]:
                found = self.desk.batches.batch(batch_id)
            case ["files", file_id, "content"]:
                found = self.desk.batches.content(file_id)
        if found is None:
            self._send(404, _error(f"this server has no {self.path}"))
        else:
            self._send(200, found)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay silent: the command has a progress bar."""

    def _chat(self, request: ChatRequest) -> None:
        reply = self.desk.reply(request, self.headers.get(REPLAY_ID))
        if reply is None:
            self._send(404, _error("the log has no such request"))
        elif request.params.get("stream"):
            self._stream(request, reply)
        else:
            self._send(200, self.desk.completion(request, reply))

    def _stream(self, request: ChatRequest, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = self.desk.head(request, "chat.completion.chunk")
        for delta, finish in _deltas(reply.text):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            self._event({**head, "choices": [choice]})
        if request.params.get("stream_options") == {"include_usage": True}:
            self._event({**head, "choices": [], "usage": _usage(reply)})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, event: Mapping[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _send(self, status: int, body: Mapping[str, Any] | bytes) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def _deltas(text: str) -> Iterator[tuple[dict[str, str], str | None]]:
    """The text as a stream's deltas, a few words each."""
    yield {"role": "assistant", "content": ""}, None
    words = text.split(" ")
    for start in range(0, len(words), _WORDS_A_CHUNK):
        piece = " ".join(words[start : start + _WORDS_A_CHUNK])
        yield {"content": piece if start == 0 else f" {piece}"}, None
    yield {}, "stop"


def _object(body: bytes) -> Mapping[str, Any]:
    found = json.loads(body)
    if not isinstance(found, Mapping):
        raise ConfigurationError("the body must be an object")
    return found


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
    }


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def recorded_provider(*, cheap_models: Iterable[str] = ()) -> dict[str, Any]:
    """Start the provider until the process ends; gives `ChatOpenAI`'s settings to reach it.

    `cheap_models` answer as a cheap model did that day: wrongly now and then.
    """
    stack = ExitStack()
    sheet = AnswerSheet(day_log().requests, TokenCounter(), cheap_models=frozenset(cheap_models))
    url = stack.enter_context(serving(sheet))
    atexit.register(stack.close)
    return {"base_url": url, "api_key": "recorded"}
