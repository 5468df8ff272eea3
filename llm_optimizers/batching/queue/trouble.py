"""A trouble that may last, such as a full disk: logged when it begins and when it ends."""

from __future__ import annotations

import logging

from llm_optimizers.errors import StoreError

__all__ = ["Trouble"]


class Trouble:
    """One kind of trouble; its texts say what failed, and that it works again."""

    def __init__(self, log: logging.Logger, *, failed: str, over: str) -> None:
        self._log = log
        self._failed = failed
        self._over = over
        self._lasts = False

    def failed(self, error: Exception) -> None:
        """Log a failure, unless the same has failed since it worked.

        Of an error that is not our own only the class: its text could hold a payload.
        """
        if not self._lasts:
            reason = error if isinstance(error, StoreError) else type(error).__name__
            self._log.warning("%s, trying again: %s", self._failed, reason)
        self._lasts = True

    def worked(self) -> None:
        """Log that it works again, if it had failed."""
        if self._lasts:
            self._log.warning("%s", self._over)
        self._lasts = False
