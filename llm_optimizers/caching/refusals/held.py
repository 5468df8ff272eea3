"""Answers held back: stored only once the code that asked for them has accepted them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from llm_optimizers.effects import Plan, adrive, aperform, drive, perform

__all__ = ["Held", "answers_held", "astore_held", "held_answers", "store_held"]

Held: TypeAlias = list[Callable[[], Plan[None]]]
"""The plans that store the answers."""

_held: ContextVar[Held | None] = ContextVar("llm_optimizers_answers_held", default=None)


@contextmanager
def answers_held() -> Iterator[Held]:
    """Hold back the answers of the calls inside the block; `store_held` stores what it yields.

    For code that checks an answer only after the call.
    """
    held: Held = []
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


def held_answers() -> Held | None:
    """Return the list of the innermost `answers_held()`, None outside of one."""
    return _held.get()


def store_held(held: Held) -> None:
    """Store answers that were held back."""
    for save in held:
        drive(save(), perform)


async def astore_held(held: Held) -> None:
    """Async version of `store_held`."""
    for save in held:
        await adrive(save(), aperform)
