"""One process and one thread at a time drives a job of a provider batch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llm_optimizers.batching.provider.runner import BatchRunner


class Journal:
    """Gives no claim, and records who asked for one; `asked` is called meanwhile."""

    def __init__(self, asked: Callable[[], None] = lambda: None) -> None:
        self.drivers: list[str] = []
        self.asked = asked

    def claim(self, job: str, driver: str, **_: Any) -> bool:
        self.drivers.append(driver)
        self.asked()
        return False


def runner(journal: Journal) -> BatchRunner:
    client: Any = None
    kept: Any = journal
    return BatchRunner(client, kept, max_enqueued_tokens=None, max_rounds=3, clock=lambda: 0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_claims_jobs_in_its_own_name() -> None:
    journal = Journal()
    driving = runner(journal)
    driving.step("job")
    driving.step("job")
    assert len(set(journal.drivers)) == 1
    child = os.fork()
    if child == 0:
        driving.step("job")
        os._exit(0 if len(set(journal.drivers)) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_threads_take_turns() -> None:
    inside, most, lock = [0], [0], threading.Lock()
    both = threading.Barrier(2)

    def asked() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.05)
        with lock:
            inside[0] -= 1

    driving = runner(Journal(asked))

    def step() -> None:
        both.wait()
        driving.step("job")

    threads = [threading.Thread(target=step) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most[0] == 1
