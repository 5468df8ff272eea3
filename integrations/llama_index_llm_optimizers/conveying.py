"""What a wrapper knows of a call and the account needs: it travels in the instrumentation tags.

LlamaIndex hands the tags of the running code to every event, across threads and tasks, so that
the handler finds them on the start event of the very call they are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags

__all__ = ["OWN", "Conveyed", "conveyed_by", "conveying", "user_tags"]

OWN = "llm_optimizers."
"""What the names of our own tags begin with; their values are texts and numbers."""
_BASELINE_MODEL = f"{OWN}baseline_model"
_BASELINE_PROVIDER = f"{OWN}baseline_provider"
_REMOVED_TOKENS = f"{OWN}removed_tokens"


class Conveyed(dict[str, Any]):
    """Our own tags of one call, by what they say."""

    @property
    def baseline_model(self) -> str | None:
        """The model that would have been called without routing."""
        return self.get(_BASELINE_MODEL)

    @property
    def baseline_provider(self) -> str | None:
        """Who sells it."""
        return self.get(_BASELINE_PROVIDER)

    @property
    def removed_tokens(self) -> int:
        """Tokens that were taken out of the prompt."""
        return int(self.get(_REMOVED_TOKENS) or 0)


@contextmanager
def conveying(
    *,
    baseline_model: str | None = None,
    baseline_provider: str | None = None,
    removed_tokens: int = 0,
) -> Iterator[None]:
    """Calls inside the block carry these facts, and what was conveyed around it."""
    around = active_instrument_tags.get()
    facts: dict[str, Any] = {}
    if baseline_model is not None:
        facts[_BASELINE_MODEL] = baseline_model
        facts[_BASELINE_PROVIDER] = baseline_provider
    if removed_tokens:
        facts[_REMOVED_TOKENS] = removed_tokens + Conveyed(around).removed_tokens
    with instrument_tags({**around, **facts}):
        yield


def conveyed_by(tags: Mapping[str, Any]) -> Conveyed:
    """Our own among an event's tags."""
    return Conveyed({name: value for name, value in tags.items() if name.startswith(OWN)})


def user_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """The user's among an event's tags, as far as they are plain values."""
    return {
        name: str(value)
        for name, value in tags.items()
        if not name.startswith(OWN) and isinstance(value, str | int | bool)
    }
