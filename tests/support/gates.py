"""Work that waits until an event loop has gone on: it never ends if it runs on that loop."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LONG_S = 20.0
"""More than anything takes that does not wait for its own loop."""


class Gate:
    """A gate that a test opens in its event loop; work that passes it must be elsewhere."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._passed: list[bool] = []

    def open(self) -> None:
        """Let the work go on."""
        self._opened.set()

    def close(self) -> None:
        """Let later work wait."""
        self._opened.clear()

    def pass_through(self) -> None:
        """Wait until the gate is open."""
        self._passed.append(self._opened.wait(LONG_S))

    @property
    def held_up(self) -> bool:
        """Whether work waited in vain, because the loop waited for it."""
        return not all(self._passed)

    @property
    def used(self) -> bool:
        """Whether any work came to the gate."""
        return bool(self._passed)


def writes_through(gate: Gate, path: Path, monkeypatch: Any) -> None:
    """Make every write to this SQLite file wait for the gate, like a lock or a slow disk."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def slow(target: str, *args: Any, factory: type[Any] = sqlite3.Connection, **more: Any) -> Any:
        if target != str(path):
            return connect(target, *args, factory=factory, **more)

        class Slow(factory):  # type: ignore[misc]  # the factory is known only here
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if sql.startswith("INSERT"):
                    gate.pass_through()
                cursor: sqlite3.Cursor = super().execute(sql, *values)
                return cursor

            def executemany(self, sql: str, values: Iterable[Any]) -> sqlite3.Cursor:
                rows = list(values)
                if sql.startswith("INSERT") and rows:
                    gate.pass_through()
                cursor: sqlite3.Cursor = super().executemany(sql, rows)
                return cursor

        return connect(target, *args, factory=Slow, **more)

    monkeypatch.setattr(sqlite3, "connect", slow)
