"""Log a failure instead of raising it, and log a repeated one only once."""

from __future__ import annotations

import logging
from types import TracebackType

from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["FailOpen", "WarningLog"]

_MOST_TEXTS = 1_000


class FailOpen:
    """A block whose errors are logged instead of raised, so that the user still gets an answer.

    The warning gives the `consequence` and the error's class, but not its message, which may
    contain a prompt. Cancellation is not caught.
    """

    def __init__(self, log: logging.Logger, consequence: str) -> None:
        self._log = log
        self._consequence = consequence

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if kind is None or not isinstance(error, Exception):
            return False
        self._log.warning("%s (%s).", self._consequence, kind.__name__)
        return True


class WarningLog(PickledAsArguments):
    """Logs each warning text once, so that a repeated failure does not fill the log.

    After a thousand different texts it logs no more.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._lock = ProcessLock()

    def __fingerprint__(self) -> None:
        """What was logged distinguishes no setting that holds it."""

    def warn_once(self, log: logging.Logger, text: str) -> None:
        """Log a warning unless the same text was logged before."""
        with self._lock:
            if text in self._logged or len(self._logged) >= _MOST_TEXTS:
                return
            self._logged.add(text)
        log.warning("%s", text)
