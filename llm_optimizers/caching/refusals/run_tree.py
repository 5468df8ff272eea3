"""Find the answers to refuse from the runs of a framework (a chain's run, a program's span).

The adapters report how runs start and end, and which answers were given inside them. When a run
fails because of what it was given, those answers are refused.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from llm_optimizers.caching.refusals.given import GivenAnswer, refuse_all
from llm_optimizers.errors import LLMOptimizersError
from llm_optimizers.failures import http_status, is_permanent, read_failure
from llm_optimizers.forks import ProcessLock

__all__ = ["RunTree", "blames_answer"]

_MOST_RUNS = 16_384
_MOST_ANSWERS = 1024


def blames_answer(error: BaseException) -> bool:
    """Return whether an error may come from a bad answer, and not from the transport.

    Timeouts, broken connections, disks, HTTP errors, cancellation, and this package's own limits
    say nothing about the answer.
    """
    if not isinstance(error, Exception) or isinstance(error, LLMOptimizersError | OSError):
        return False
    cause = error.__cause__
    if isinstance(error, ValueError) and (cause is None or blames_answer(cause)):
        # A parser's error. What was being handled when it was raised says nothing about it.
        return True
    if http_status(error) is not None or is_permanent(error):
        return False
    return not read_failure(error, now=0.0).retryable


@dataclass(slots=True)
class _Run:
    parent: Hashable
    parsing: bool
    batch: set[str]
    answers: deque[GivenAnswer] = field(default_factory=lambda: deque(maxlen=_MOST_ANSWERS))
    excused: tuple[int, type] | None = None
    """The `id` and class of an error from a run below, of which no answer is the cause."""


class RunTree:
    """The open runs of a framework with the answers given inside each; safe between threads.

    A run's answers go to its parent when it ends. Runs that never end are forgotten in the end.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[Hashable, _Run] = OrderedDict()
        self._lock = ProcessLock()

    def start(self, run: Hashable, parent: Hashable, *, parsing: bool = False) -> None:
        """Open a run; `parsing` if it reads an answer."""
        with self._lock:
            above = self._runs.get(parent)
            self._runs[run] = _Run(parent, parsing, set() if above is None else above.batch)
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)

    def ask(self, run: Hashable) -> None:
        """Note that a model is asked in this run: inside a parser, to repair a refused answer."""
        with self._lock:
            parser = next((key for key, each in self._upwards(run) if each.parsing), None)
            refused = [] if parser is None else self._take_nearest(parser)
        refuse_all(refused)

    def is_open(self, run: Hashable) -> bool:
        """Whether this run has started and not ended."""
        return run in self._runs

    def batch_of(self, run: Hashable) -> set[str] | None:
        """Return the keys called inside the outermost run around this one (see `CallOptions`)."""
        found = self._runs.get(run)
        return None if found is None else found.batch

    def path(self, run: Hashable) -> tuple[Hashable, ...]:
        """Return the run and the open runs around it, the innermost first."""
        with self._lock:
            return tuple(key for key, _ in self._upwards(run))

    def give(self, path: Iterable[Hashable], answer: GivenAnswer) -> None:
        """Add an answer to the first run of the path that is still open."""
        with self._lock:
            for run in path:
                found = self._runs.get(run)
                if found is not None:
                    found.answers.append(answer)
                    return

    def end(self, run: Hashable, *, empty: bool = False) -> None:
        """Close a run that succeeded.

        A parser that was given a whole stream and made nothing of it (`empty`) has refused it.
        """
        refused: list[GivenAnswer] = []
        with self._lock:
            ended = self._runs.get(run)
            if ended is None:
                return
            if empty and ended.parsing:
                refused = self._take_nearest(run)
            del self._runs[run]
            if ended.answers:
                self._hand_up(ended)
        refuse_all(refused)

    def fail(self, run: Hashable, error: BaseException, *, excused: bool = False) -> bool:
        """Close a run that failed, and refuse its answers if they may be the cause.

        A parser has none of its own: it was given those of the nearest run around it. `excused`
        means that no answer is the cause, in this run and in those above that it is raised through.
        Return False for a parser that was given no answer in any open run.
        """
        with self._lock:
            failed = self._runs.get(run)
            if failed is None:
                return True
            identity = id(error), type(error)
            excused = excused or failed.excused == identity
            refused: list[GivenAnswer] = []
            blamed = not excused and blames_answer(error)
            if blamed:
                refused = self._take_nearest(run) if failed.parsing else self._take(failed)
            del self._runs[run]
            above = self._runs.get(failed.parent)
            if excused and above is not None:
                above.excused = identity
            self._hand_up(failed)
        refuse_all(refused)
        return bool(refused) or not (blamed and failed.parsing)

    def refuse(self, run: Hashable) -> None:
        """Refuse the answers given inside this run."""
        with self._lock:
            found = self._runs.get(run)
            refused = [] if found is None else self._take(found)
        refuse_all(refused)

    def refuse_latest(self, run: Hashable) -> None:
        """Refuse the answer that was given last in this run or around it: what a tool is called by.

        It stays known, since several of its calls may be bad.
        """
        with self._lock:
            latest = (each.answers[-1] for _, each in self._upwards(run) if each.answers)
            refused = next(latest, None)
        if refused is not None:
            refuse_all([refused])

    def _hand_up(self, ended: _Run) -> None:
        above = self._runs.get(ended.parent)
        if above is not None:
            above.answers.extend(ended.answers)

    def _take_nearest(self, run: Hashable) -> list[GivenAnswer]:
        for _, each in self._upwards(run):
            if each.answers:
                return self._take(each)
        return []

    def _take(self, run: _Run) -> list[GivenAnswer]:
        taken = list(run.answers)
        run.answers.clear()
        return taken

    def _upwards(self, run: Hashable) -> Iterator[tuple[Hashable, _Run]]:
        seen: set[Hashable] = set()
        while run is not None and run not in seen:
            seen.add(run)
            found = self._runs.get(run)
            if found is None:
                return
            yield run, found
            run = found.parent
