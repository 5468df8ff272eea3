"""A server on loopback with OpenAI's files and batches, whose batches can end in every way."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.local_server import LocalHandler, serving


@dataclass(frozen=True, kw_only=True)
class Script:
    """What happens to one batch.

    It reaches `state` after `polls` requests for its status. `answers` is the share of its lines
    that get a response; for those in `errors` (by line) it is an HTTP status and a code. `faults`
    (codes by line) or `code` (without a line) reject the whole file. The first `damaged` output
    lines are truncated.
    """

    state: str = "completed"
    polls: int = 1
    answers: float = 1.0
    errors: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    faults: Mapping[int, str] = field(default_factory=dict)
    code: str | None = None
    damaged: int = 0
    cancelled_lines: bool = False


@dataclass
class BatchServer:
    """The server's state. `paid` counts the answered requests by their text."""

    url: str = ""
    scripts: deque[Script] = field(default_factory=deque)
    failures: deque[int] = field(default_factory=deque)
    lose_next_answer: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _running: dict[str, tuple[Script, int]] = field(default_factory=dict)

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.batches)
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "metadata": body.get("metadata"),
            "status": "validating",
            "created_at": 1_700_000_000 + number,
        }
        script = self.scripts.popleft() if self.scripts else Script()
        self.batches[batch["id"]] = batch
        self.sizes.append(len(self.lines(batch)))
        self._running[batch["id"]] = (script, script.polls)
        return batch

    def lines(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def look(self, id_: str) -> dict[str, Any]:
        batch = self.batches[id_]
        if id_ in self._running:
            script, polls = self._running[id_]
            self._running[id_] = (script, polls - 1)
            batch["status"] = "in_progress"
            if polls <= 0:
                del self._running[id_]
                self._end(batch, script)
        return batch

    def cancel(self, id_: str) -> dict[str, Any]:
        if id_ in self._running:
            self._running[id_] = (
                Script(state="cancelled", answers=0.5, polls=1, cancelled_lines=True),
                1,
            )
            self.batches[id_]["status"] = "cancelling"
        return self.batches[id_]

    def _end(self, batch: dict[str, Any], script: Script) -> None:
        batch["status"] = script.state
        if script.code or script.faults:
            batch["status"] = "failed"
            data = [
                {"code": code, "line": line + 1, "message": "no good", "param": None}
                for line, code in script.faults.items()
            ]
            if script.code:
                data.append({"code": script.code, "line": None, "message": "no", "param": None})
            batch["errors"] = {"object": "list", "data": data}
            return
        output: list[str] = []
        errors: list[str] = []
        lines = self.lines(batch)
        answered = round(len(lines) * script.answers)
        for number, line in enumerate(lines):
            name = line["custom_id"]
            if number >= answered:
                if script.state == "expired" or script.cancelled_lines:
                    code = f"batch_{script.state}"
                    error = {"code": code, "message": "it ran out of time"}
                    errors.append(json.dumps({"custom_id": name, "response": None, "error": error}))
            elif number in script.errors:
                status, code = script.errors[number]
                fault = {"error": {"code": code, "message": "failure requested by the test"}}
                response = {"status_code": status, "body": fault}
                errors.append(json.dumps({"custom_id": name, "response": response, "error": None}))
            else:
                output.append(self._answer(name, line["body"]))
        random.Random(7).shuffle(output)
        for index in range(script.damaged):
            output[index] = output[index][:40]
        for kind, text in (("output_file_id", output), ("error_file_id", errors)):
            if text:
                batch[kind] = f"{batch['id']}_{kind}"
                self.files[batch[kind]] = ("\n".join(text) + "\n").encode()

    def _answer(self, name: str, body: dict[str, Any]) -> str:
        question = body["messages"][-1]["content"]
        self.paid[question] += 1
        completion = {
            "id": "chatcmpl",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": f"answer to {question}"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
        }
        response = {"status_code": 200, "request_id": "r", "body": completion}
        line = {"id": "x", "custom_id": name, "response": response, "error": None}
        return json.dumps(line, ensure_ascii=False)


@contextmanager
def batch_server(**settings: Any) -> Iterator[BatchServer]:
    """Run a server on a free port; its `url` is the client's `base_url`."""
    state = BatchServer(**settings)

    class Handler(_Handler):
        server_state = state

    with serving(Handler) as state.url:
        yield state


class _Handler(LocalHandler):
    server_state: BatchServer

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server_state
        path = self.path.removeprefix("/v1")
        with state.lock:
            state.calls[f"POST {re.sub('batch_[0-9]+', 'ID', path)}"] += 1
            if state.failures:
                self._send(
                    {"error": {"message": "failure requested by the test"}},
                    state.failures.popleft(),
                )
            elif path == "/files":
                id_ = f"file_{len(state.files)}"
                state.files[id_] = _uploaded(raw)
                self._send({"id": id_, "object": "file", "purpose": "batch", "bytes": 1})
            elif path == "/batches":
                batch = state.create(json.loads(raw))
                if state.lose_next_answer:
                    state.lose_next_answer = False
                    self._send({"error": {"message": "failure requested by the test"}}, 504)
                else:
                    self._send(batch)
            elif match := re.fullmatch("/batches/(.+)/cancel", path):
                self._send(state.cancel(match[1]))
            else:
                self._send({"error": {"message": path}}, 404)

    def do_GET(self) -> None:
        state = self.server_state
        path = self.path.removeprefix("/v1").partition("?")[0]
        with state.lock:
            state.calls[f"GET {re.sub('(batch|file)_[^/]+', 'ID', path)}"] += 1
            if state.failures:
                self._send(
                    {"error": {"message": "failure requested by the test"}},
                    state.failures.popleft(),
                )
            elif path == "/batches":
                latest = list(state.batches.values())[::-1]
                self._send({"object": "list", "data": latest, "has_more": False})
            elif match := re.fullmatch("/files/(.+)/content", path):
                self._send_bytes(state.files[match[1]])
            elif match := re.fullmatch("/batches/(.+)", path):
                self._send(state.look(match[1]))
            else:
                self._send({"error": {"message": path}}, 404)

    def _send(self, body: Mapping[str, Any], status: int = 200) -> None:
        self._send_bytes(json.dumps(body).encode(), status)

    def _send_bytes(self, raw: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        try:
            self.end_headers()
            self.wfile.write(raw)
        except (BrokenPipeError, ConnectionResetError):
            # The test killed the client.
            return


def _uploaded(raw: bytes) -> bytes:
    """Return the file of a multipart form."""
    boundary = raw.partition(b"\r\n")[0]
    for part in raw.split(boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return content.removesuffix(b"\r\n")
    raise ValueError("no file was uploaded")
