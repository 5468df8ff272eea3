"""The recorded provider's files and batches, as far as a batch of chat requests needs them.

A batch is completed as soon as it is made: what is replayed is the account, not the waiting.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from llm_optimizers.errors import ConfigurationError

__all__ = ["BatchDesk"]

Complete = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""The completion of a chat request's body, None if the log has no such request."""


class BatchDesk:
    """Files by id and batches by id, in memory; safe between threads."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def upload(self, content_type: str, body: bytes) -> dict[str, Any]:
        """Take in a file sent as a form.

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
        """A file's bytes."""
        return self._files.get(file_id)

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer every line of the input file.

        Raises:
            ConfigurationError: there is no such file, or it holds something else.
        """
        source = self._files.get(str(request.get("input_file_id")))
        if source is None:
            raise ConfigurationError(f"no file {request.get('input_file_id')!r}")
        lines = [json.loads(line) for line in source.splitlines() if line.strip()]
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
        """A batch as it stands."""
        return self._batches.get(batch_id)

    def all(self) -> list[dict[str, Any]]:
        """Every batch, newest first."""
        return list(reversed(self._batches.values()))

    def _line(self, line: Mapping[str, Any]) -> dict[str, Any]:
        completion = self._complete(line["body"])
        error = {"error": {"message": "the log has no such request", "code": "unknown_request"}}
        return {
            "id": f"batch_req_{next(self._numbers)}",
            "custom_id": line["custom_id"],
            "response": {
                "status_code": 404 if completion is None else 200,
                "request_id": f"req_{next(self._numbers)}",
                "body": error if completion is None else completion,
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
