"""An OpenAI-compatible server on loopback whose answers quote the request, and that can fail."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from support.local_server import LocalHandler, serving

Reply = Callable[[dict[str, Any]], dict[str, Any] | str]
Count = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


@dataclass
class FakeOpenAI:
    """The server's answers, the requests it got, and its next failures.

    `reply` turns a request's body into the answer's text, or into fields of its message such as
    `tool_calls` or `refusal`; the header X-Owner is added to the body as `owner`. `failures` are
    the HTTP statuses of the next requests. `cut` sends streams without their end. Every answer
    costs `usage`; `delay` is in seconds.
    """

    url: str = ""
    reply: Reply = field(default=lambda body: f"answer to {last_text(body)}")
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    )
    count: Count | None = None
    billed: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    service_tier: str | None = None
    delay: float = 0.0
    cut: bool = False
    failures: deque[int] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> list[str]:
        """The last message's text of each request."""
        return [last_text(body) for body in self.requests]

    def completion(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the response's body."""
        content = self.reply(body)
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message.update({"content": content} if isinstance(content, str) else content)
        finish = self.finish_reason or ("tool_calls" if message.get("tool_calls") else "stop")
        choices = [
            {"index": index, "message": message, "finish_reason": finish}
            for index in range(body.get("n") or 1)
        ]
        usage = self.count(body, message) if self.count else self.usage
        with self.lock:
            self.billed.append(usage or {})
        whole = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body.get("model", ""),
            "choices": choices,
            "usage": usage,
        }
        return {**whole, "service_tier": self.service_tier} if self.service_tier else whole


def last_text(body: dict[str, Any]) -> str:
    """Return the text of the last message."""
    content = body["messages"][-1].get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


def tool_call(name: str, arguments: dict[str, Any], identifier: str) -> dict[str, Any]:
    """Return a tool call as in a message's `tool_calls`."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": identifier, "type": "function", "function": function}


def waiting_for(server: FakeOpenAI, requests: int) -> None:
    """Let the server answer once it has this many requests at the same time."""
    arrived, answer = threading.Barrier(requests), server.reply

    def reply(body: dict[str, Any]) -> Any:
        with suppress(threading.BrokenBarrierError):
            arrived.wait(10)
        return answer(body)

    server.reply = reply


@contextmanager
def openai_server(**settings: Any) -> Iterator[FakeOpenAI]:
    """Run a server on a free port; its `url` is the client's `base_url`."""
    fake = FakeOpenAI(**settings)

    class Handler(_Handler):
        state = fake

    with serving(Handler) as fake.url:
        yield fake


class _Handler(LocalHandler):
    state: FakeOpenAI

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "X-Owner" in self.headers:
            body["owner"] = self.headers["X-Owner"]
        with self.state.lock:
            self.state.requests.append(body)
            self.state.headers.append(dict(self.headers))
            number = len(self.state.requests)
            failure = self.state.failures.popleft() if self.state.failures else None
        time.sleep(self.state.delay)
        if failure is not None:
            self._send(
                failure, {"error": {"message": "failure requested by the test", "type": "test"}}
            )
            return
        whole = self.state.completion(body, number)
        if body.get("stream"):
            include_usage = (body.get("stream_options") or {}).get("include_usage", False)
            self._stream(whole, include_usage=include_usage)
        else:
            self._send(200, whole)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Set-Cookie", "session=do-not-keep-this")
        with suppress(BrokenPipeError, ConnectionResetError):  # the client was cancelled
            self.end_headers()
            self.wfile.write(raw)

    def _stream(self, whole: dict[str, Any], *, include_usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in _events(whole, include_usage=include_usage, cut=self.state.cut):
                self.wfile.write(f"data: {event}\n\n".encode())
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            # The client closed the stream midway, as some tests do.
            return


def _events(whole: dict[str, Any], *, include_usage: bool, cut: bool) -> Iterator[str]:
    head = {key: whole[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    choice = whole["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in re.findall(r"\s*\S+", message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls") or ()):
        deltas.append({"tool_calls": [{**call, "index": index}]})
    for delta in deltas:
        yield _event(head, [{"index": 0, "delta": delta, "finish_reason": None}])
    if cut:
        return
    yield _event(head, [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])
    if include_usage and whole["usage"]:
        yield json.dumps({**head, "choices": [], "usage": whole["usage"]})
    yield "[DONE]"


def _event(head: dict[str, Any], choices: list[dict[str, Any]]) -> str:
    return json.dumps({**head, "choices": choices})
