"""The recorded provider as an OpenAI-compatible HTTP server on loopback.

The header `x-replay-id` identifies a request even if an optimizer changed its messages.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.replay.answers import AnsweringRule, RecordedAnswer
from llm_optimizers.replay.provider import REPLAY_ID, OnBilled, Provider, usage_of
from llm_optimizers.types import ChatRequest

__all__ = ["recorded_server"]

_WORDS_A_CHUNK = 8
_POLL_S = 0.05
"""How often the server checks whether it should stop."""


@contextmanager
def recorded_server(rule: AnsweringRule, on_billed: OnBilled | None = None) -> Iterator[str]:
    """Serve a rule's answers on a free port of 127.0.0.1; yields the base URL for a client."""
    handler = type("Handler", (_Handler,), {"provider": Provider(rule, on_billed)})
    server = _Server(("127.0.0.1", 0), handler)
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
    # So that a burst of connections is not refused while the accepting thread is busy.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors, except disconnected clients."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Chat completions (whole, or as server-sent events), files and batches."""

    provider: Provider
    protocol_version = "HTTP/1.1"
    # So that small writes do not wait for the acknowledgement of earlier ones.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer a chat request, store a file, or create a batch."""
        try:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/v1/chat/completions":
                self._chat(ChatRequest.from_openai(_object(body)))
            elif self.path == "/v1/files":
                kind = self.headers.get("content-type", "")
                self._send(200, self.provider.upload(kind, body))
            elif self.path == "/v1/batches":
                self._send(200, self.provider.create_batch(_object(body)))
            else:
                self._send(404, _error(f"this server has no {self.path}"))
        except (ValueError, LookupError, ConfigurationError, RecursionError) as error:
            self._send(400, _error(f"bad request: {error}"))

    def do_GET(self) -> None:
        """Return a batch, all batches, or a file's content."""
        found: Mapping[str, Any] | bytes | None = None
        match self.path.partition("?")[0].split("/")[2:]:
            case ["batches"]:
                found = {"object": "list", "data": self.provider.batches(), "has_more": False}
            case ["batches", batch_id]:
                found = self.provider.batch(batch_id)
            case ["files", file_id, "content"]:
                found = self.provider.content(file_id)
        if found is None:
            self._send(404, _error(f"this server has no {self.path}"))
        else:
            self._send(200, found)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing: the command shows a progress bar."""

    def _chat(self, request: ChatRequest) -> None:
        reply = self.provider.reply(request, self.headers.get(REPLAY_ID))
        if reply is None:
            self._send(404, _error("the log has no such request"))
        elif request.params.get("stream"):
            self._stream(request, reply)
        else:
            self._send(200, self.provider.completion(request, reply))

    def _stream(self, request: ChatRequest, reply: RecordedAnswer) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = self.provider.head(request, "chat.completion.chunk")
        for delta, finish in _deltas(reply):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            self._event({**head, "choices": [choice]})
        if request.params.get("stream_options") == {"include_usage": True}:
            self._event({**head, "choices": [], "usage": usage_of(reply)})
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


def _deltas(reply: RecordedAnswer) -> Iterator[tuple[dict[str, str], str | None]]:
    """Split an answer into stream deltas of a few words each."""
    yield {"role": "assistant", "content": ""}, None
    words = reply.text.split(" ")
    for start in range(0, len(words), _WORDS_A_CHUNK):
        piece = " ".join(words[start : start + _WORDS_A_CHUNK])
        yield {"content": piece if start == 0 else f" {piece}"}, None
    yield {}, "length" if reply.cut else "stop"


def _object(body: bytes) -> Mapping[str, Any]:
    found = json.loads(body)
    if not isinstance(found, Mapping):
        raise ConfigurationError("the body must be an object")
    return found


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}
