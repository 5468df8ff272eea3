"""The recorded provider without HTTP: chat completions, files, batches, and the bill.

Objects have the shapes of OpenAI's API. A batch completes as soon as it is created.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.replay.answers import AnsweringRule, RecordedAnswer
from llm_optimizers.text.json_lines import json_lines
from llm_optimizers.types import ChatRequest

__all__ = ["REPLAY_ID", "Billed", "OnBilled", "Provider", "usage_of"]

REPLAY_ID = "x-replay-id"
"""Identifies a request even if its messages were changed: an HTTP header, or in a batch line an
entry of `metadata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """One answer as billed; `request_id` is "" if the request had none."""

    request_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    batch: bool


OnBilled = Callable[[Billed], None]
"""Called once for each answer, possibly from several threads at once."""


class Provider:
    """Answers requests with a rule; keeps files and batches in memory. Thread-safe."""

    def __init__(self, rule: AnsweringRule, on_billed: OnBilled | None = None) -> None:
        self._rule = rule
        self._on_billed = on_billed
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._lock = ProcessLock()

    def reply(
        self, request: ChatRequest, request_id: str | None, *, batch: bool = False
    ) -> RecordedAnswer | None:
        """Return the rule's answer and bill it; None if the rule has none."""
        reply = self._rule.answer(request, request_id)
        if reply is not None and self._on_billed is not None:
            self._on_billed(
                Billed(
                    request_id=request_id or "",
                    model=request.model,
                    prompt_tokens=reply.prompt_tokens,
                    completion_tokens=reply.completion_tokens,
                    batch=batch,
                )
            )
        return reply

    def head(self, request: ChatRequest, kind: str) -> dict[str, Any]:
        """Return the fields that every completion and chunk begins with."""
        number = f"chatcmpl-replay-{next(self._numbers)}"
        return {"id": number, "object": kind, "created": int(time.time()), "model": request.model}

    def completion(self, request: ChatRequest, reply: RecordedAnswer) -> dict[str, Any]:
        """Return the answer as a completion object."""
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "length" if reply.cut else "stop",
            "logprobs": None,
        }
        return {
            **self.head(request, "chat.completion"),
            "choices": [choice],
            "usage": usage_of(reply),
        }

    def upload(self, content_type: str, body: bytes) -> dict[str, Any]:
        """Store a file sent as a multipart form.

        Raises:
            ConfigurationError: the form has no file.
        """
        head = f"content-type: {content_type}\r\n\r\n".encode()
        form = BytesParser(policy=HTTP).parsebytes(head + body)
        parts = form.iter_parts() if form.is_multipart() else ()
        for part in parts:
            if part.get_filename() is not None:
                content = part.get_payload(decode=True)
                return self._file(content if isinstance(content, bytes) else b"")
        raise ConfigurationError("the form has no file")

    def content(self, file_id: str) -> bytes | None:
        """Return a file's bytes, None if there is no such file."""
        return self._files.get(file_id)

    def create_batch(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer every line of the input file.

        Raises:
            ConfigurationError: there is no such file, or it is not a batch input.
        """
        source = self._files.get(str(request.get("input_file_id")))
        if source is None:
            raise ConfigurationError(f"no file {request.get('input_file_id')!r}")
        lines = [line.read() for line in json_lines(source.split(b"\n"))]
        bodies = [line.get("body") if isinstance(line, Mapping) else None for line in lines]
        if not all(isinstance(body, Mapping) for body in bodies):
            raise ConfigurationError("every line of the file must be an object with a `body`")
        answers = [self._line(line) for line in lines]
        output = self._file("\n".join(json.dumps(answer) for answer in answers).encode())
        failed = sum(1 for answer in answers if answer["response"]["status_code"] != 200)
        now = int(time.time())
        batch = {
            "id": f"batch_{next(self._numbers)}",
            "object": "batch",
            "endpoint": request.get("endpoint", "/v1/chat/completions"),
            "input_file_id": request["input_file_id"],
            "completion_window": request.get("completion_window", "24h"),
            "status": "completed",
            "output_file_id": output["id"],
            "created_at": now,
            "completed_at": now,
            "request_counts": {
                "total": len(lines),
                "completed": len(lines) - failed,
                "failed": failed,
            },
            "metadata": request.get("metadata"),
        }
        with self._lock:
            self._batches[batch["id"]] = batch
        return batch

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        """Return a batch, None if there is no such batch."""
        return self._batches.get(batch_id)

    def batches(self) -> list[dict[str, Any]]:
        """Return all batches, newest first."""
        with self._lock:
            return list(reversed(self._batches.values()))

    def _line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one input line: return its output line."""
        request = ChatRequest.from_openai(line["body"])
        metadata = request.params.get("metadata")
        name = metadata.get(REPLAY_ID) if isinstance(metadata, Mapping) else None
        reply = self.reply(request, name, batch=True)
        error = {"error": {"message": "the log has no such request", "code": "unknown_request"}}
        return {
            "id": f"batch_req_{next(self._numbers)}",
            "custom_id": line["custom_id"],
            "response": {
                "status_code": 404 if reply is None else 200,
                "request_id": f"req_{next(self._numbers)}",
                "body": error if reply is None else self.completion(request, reply),
            },
            "error": None,
        }

    def _file(self, content: bytes) -> dict[str, Any]:
        file_id = f"file-{next(self._numbers)}"
        with self._lock:
            self._files[file_id] = content
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": "batch.jsonl",
            "purpose": "batch",
            "status": "processed",
        }


def usage_of(reply: RecordedAnswer) -> dict[str, Any]:
    """Return the `usage` object of a completion or of a stream's last chunk."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
    }
