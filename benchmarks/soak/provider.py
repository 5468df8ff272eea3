"""A provider on loopback that refuses, fails, breaks off, and remembers every request it got."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

OP_HEADER = "x-soak-op"
"""The header with the id of the operation that a request was made for."""
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OP = re.compile(OP_HEADER.encode() + rb": *(\S+)", re.IGNORECASE)
_KEY = re.compile(rb"authorization: *bearer (\S+)", re.IGNORECASE)
_FAILURES = (("429", 0.04), ("500", 0.04), ("half", 0.04))
"""What goes wrong, and in what share of the requests."""


class Provider:
    """A running provider: where it is, and what it got."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def requests(self) -> list[tuple[str, str]]:
        """Return the operation and the outcome of each request so far."""
        self._pipe.send("requests")
        found: list[tuple[str, str]] = self._pipe.recv()
        return found


@contextmanager
def provider(seed: int) -> Iterator[Provider]:
    """Run a provider in its own process, as long as the block runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, seed), daemon=True)
    process.start()
    theirs.close()  # so that `recv` raises if the server cannot start
    try:
        yield Provider(f"http://127.0.0.1:{ours.recv()}/v1", ours)
    finally:
        process.terminate()
        process.join()


def answer_to(tenant: str, question: str) -> str:
    """Return the only right answer to a tenant's question."""
    return f"For {tenant} the answer to <{question}> is here."


def _run(pipe: Connection, seed: int) -> None:
    asyncio.run(_Server(pipe, random.Random(seed)).serve())


class _Server:
    def __init__(self, pipe: Connection, rng: random.Random) -> None:
        self._pipe = pipe
        self._rng = rng
        self._requests: list[tuple[str, str]] = []

    async def serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1_024)
        self._pipe.send(server.sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._report)
        await server.serve_forever()

    def _report(self) -> None:
        self._pipe.recv()
        self._pipe.send(self._requests)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                if not await self._answer(head, body, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, head: bytes, body: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False if the connection must end after it."""
        outcome = self._outcome()
        op, key = _OP.search(head), _KEY.search(head)
        self._requests.append((op[1].decode() if op else "", outcome))
        await asyncio.sleep(self._rng.uniform(0.002, 0.03))
        if outcome in ("429", "500"):
            error = {"error": {"message": "failure requested by the soak", "type": "test"}}
            writer.write(_head(int(outcome), json.dumps(error).encode()))
            await writer.drain()
            return True
        text = answer_to(key[1].decode() if key else "", body["messages"][-1]["content"])
        if body.get("stream"):
            await self._stream(text, body["model"], writer, cut=outcome == "half")
            return False
        whole = _head(200, json.dumps(_completion(text, body["model"])).encode())
        writer.write(whole[: len(whole) * 2 // 3] if outcome == "half" else whole)
        await writer.drain()
        return outcome != "half"

    async def _stream(
        self, text: str, model: str, writer: asyncio.StreamWriter, *, cut: bool
    ) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        events = list(_events(text, model))
        for event in events[: len(events) // 2] if cut else events:
            writer.write(f"data: {event}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(0.001)

    def _outcome(self) -> str:
        drawn = self._rng.random()
        for name, share in _FAILURES:
            drawn -= share
            if drawn < 0:
                return name
        return "ok"


def _head(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _completion(text: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-soak",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32},
    }


def _events(text: str, model: str) -> Iterator[str]:
    head = {
        "id": "chatcmpl-soak",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": model,
    }

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return json.dumps({**head, "choices": choices})

    yield event({"role": "assistant", "content": ""})
    for piece in re.findall(r"\s*\S+", text):
        yield event({"content": piece})
    yield event({}, "stop")
    usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
    yield json.dumps({**head, "choices": [], "usage": usage})
    yield "[DONE]"
