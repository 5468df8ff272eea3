"""Answers held back: stored and shared only once the code that asked has accepted them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from llm_optimizers.effects import Plan, adrive, aperform, drive, perform

__all__ = ["HeldAnswers", "answers_held", "held_answers"]


class HeldAnswers:
    """Answers that are neither stored nor shared until their caller has accepted them."""

    def __init__(self) -> None:
        self._saves: list[Callable[[], Plan[None]]] = []
        self._decided: list[Callable[[bool], None]] = []

    def hold(self, save: Callable[[], Plan[None]]) -> None:
        """Hold an answer back; `save` stores it."""
        self._saves.append(save)

    def tell(self, decided: Callable[[bool], None]) -> None:
        """Call this once with whether the answers were accepted."""
        self._decided.append(decided)

    def accept(self) -> None:
        """Store the answers and share them."""
        try:
            for save in self._saves:
                drive(save(), perform)
        finally:
            self._decide(accepted=True)

    async def aaccept(self) -> None:
        """Async version of `accept`."""
        try:
            for save in self._saves:
                await adrive(save(), aperform)
        finally:
            self._decide(accepted=True)

    def drop(self) -> None:
        """Drop the answers, unless they were accepted."""
        self._decide(accepted=False)

    def _decide(self, *, accepted: bool) -> None:
        decided, self._decided, self._saves = self._decided, [], []
        for each in decided:
            each(accepted)


_held: ContextVar[HeldAnswers | None] = ContextVar("llm_optimizers_answers_held", default=None)


@contextmanager
def answers_held() -> Iterator[HeldAnswers]:
    """Hold back the answers of the calls inside the block, and of streams started in it.

    For code that checks an answer only after the call, and then accepts or drops all of them. An
    error drops them.
    """
    held = HeldAnswers()
    token = _held.set(held)
    try:
        yield held
    except BaseException:
        held.drop()
        raise
    finally:
        _held.reset(token)


def held_answers() -> HeldAnswers | None:
    """Return the answers held back by the innermost `answers_held()`, None outside of one."""
    return _held.get()
