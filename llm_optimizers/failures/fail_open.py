"""Announce a failure instead of raising it, and log a repeated one only once."""

from __future__ import annotations

from types import TracebackType

from llm_optimizers.events import Notice, emit
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["FailOpen", "WarningLog"]

_MOST_TEXTS = 1_000


class FailOpen:
    """A block whose errors are announced, not raised, so that the user still gets an answer.

    The notice of `component` gives the `consequence` and the error's class, but not its message,
    which may contain a prompt. Cancellation is not caught.
    """

    def __init__(self, component: str, consequence: str) -> None:
        self._component = component
        self._consequence = consequence

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if kind is None or not isinstance(error, Exception):
            return False
        message = f"{self._consequence} ({kind.__name__})."
        emit(Notice(component=self._component, message=message))
        return True


class WarningLog(PickledAsArguments):
    """Announces warnings; the log shows each text once, so that a repeated failure cannot fill it.

    After a thousand different texts it shows no more.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._lock = ProcessLock()

    def __fingerprint__(self) -> None:
        """What was logged distinguishes no setting that holds it."""

    def warn_once(self, component: str, text: str) -> None:
        """Announce a warning of `component`, as repeated if the same text came before."""
        with self._lock:
            repeated = text in self._logged or len(self._logged) >= _MOST_TEXTS
            if not repeated:
                self._logged.add(text)
        emit(Notice(component=component, message=text, repeated=repeated))
