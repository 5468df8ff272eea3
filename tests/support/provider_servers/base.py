"""What the stand-ins for providers share: answers in no provider's format, and the HTTP for them.

A test says what the model answers (`Answer`) and what that costs (`Tokens`); each provider's file
writes it in its own format, whole or as a stream, and reads requests into `Asked`.
"""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_optimizers.costs import Usage
from support.local_server import LocalHandler, serving


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The counts of one call, each token once: `fresh` input is not in the provider's cache."""

    fresh: int = 10
    output: int = 5
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    thinking: int = 0

    @property
    def usage(self) -> Usage:
        """What an account has to make of them; `thinking` is part of the output."""
        written = self.written_5m + self.written_1h
        return Usage(
            input_tokens=self.fresh + self.read + written,
            output_tokens=self.output,
            cache_read_tokens=self.read,
            cache_write_tokens=written,
            cache_write_1h_tokens=self.written_1h,
            reasoning_tokens=self.thinking,
        )


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool; the server gives it an id."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model answers, in this order: thoughts, text, calls. `cut` at the token limit."""

    text: str = ""
    thoughts: str = ""
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asks.

    `question` is the text of the last message that is no tool result, `results` are the texts of
    tool results after it. `tools` are names; `schema` says that JSON was asked for by a setting.
    """

    question: str = ""
    results: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    schema: bool = False


COOKIE = "session=do-not-keep-this"
ErrorKind = Literal["rate_limit", "overloaded", "invalid"]
Reply = Callable[[Asked], Answer]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error of a kind that every provider has; `wait` seconds go into `retry-after`."""

    kind: ErrorKind
    wait: int | None = None


@dataclass
class ProviderServer:
    """The bodies and paths that a server got, what it answers, and its next failures."""

    reply: Reply
    url: str = ""
    failures: deque[Failure] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self, reply: Reply) -> None:
        """Forget what was asked, and answer with this from now on."""
        with self.lock:
            self.reply = reply
            for each in (self.failures, self.requests, self.paths):
                each.clear()


def fixed(answer: Answer) -> Reply:
    """Answer everything with this."""
    return lambda _asked: answer


def with_tools(answer: Answer, *calls: ToolCall) -> Reply:
    """Call tools while there are some and no result of them, then answer."""

    def reply(asked: Asked) -> Answer:
        if asked.tools and not asked.results:
            return Answer(thoughts=answer.thoughts, calls=calls, tokens=answer.tokens)
        return answer

    return reply


@contextmanager
def provider_server(handler: type[ProviderHandler], reply: Reply) -> Iterator[ProviderServer]:
    """Run a server on a free port; its `url` has no path."""
    server = ProviderServer(reply=reply)
    bound = type(handler.__name__, (handler,), {"server_state": server})
    with serving(bound) as url:
        server.url = url.removesuffix("/v1")
        yield server


@dataclass(frozen=True, kw_only=True)
class Written:
    """A response's body."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class ProviderHandler(LocalHandler):
    """Reads a request, lets the test's `reply` answer it, and writes that in a provider's format.

    Responses carry a cookie, which must not get into a cache. Connections are closed, so that none
    outlives the event loop of its test.
    """

    server_state: ProviderServer

    @abstractmethod
    def asked(self, body: dict[str, Any]) -> Asked:
        """Read a request."""

    @abstractmethod
    def write(self, body: dict[str, Any], answer: Answer, number: int) -> Written:
        """Write the answer to the `number`th request, whole or as a stream, as was asked."""

    @abstractmethod
    def write_error(self, kind: ErrorKind) -> Written:
        """Write an error."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        state = self.server_state
        with state.lock:
            state.requests.append(body)
            state.paths.append(self.path)
            number = len(state.requests)
            failure = state.failures.popleft() if state.failures else None
        if failure is None:
            self._send(self.write(body, state.reply(self.asked(body)), number), {})
        else:
            wait = {} if failure.wait is None else {"retry-after": str(failure.wait)}
            self._send(self.write_error(failure.kind), wait)

    def _send(self, written: Written, more: Mapping[str, str]) -> None:
        self.send_response(written.status)
        self.send_header("Content-Type", written.kind)
        self.send_header("Content-Length", str(len(written.body)))
        self.send_header("Set-Cookie", COOKIE)
        self.send_header("Connection", "close")
        self.close_connection = True
        for name, value in {**written.headers, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(written.body)


def json_body(value: Any, *, status: int = 200, **headers: str) -> Written:
    """Return a JSON response."""
    return Written(body=json.dumps(value).encode(), status=status, headers=headers)


def pieces(text: str) -> list[str]:
    """Cut a text in the middle, as a stream does; an empty one has no pieces."""
    half = len(text) // 2
    return [piece for piece in (text[:half], text[half:]) if piece]
