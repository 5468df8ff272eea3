"""Follow nested runs, so that each call knows its root run and the names given to those around it.

A framework reports the beginning of each run (a chain, an agent, a step, a tool, a model's call)
with the id of the run around it. `RunTree` keeps them while they are open and for some time after,
since background work and streams go on after their run.

The names of a call are those of the runs around it, from the outside in: the blocks that each was
started in (`attribution.py`), then its own metadata. What a run only inherited says nothing new.
The `run` of a call is its root, whatever its metadata says: otherwise a client could put a call on
another user's bill.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from llm_optimizers.costs.attribution import (
    Names,
    block_names,
    innermost_block,
    known_tenant,
    names_of,
)
from llm_optimizers.forks import ProcessLock
from llm_optimizers.holdout import Assignment, current_assignment
from llm_optimizers.scopes import Scope

__all__ = [
    "NOBODY",
    "Attribution",
    "RunStart",
    "RunTree",
    "Surroundings",
    "is_in_run",
    "roots_of",
    "within_run",
]

SUBRUN = "subrun"
"""The tag with the runs that a user began inside the root run."""
_MOST = 65_536  # runs that are open
_REMEMBERED = 4_096  # runs that have ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Whose money a call was: its names and tags, and its group in a measurement."""

    tags: Names = field(default_factory=dict)
    assignment: Assignment | None = None


NOBODY = Attribution()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds in the code that begins a run."""

    block: Scope[Names] | None
    tenant: str
    assignment: Assignment | None

    @classmethod
    def read(cls) -> Surroundings:
        """Read them from the running code."""
        return cls(innermost_block(), known_tenant(), current_assignment())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """What a framework says when a run begins.

    `parent` is the id of the run around it, `given` its metadata or tags. `name` is what the
    framework calls it; it is not `named` if that is a default. `agent` is the agent that the run is
    or belongs to, `step` the step that it belongs to; if it `is_step` itself, the run around it is
    a graph or workflow. `root` is the id by which users know the run if it is the outermost, by
    default its own. `around` is by default read from the running code.
    """

    parent: Hashable | None
    given: Any
    name: str = ""
    named: bool = True
    agent: str = ""
    step: str = ""
    is_step: bool = False
    root: str = ""
    around: Surroundings | None = None


class _Run:
    """A run and the one around it; `root` is the id of the outermost."""

    __slots__ = (
        *("agent", "around", "current", "has_steps", "own", "parent", "root", "said", "start"),
    )

    def __init__(self, start: RunStart, around: Surroundings, parent: _Run | None, root: str):
        self.start = start
        self.around = around
        self.parent = parent
        self.root = root
        self.has_steps = False
        self.agent = start.agent
        self.current = ""  # the agent of its last step
        if parent is not None:
            # A name that was only inherited says less than that of a graph inside the agent.
            self.agent = "" if parent.start.agent == start.agent else start.agent
            if start.is_step:
                parent.has_steps = True
                self.agent = self.agent or parent.current
                parent.current = self.agent
        self.own: Names | None = None  # of its metadata
        self.said: Names | None = None  # of all runs up to this one

    def is_begun_by(self, start: RunStart) -> bool:
        """Whether this is the beginning of this run, noted late, and not of another with its id.

        An app that keeps a config, as for a graph that it resumes, gives several runs one id.
        """
        if self.parent is not None or start.parent is not None:
            return True
        return self.start.given == start.given and self.around == _around(start)

    def outwards(self) -> Iterator[_Run]:
        """Yield this run and those around it."""
        run: _Run | None = self
        while run is not None:
            yield run
            run = run.parent

    def names(self, read: Callable[[Any], dict[str, str]]) -> Names:
        """Return the names that were given, from the outside in."""
        for run in reversed([each for each in self.outwards() if each.said is None]):
            run.combine(read(run.start.given))
        return self.said or {}

    def combine(self, own: dict[str, str]) -> None:
        """Add the names of this run's metadata to those of the runs around it."""
        # A run id in metadata counts for nothing: a client may have written it.
        own.pop("run", None)
        own.pop(SUBRUN, None)
        self.own, outer = own, self.parent
        if outer is None:
            self.said = {**block_names(self.around.block), **own}
            return
        new = block_names(self.around.block, outer.around.block)
        inherited = outer.own or {}
        new |= {name: value for name, value in own.items() if inherited.get(name) != value}
        self.said = {**(outer.said or {}), **new} if new else outer.said

    def agent_name(self) -> str:
        """Return the agent that made the call: the nearest that has a name."""
        last = ""
        for run in self.outwards():
            if run.agent:
                return run.agent
            if run.has_steps:
                if run.start.named:
                    return run.start.name
                if run.parent is not None and run.parent.start.is_step:
                    return run.parent.start.step
                last = run.start.name
        return last


class RunTree:
    """The open runs, and those that ended a short time ago; safe to share between threads.

    `read` returns the names in what was given to a run. If the run around a run was never seen, its
    id is taken for the root. With more than `most` open runs the least recently used one is
    forgotten, so that runs which never end take no more memory.
    """

    def __init__(
        self,
        read: Callable[[Any], dict[str, str]] = names_of,
        *,
        most: int = _MOST,
        remembered: int = _REMEMBERED,
    ) -> None:
        self._read = read
        self._most = most
        self._remembered = remembered
        self._open: OrderedDict[Hashable, _Run] = OrderedDict()
        self._ended: OrderedDict[Hashable, _Run] = OrderedDict()
        self._lock = ProcessLock()

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def begin(self, run: Hashable, start: RunStart) -> None:
        """Note a run; a second time changes nothing, unless its id is used for another run."""
        with self._lock:
            ended = self._ended.get(run)
            if run in self._open or (ended is not None and ended.is_begun_by(start)):
                return
        made = self._made(run, start)
        with self._lock:
            self._ended.pop(run, None)
            self._open[run] = made
            if len(self._open) > self._most:
                self._open.popitem(last=False)

    def end(self, run: Hashable) -> None:
        """Note that a run ended."""
        with self._lock:
            ended = self._open.pop(run, None)
            if ended is not None:
                self._ended[run] = ended
                if len(self._ended) > self._remembered:
                    self._ended.popitem(last=False)

    def find(self, run: Hashable) -> Attribution | None:
        """Return whose money a call is that was noted as `run`; None if it is not known."""
        with self._lock:
            found = self._find(run)
        return None if found is None else _attribution(found, found.names(self._read))

    def attribution_of(self, start: RunStart) -> Attribution:
        """Return whose money a call is that nobody notes as a run."""
        made = self._made(None, start)
        return _attribution(made, made.names(self._read))

    def _made(self, run: Hashable | None, start: RunStart) -> _Run:
        around = _around(start)
        seen = start.parent is None or start.parent == run
        with self._lock:
            outer = None if seen else self._find(start.parent)
        if outer is not None:
            root = outer.root
        else:
            own = start.root or ("" if run is None else str(run))
            root = block_names(around.block).get("run") or (own if seen else str(start.parent))
        return _Run(start, around, outer, root)

    def _find(self, run: Hashable) -> _Run | None:
        found = self._open.get(run)
        if found is not None:
            self._open.move_to_end(run)
            return found
        return self._ended.get(run)


def _around(start: RunStart) -> Surroundings:
    return Surroundings.read() if start.around is None else start.around


def _attribution(run: _Run, said: Names) -> Attribution:
    around, tags = list(run.outwards()), dict(said)
    framework = {
        "agent": run.agent_name(),
        "step": next((r.start.step for r in around if r.start.step), ""),
    }
    for name, value in framework.items():
        if value:
            tags.setdefault(name, value)
    tenant = next((each.around.tenant for each in around if each.around.tenant), "")
    if tenant:
        tags["tenant"] = tenant
    _set_run(tags, run.root)
    groups = (each.around.assignment for each in around if each.around.assignment is not None)
    return Attribution(tags=tags, assignment=next(groups, None))


def _set_run(tags: dict[str, str], root: str) -> None:
    """Set the root; a run that a block began inside it stands beside it."""
    if not root:
        return
    inner = tags.get("run", root)
    tags["run"] = root
    if inner != root:
        tags[SUBRUN] = "/".join([quote(inner, safe=""), *filter(None, [tags.get(SUBRUN)])])
    if SUBRUN in tags:
        _ROOTS.add(tags[SUBRUN], root)


def within_run(names: Names, run: str) -> dict[str, str]:
    """Return the names of a block that begins a run inside a block with these names."""
    if "run" not in names:
        return {"run": run}
    outer = names.get(SUBRUN)
    return {"run": names["run"], SUBRUN: "/".join([*filter(None, [outer]), quote(run, safe="")])}


class _Roots:
    """The roots of the last runs that were begun inside others."""

    def __init__(self) -> None:
        self._roots: OrderedDict[str, set[str]] = OrderedDict()
        self._lock = ProcessLock()

    def add(self, subruns: str, root: str) -> None:
        with self._lock:
            for run in subruns.split("/"):
                self._roots.setdefault(run, set()).add(root)
                if len(self._roots) > _REMEMBERED:
                    self._roots.popitem(last=False)

    def of(self, run: str) -> list[str]:
        with self._lock:
            return [*self._roots.get(quote(run, safe=""), ())]


_ROOTS = _Roots()


def roots_of(run: str) -> list[str]:
    """Return the roots of a run that this process began inside others, as far as remembered."""
    return _ROOTS.of(run)


def is_in_run(tags: Names, run: str) -> bool:
    """Whether a record with these tags belongs to a run, or to one inside it."""
    if tags.get("run") == run:
        return True
    return SUBRUN in tags and quote(run, safe="") in tags[SUBRUN].split("/")
