"""Answers as JSON values: the codec for callers without a framework."""

from __future__ import annotations

import json
from typing import Any

from llm_optimizers.caching.admission import Traits

__all__ = ["JSONCodec"]


class JSONCodec:
    """Any JSON value as the answer; None, "" and empty containers are not worth keeping."""

    def encode(self, value: Any) -> str:
        """See `Codec.encode`."""
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        """See `Codec.decode`."""
        return json.loads(payload)

    def traits(self, value: Any) -> Traits:
        """See `Codec.traits`."""
        return Traits(empty=value is None or (not value and isinstance(value, str | list | dict)))
