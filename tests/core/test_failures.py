"""`FailOpen`: which errors are caught, what is logged, what is not caught."""

from __future__ import annotations

import asyncio
import logging

import pytest

from llm_optimizers.failures import FailOpen

log = logging.getLogger("tests.failures")


def test_the_class_of_an_error_is_logged_and_its_message_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FailOpen(log, "The call goes on"):
        raise ValueError("a prompt's text")
    assert caplog.messages == ["The call goes on (ValueError)."]


def test_nothing_is_logged_without_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with FailOpen(log, "The call goes on"):
        pass
    assert not caplog.messages


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_cancellation_and_interrupts_are_not_caught(error: type[BaseException]) -> None:
    with pytest.raises(error), FailOpen(log, "The call goes on"):
        raise error
