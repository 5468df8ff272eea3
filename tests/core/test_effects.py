"""A plan behaves the same in both shells, and is always closed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from llm_optimizers.effects import Effect, Plan, adrive, drive


@dataclass(frozen=True)
class Ask(Effect[int]):
    number: int


def total(closed: list[str]) -> Plan[int]:
    try:
        first = yield from Ask(1)
        try:
            second = yield from Ask(-1)
        except ValueError:
            second = yield from Ask(10)
        return first + second
    finally:
        closed.append("closed")


def perform(effect: Effect[Any]) -> int:
    assert isinstance(effect, Ask)
    if effect.number < 0:
        raise ValueError(effect.number)
    return effect.number * 2


async def aperform(effect: Effect[Any]) -> int:
    return perform(effect)


async def test_both_shells_reach_the_same_result_and_hand_errors_to_the_plan() -> None:
    closed: list[str] = []
    assert drive(total(closed), perform) == 22
    assert await adrive(total(closed), aperform) == 22
    assert closed == ["closed", "closed"]


def refusing() -> Generator[Effect[Any], Any, int]:
    yield from Ask(-1)
    return 0


async def test_an_error_the_plan_lets_through_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="-1"):
        drive(refusing(), perform)
    with pytest.raises(ValueError, match="-1"):
        await adrive(refusing(), aperform)


def test_an_interrupt_closes_the_plan() -> None:
    closed: list[str] = []

    def interrupt(effect: Effect[Any]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(total(closed), interrupt)
    assert closed == ["closed"]
