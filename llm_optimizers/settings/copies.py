"""Copies of a call's settings for one model, since some models change what they are given.

langchain-google-genai removes what Gemini does not take from the tools themselves. The next call
with them would have another key, and another model of a router other tools.
"""

from __future__ import annotations

from typing import Any

__all__ = ["copied"]


def copied(value: Any) -> Any:
    """Return the value with new lists and mappings at every depth; other objects are the same."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value
