"""What a strategy that makes a call knows of it, and the account needs, while the call is made.

CallContext   the call's role, the model that would have been called without the strategy,
              what was taken out of the prompt; set with `call_scope(...)`, read with
              `context_of(...)`
Drafts        records of cheap answers, held until it is known whether they were served
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.pricing import NOTHING_REMOVED, RemovedTokens, charged_to
from llm_optimizers.costs.records import CallRecord

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
"""Why a model is called: `draft` is a cheap answer that may yet be thrown away, `sample` a second
opinion on it, `judge` a grade of it, `escalation` the strong model's answer in its place, and
`summary` stands for earlier messages."""


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class CallContext:
    """What a strategy knows of a call that it makes.

    `id` is the name the call is to have in the ledger, "" for none. `baseline_model` and
    `baseline_provider` say what would have been called without routing. The bill of a `shared`
    call is divided among the callers who shared it, and recorded there. `drafts` holds the
    record of a call of which it is not known yet whether its answer is served, under the name
    `draft_id`.
    """

    id: str = ""
    role: Role = "answer"
    baseline_model: str | None = None
    baseline_provider: str | None = None
    removed: RemovedTokens = NOTHING_REMOVED
    shared: bool = False
    drafts: Drafts | None = None
    draft_id: str = ""

    def with_removed(self, removed: RemovedTokens) -> CallContext:
        """The same call with these tokens, too, taken out of its prompt."""
        return replace(self, removed=self.removed + removed)


CONTEXTS_BY_CALL: WeakValueDictionary[str, CallContext] = WeakValueDictionary()
"""Contexts by the id of their call, for calls made on a thread that does not inherit the
caller's context variables. An entry lives as long as the strategy that made it holds it."""
NO_CALL_CONTEXT = CallContext()
_current: ContextVar[CallContext] = ContextVar("llm_optimizers_call", default=NO_CALL_CONTEXT)


@contextmanager
def call_scope(context: CallContext) -> Iterator[None]:
    """Calls made inside the block are made for this reason."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def context_with_call(context: Context, call: CallContext) -> Context:
    """A copy of a `contextvars.Context` in which calls are made for this reason.

    For streams, which are opened in one place and read in another.
    """
    copy = context.copy()
    copy.run(_current.set, call)
    return copy


def context_of(call_id: str | None = None, *, within: Context | None = None) -> CallContext:
    """What is known of a call: by its id, else of the code that runs now (or ran `within`)."""
    named = CONTEXTS_BY_CALL.get(call_id) if call_id else None
    if named is not None:
        return named
    return _current.get() if within is None else within.get(_current, NO_CALL_CONTEXT)


class Drafts:
    """Records of answers that may yet be thrown away, written once that is known.

    Safe to share between threads; a record that comes after the decision is written at once.
    What is kept of a call made `within` another whose own answer may be thrown away is held on
    there. What is thrown away is charged to `strategy`.
    """

    def __init__(self, within: CallContext = NO_CALL_CONTEXT, *, strategy: str = "routing") -> None:
        self._within = within
        self._strategy = strategy
        self._held: list[tuple[str, CallRecord, Ledger]] = []
        self._kept: str | None = None
        self._settled = False
        self._lock = threading.Lock()

    def hold(self, draft_id: str, record: CallRecord, ledger: Ledger) -> None:
        """Keep a record until `resolve` says what became of its answer."""
        with self._lock:
            if not self._settled:
                self._held.append((draft_id, record, ledger))
                return
        self._write(draft_id, record, ledger)

    def resolve(self, kept: str | None) -> None:
        """Write what is held; `kept` is the name of the answer that was served, None for none."""
        with self._lock:
            self._settled, self._kept = True, kept
            held, self._held = self._held, []
        for draft_id, record, ledger in held:
            self._write(draft_id, record, ledger)

    def _write(self, draft_id: str, record: CallRecord, ledger: Ledger) -> None:
        if draft_id != self._kept:
            ledger.record(charged_to(record, self._strategy))
        elif self._within.drafts is not None:
            self._within.drafts.hold(self._within.draft_id, record, ledger)
        else:
            ledger.record(record)
