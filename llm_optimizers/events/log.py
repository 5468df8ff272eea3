"""The log as a listener: each `Notice` as a warning of its component's logger, once."""

from __future__ import annotations

from llm_optimizers.events.channel import subscribe
from llm_optimizers.events.kinds import Notice
from llm_optimizers.shown import safe_logger

__all__ = ["install"]

_EMITTER = 4
"""The frame that emitted the event, after those of this module, the subscription and `emit`."""


def install() -> None:
    """Listen for the life of the process."""
    subscribe(_write, Notice)


def _write(notice: Notice) -> None:
    if not notice.repeated:
        # The text as it is, so that tools which group by it see which warning it is.
        safe_logger(notice.component).warning(notice.message, stacklevel=_EMITTER)
