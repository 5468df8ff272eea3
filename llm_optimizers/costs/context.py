"""What a strategy knows about a call and the ledger's record needs, passed along with the call.

CallContext   the call's role, the model that would have been called without the strategy, the
              tokens removed from the prompt; set with `call_scope(...)`, read with
              `context_of(...)`
Drafts        records of cheap answers, held until it is known whether they were served
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.pricing import charged_to
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.forks import ProcessLock

__all__ = [
    "CONTEXTS_BY_CALL",
    "NO_CALL_CONTEXT",
    "CallContext",
    "Drafts",
    "Role",
    "call_scope",
    "context_of",
    "context_with_call",
]

Role: TypeAlias = Literal["answer", "draft", "sample", "judge", "escalation", "summary"]
"""Why a model is called: `draft` is a cheap answer that may be discarded, `sample` another model's
answer to compare it with, `judge` a grade of it, `escalation` the strong model's answer instead of
it, and `summary` shortens earlier messages."""
MakeRecord: TypeAlias = Callable[[], CallRecord]


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class CallContext:
    """What a strategy knows about a call that it makes.

    `id` is the id that the call's record gets in the ledger, "" for any. `run` is the run of all
    calls made for one request, if it is not inside another run; "" for none. `baseline_model` and
    `baseline_provider` are what would have been called without routing. `removed` are the tokens
    taken out of its prompt. A `shared` call is not recorded itself: each of its callers records
    a share. If the answer may yet be discarded, `drafts` holds its record under `draft_id`.
    """

    id: str = ""
    run: str = ""
    role: Role = "answer"
    baseline_model: str | None = None
    baseline_provider: str | None = None
    removed: RemovedTokens = NOTHING_REMOVED
    shared: bool = False
    drafts: Drafts | None = None
    draft_id: str = ""

    def with_removed(self, removed: RemovedTokens) -> CallContext:
        """Return this context with these tokens also removed from the prompt."""
        return replace(self, removed=self.removed + removed)


CONTEXTS_BY_CALL: WeakValueDictionary[str, CallContext] = WeakValueDictionary()
"""Contexts by call id, for calls made in a thread that does not inherit the caller's context
variables. An entry lives as long as the strategy that added it keeps the context."""
NO_CALL_CONTEXT = CallContext()
_current: ContextVar[CallContext] = ContextVar("llm_optimizers_call", default=NO_CALL_CONTEXT)


@contextmanager
def call_scope(context: CallContext) -> Iterator[None]:
    """Give calls made inside the block this call context."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def context_with_call(context: Context, call: CallContext) -> Context:
    """Return a copy of a `contextvars.Context` in which calls have this call context.

    For streams, which are opened in one place and read in another.
    """
    copy = context.copy()
    copy.run(_current.set, call)
    return copy


def context_of(call_id: str | None = None, *, within: Context | None = None) -> CallContext:
    """Return a call's context: by its id, else that of the running code (or of `within`)."""
    named = CONTEXTS_BY_CALL.get(call_id) if call_id else None
    if named is not None:
        return named
    return _current.get() if within is None else within.get(_current, NO_CALL_CONTEXT)


class Drafts:
    """Records of answers that may be discarded; written to the ledger once that is decided.

    Safe to share between threads; a record added after the decision is written at once. If the
    call was made `within` another whose answer may be discarded too, the record of the kept
    answer moves to that call's drafts. Discarded answers are charged to `strategy`.
    Within a shared call the kept answer is not written: its callers record their shares.
    """

    def __init__(self, within: CallContext = NO_CALL_CONTEXT, *, strategy: str = "routing") -> None:
        self._within = within
        self._strategy = strategy
        self._held: list[tuple[str, MakeRecord, Ledger]] = []
        self._kept: str | None = None
        self._resolved = False
        self._lock = ProcessLock()

    def hold(self, draft_id: str, make: MakeRecord, ledger: Ledger) -> None:
        """Keep a record, which `make` returns, until `resolve` decides about its answer."""
        with self._lock:
            if not self._resolved:
                self._held.append((draft_id, make, ledger))
                return
        self._write(draft_id, make, ledger)

    def resolve(self, kept: str | None) -> None:
        """Write the records held; `kept` is the draft id of the served answer, None if none was."""
        with self._lock:
            self._resolved, self._kept = True, kept
            held, self._held = self._held, []
        for draft_id, make, ledger in held:
            self._write(draft_id, make, ledger)

    def _write(self, draft_id: str, make: MakeRecord, ledger: Ledger) -> None:
        if draft_id != self._kept:
            ledger.record_made(lambda: charged_to(make(), self._strategy))
        elif self._within.drafts is not None:
            self._within.drafts.hold(self._within.draft_id, make, ledger)
        elif not self._within.shared:
            ledger.record_made(make)
