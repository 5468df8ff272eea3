"""OpenAI's Batch API through its SDK: upload a file, create a batch, download two files.

https://platform.openai.com/docs/guides/batch. If the limit of enqueued tokens is exceeded, creating
a batch does not fail, but the batch does later (openai-python#2084). Output is unordered; that of
an expired or cancelled batch may be partial, in the output file and in the error file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llm_optimizers.arguments import instance, refuse, text
from llm_optimizers.batching.provider.client import LineOutcome, RemoteBatch
from llm_optimizers.batching.provider.requests import BatchRequest, ShardLimits
from llm_optimizers.costs.reports import used_in
from llm_optimizers.failures import may_pass
from llm_optimizers.text.json_lines import json_lines

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

__all__ = ["OpenAIBatches"]

_LABEL = "llm_optimizers"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_SEARCHED = 1_000
# Codes of a batch, not of a request: it was not run or not finished.
_RETRIED = frozenset({"batch_expired", "timeout"})
LIMITS = ShardLimits(max_requests=50_000, max_bytes=200_000_000)


class OpenAIBatches:
    """Batches of one OpenAI account, or of an OpenAI-compatible server.

    Args:
        client: the SDK's client; configured from the environment if not given.
        limits: the limits of one batch; OpenAI's by default.
        provider: the provider's name in the price list.
    """

    def __init__(
        self,
        client: OpenAI | None = None,
        *,
        limits: ShardLimits = LIMITS,
        provider: str = "openai",
    ) -> None:
        self.limits = instance("limits", limits, ShardLimits)
        self.provider = text("provider", provider)
        if client is None:
            from openai import OpenAI

            client = OpenAI()
        if not hasattr(client, "files") or not hasattr(client, "batches"):
            refuse("client", client, "an openai.OpenAI(…)")
        if type(client).__name__.startswith("Async"):
            give = "an openai.OpenAI(…); asubmit and acollect do not block the event loop with it"
            refuse("client", client, give)
        self._client = client

    def create(self, lines: Sequence[tuple[str, BatchRequest]], label: str) -> str:
        """Upload the requests and start the batch."""
        text = "".join(_line(name, request) for name, request in lines)
        file = self._client.files.create(file=(f"{label}.jsonl", text.encode()), purpose="batch")
        endpoint: Any = lines[0][1].endpoint
        batch = self._client.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,
            completion_window="24h",
            metadata={_LABEL: label},
        )
        return batch.id

    def find(self, label: str) -> str | None:
        """Search the latest batches for the label."""
        latest = itertools.islice(self._client.batches.list(limit=100), _SEARCHED)
        return next((b.id for b in latest if (b.metadata or {}).get(_LABEL) == label), None)

    def look(self, remote_id: str) -> RemoteBatch:
        """Return the batch's current state."""
        batch = self._client.batches.retrieve(remote_id)
        errors = (batch.errors.data if batch.errors else None) or []
        return RemoteBatch(
            state=batch.status,
            ended=batch.status in _ENDED,
            too_many_tokens=any(error.code == "token_limit_exceeded" for error in errors),
            line_errors={
                error.line - 1: f"{error.code}: {error.message}" for error in errors if error.line
            },
            reason=next((f"{e.code}: {e.message}" for e in errors if not e.line), None),
        )

    def results(self, remote_id: str) -> Iterator[LineOutcome]:
        """Read the output file and the error file, if they exist."""
        batch: Batch = self._client.batches.retrieve(remote_id)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                with self._client.files.with_streaming_response.content(file_id) as response:
                    yield from _outcomes(_split_lines(response.iter_bytes()))

    def cancel(self, remote_id: str) -> None:
        """Ask OpenAI to cancel the batch."""
        self._client.batches.cancel(remote_id)


def _line(name: str, request: BatchRequest) -> str:
    return (
        f'{{"custom_id":{json.dumps(name)},"method":"POST","url":{json.dumps(request.endpoint)},'
        f'"body":{request.body}}}\n'
    )


def _split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split a JSONL file at line feeds only.

    httpx's `iter_lines` also splits at U+2028 and other separators, which a JSON string may hold
    unescaped (https://www.rfc-editor.org/rfc/rfc8259#section-7).
    """
    parts: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            yield b"".join(parts)
            parts = [other]
    yield b"".join(parts)


def _outcomes(lines: Iterable[bytes]) -> Iterator[LineOutcome]:
    """Parse result lines; a damaged line is skipped, so that its request is sent again."""
    for line in json_lines(lines, any_number=True, replace_bytes=True):
        raw = line.value  # None where the line cannot be read
        try:
            yield _outcome(raw["custom_id"], raw.get("response") or {}, raw.get("error"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def _outcome(
    name: str, response: Mapping[str, Any], error: Mapping[str, Any] | None
) -> LineOutcome:
    status = response.get("status_code")
    body = response.get("body")
    if error is None and status == 200 and isinstance(body, Mapping):
        return LineOutcome(name=name, status="answered", body=body, usage=used_in(body))
    found = error or (body.get("error") if isinstance(body, Mapping) else None) or {}
    kind = str(found.get("code") or found.get("type") or f"http_{status}")
    return LineOutcome(
        name=name,
        status=_line_status(kind, status),
        error=str(found.get("message") or kind),
        error_kind=kind,
    )


def _line_status(kind: str, status: object) -> Literal["retry", "cancelled", "refused"]:
    if kind == "batch_cancelled":
        return "cancelled"
    return "retry" if may_pass(status, kind) or kind in _RETRIED else "refused"
