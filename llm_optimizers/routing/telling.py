"""Warnings said once: a judge that is down fails a thousand times an hour, for one reason."""

from __future__ import annotations

import logging
import threading

__all__ = ["Once"]


class Once:
    """Says each warning of a router's once, by its words; safe to share between threads."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def warn(self, log: logging.Logger, text: str) -> None:
        """Log a warning unless it was said before."""
        with self._lock:
            if text in self._said:
                return
            self._said.add(text)
        log.warning("%s", text)
