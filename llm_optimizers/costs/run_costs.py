"""What one run cost: of an agent, a chain, or a block of the user's own code."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from llm_optimizers.arguments import refuse
from llm_optimizers.costs.attribution import attributed, block_names, innermost_block
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.runs import is_in_run, roots_of, within_run
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise

__all__ = ["CostsByRun", "RunCosts"]


@dataclass(frozen=True, slots=True)
class RunCosts:
    """The costs so far of the run with this `id`."""

    ledger: Ledger
    id: str

    def summary(self) -> Summary:
        """Return the totals of the run's calls, also of those in runs inside it.

        Raises:
            StoreError: the ledger cannot be read.
        """
        return summarise(self._records())

    @property
    def cost(self) -> Decimal:
        """The dollars of the calls that have a price; `summary().unpriced` counts the others."""
        return self.summary().cost

    def _records(self) -> Iterator[CallRecord]:
        """Find the records by an index; read all of them only if that finds none."""
        found = False
        for root in dict.fromkeys([self.id, *roots_of(self.id)]):
            for record in self.ledger.records(run=root):
                if is_in_run(record.tags, self.id):
                    found = True
                    yield record
        if not found:
            yield from (each for each in self.ledger.records() if is_in_run(each.tags, self.id))


class CostsByRun:
    """The costs of single runs, for a handler with a ledger."""

    @property
    def ledger(self) -> Ledger:
        """The ledger that holds the records."""
        raise NotImplementedError

    def by_run(self, run: str | uuid.UUID) -> Summary:
        """Return the totals of a run: its root's calls and those of everything inside it.

        `run` is the root's id: in LangChain the `run_id` of the config, in LlamaIndex the `run_id`
        of a workflow's handler, or the id of a `run()` block.

        Raises:
            ConfigurationError: it is no id.
            StoreError: the ledger cannot be read.
        """
        return RunCosts(self.ledger, _id(run)).summary()

    @contextmanager
    def run(self) -> Iterator[RunCosts]:
        """Make one run of all calls inside the block, and return what it costs.

            with costs.run() as run:
                agent.invoke(question)
            print(run.cost)

        A run inside another run counts for both.
        """
        costs = RunCosts(self.ledger, uuid.uuid4().hex)
        names = within_run(block_names(innermost_block()), costs.id)
        with attributed(names):
            yield costs


def _id(run: object) -> str:
    if not isinstance(run, str | uuid.UUID) or not str(run):
        refuse("run", run, "the id of a run, a text or a UUID")
    return str(run)
