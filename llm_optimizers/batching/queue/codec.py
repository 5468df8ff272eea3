"""Jobs as JSON text and back, checked on both ways."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from llm_optimizers.costs.records import JSON
from llm_optimizers.errors import ConfigurationError

__all__ = ["digest", "dump_json", "load_json"]


def dump_json(value: Any, what: str) -> str:
    """The value as compact JSON with sorted keys, which UTF-8 can hold.

    Raises:
        ConfigurationError: it is not JSON; says what `what` may hold instead.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        text.encode()  # Half a surrogate pair, such as a cut emoji, has no bytes.
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the {what} cannot be stored: {error}; use only dicts with string keys, lists, "
            "whole strings, finite numbers, booleans and None"
        ) from error
    return text


def load_json(text: str) -> JSON:
    """Read stored JSON; raises ValueError for anything else, however deep."""
    try:
        return cast("JSON", json.loads(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def digest(text: str) -> str:
    """A payload's fingerprint, kept when the payload is not."""
    return hashlib.sha256(text.encode()).hexdigest()
