"""Going on without a saving: what is swallowed, what is said, what passes through."""

from __future__ import annotations

import asyncio
import logging

import pytest

from llm_optimizers.failures import FailOpen

log = logging.getLogger("tests.failures")


def test_an_error_is_named_and_its_message_is_not(caplog: pytest.LogCaptureFixture) -> None:
    with FailOpen(log, "It goes on"):
        raise ValueError("a prompt's text")
    assert caplog.messages == ["It goes on (ValueError)."]


def test_nothing_is_said_when_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    with FailOpen(log, "It goes on"):
        pass
    assert not caplog.messages


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_task_passes_through(error: type[BaseException]) -> None:
    with pytest.raises(error), FailOpen(log, "It goes on"):
        raise error
