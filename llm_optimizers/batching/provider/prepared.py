"""`PreparedRequest`: a request of a batch with what the app that made it knows about it.

An app's strategies act when the batch is submitted: a cache may hold the answer, a router chooses
the model, an optimizer shortens the prompt. What the ledger needs to know of that, and what the app
needs again when the answer arrives, is kept with the request in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_optimizers.batching.queue.job import dump_json
from llm_optimizers.costs.records import JSON
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.errors import ConfigurationError

__all__ = ["PreparedRequest", "RequestContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What is known of a request beside its body.

    `tags` are those of its record in the ledger. `baseline_model` and `baseline_provider` are what
    would have been called without a router, `removed` what optimizers took out of the prompt.
    `note` is the app's own (JSON), returned with the result.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    baseline_model: str | None = None
    baseline_provider: str | None = None
    removed: RemovedTokens = NOTHING_REMOVED
    note: JSON = None

    def dump(self) -> str:
        """Return the context as JSON for the journal.

        Raises:
            ConfigurationError: the note or the tags are not JSON.
        """
        fields = {
            "tags": dict(self.tags),
            "baseline_model": self.baseline_model,
            "baseline_provider": self.baseline_provider,
            "removed": [self.removed.tokens, self.removed.repeated],
            "note": self.note,
        }
        return dump_json(fields, "request's context")

    @classmethod
    def load(cls, text: str | None) -> RequestContext:
        """Read a context from the journal; an empty one for requests that have none."""
        if text is None:
            return cls()
        fields = json.loads(text)
        tokens, repeated = fields.pop("removed")
        return cls(removed=RemovedTokens(tokens=tokens, repeated=repeated), **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """One request: either a `body` to send, or an `answer` that is known already.

    `source` identifies what was asked for. A batch that is submitted again under its id must have
    the same sources; without them, the same bodies.
    """

    body: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    source: str | None = None
    context: RequestContext = field(default_factory=RequestContext)

    def __post_init__(self) -> None:
        if (self.body is None) == (self.answer is None):
            raise ConfigurationError("a prepared request has either a `body` or an `answer`")
