"""What a wrapper knows of a call and the account needs: it travels in the instrumentation tags.

LlamaIndex hands the tags of the running code to every event, across threads and tasks, so that
the handler finds them on the start event of the very call they are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags

__all__ = ["OWN", "Conveyed", "conveyed_by", "conveyed_context", "conveying", "user_tags"]

OWN = "llm_optimizers."
"""What the names of our own tags begin with; their values are texts and numbers."""
_BASELINE_MODEL = f"{OWN}baseline_model"
_BASELINE_PROVIDER = f"{OWN}baseline_provider"
_REMOVED_TOKENS = f"{OWN}removed_tokens"
_REPEATED_TOKENS = f"{OWN}repeated_tokens"
_SHARED = f"{OWN}shared"
_ASIDE = f"{OWN}aside"
_CALL_ID = f"{OWN}call_id"
_DRAFT = f"{OWN}draft"


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

    @property
    def repeated_tokens(self) -> int:
        """How many of those an earlier call of the conversation had sent."""
        return int(self.get(_REPEATED_TOKENS) or 0)

    @property
    def shared(self) -> bool:
        """Whether the call's bill is shared out among those who asked, and recorded there."""
        return bool(self.get(_SHARED))

    @property
    def aside(self) -> str | None:
        """The strategy that made the call beside the one that answers; nobody else would have."""
        return self.get(_ASIDE)

    @property
    def call_id(self) -> str | None:
        """The name under which somebody else speaks of the call."""
        return self.get(_CALL_ID)

    @property
    def draft(self) -> bool:
        """Whether it is yet to be told if the answer was kept; `call_id` will name it then."""
        return bool(self.get(_DRAFT))


@contextmanager
def conveying(
    *,
    baseline_model: str | None = None,
    baseline_provider: str | None = None,
    removed_tokens: int = 0,
    repeated_tokens: int = 0,
    shared: bool = False,
    aside: str | None = None,
    call_id: str | None = None,
    draft: bool = False,
) -> Iterator[None]:
    """Calls inside the block carry these facts, and what was conveyed around it."""
    around = active_instrument_tags.get()
    facts: dict[str, Any] = {_ASIDE: aside, _CALL_ID: call_id}
    if baseline_model is not None:
        facts.update({_BASELINE_MODEL: baseline_model, _BASELINE_PROVIDER: baseline_provider})
    if removed_tokens:
        facts[_REMOVED_TOKENS] = removed_tokens + Conveyed(around).removed_tokens
        facts[_REPEATED_TOKENS] = repeated_tokens + Conveyed(around).repeated_tokens
    for flag, raised in ((_SHARED, shared), (_DRAFT, draft)):
        if raised:
            facts[flag] = True
    told = {name: value for name, value in facts.items() if value is not None}
    with instrument_tags({**around, **told}):
        yield


def conveyed_context(context: Context, **facts: Any) -> Context:
    """A copy of the context in which these facts are conveyed: for streams, which are read later.

    Takes what `conveying` takes.
    """

    def told() -> Context:
        with conveying(**facts):
            return copy_context()

    return context.copy().run(told)


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
