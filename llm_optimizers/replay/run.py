"""Sends a log's requests through an app, bare and with strategies, and gathers the figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

from llm_optimizers.costs import Ledger, Summary
from llm_optimizers.replay.app import Endpoint, Strategies, Trial, TrialReply, open_trial
from llm_optimizers.replay.calibrated import routed
from llm_optimizers.replay.judging import judged
from llm_optimizers.replay.later import send_later
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.router import DECISION_NOTE

__all__ = ["Pass", "Replay", "replay"]

_HOPELESS = 5
"""Failures from the very first request on, after which a provider is not asked again."""

Progress = Callable[[str, int], None]
"""Called with the pass's name and the requests done so far in it."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """One way through the log, bare or with strategies."""

    name: str
    ledger: Ledger
    seconds: dict[str, float] = field(default_factory=dict)
    replies: dict[str, TrialReply] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    first_error: str = ""
    # The ledger may be a file that holds earlier calls.
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    interrupted: bool = False
    gave_up: bool = False

    @property
    def ended_early(self) -> bool:
        """Whether requests were left over."""
        return self.interrupted or self.gave_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay found out.

    `right` of `judged` answers are those that the log holds for right; `wrong` names the wrong
    hits, None where the log does not say what is right. `account` is that of the last pass that
    was begun, `pass_name`; `bare` that of the pass without strategies, None unless both passes
    went to the end. `overhead_ms` is the median a call took longer than the same call in the bare
    pass, over the calls that reached the model in both; None without a bare pass. `gave_up` means
    that the provider failed every one of the first requests, so that the others were not sent.
    """

    requests: int
    hits: Mapping[str, int]
    wrong: Sequence[str] | None
    judged: int
    right: int
    models: Mapping[str, int]
    escalated: int
    router: RouterArtefact | None
    later: int
    errors: Mapping[str, int]
    first_error: str
    bare: Summary | None
    account: Summary
    overhead_ms: float | None
    unanswered: int
    pass_name: str
    interrupted: bool
    gave_up: bool

    @property
    def wrong_hits(self) -> int | None:
        """How many hits were wrong, None if that is not known."""
        return None if self.wrong is None else len(self.wrong)


def replay(
    requests: Sequence[LoggedRequest],
    framework: str,
    strategies: Strategies,
    endpoint: Endpoint,
    *,
    ledger: Ledger,
    bare_pass: bool,
    progress: Progress,
) -> Replay:
    """Replay the log; Ctrl-C ends it early with the figures so far.

    Raises:
        ConfigurationError: the app cannot be built.
    """
    with Ledger(prices=ledger.prices) as bare_ledger:
        run = bare = Pass(name="without", ledger=bare_ledger)
        if bare_pass:
            _pass(run, requests, framework, Strategies(), endpoint, progress)
        if not run.ended_early:
            run = Pass(name="with strategies", ledger=ledger)
            _pass(run, requests, framework, strategies, endpoint, progress)
        whole = bare_pass and not run.ended_early
        before = bare if bare_pass else None
        return _figures(requests, run, before, endpoint, strategies.router, compared=whole)


def _pass(
    run: Pass,
    requests: Sequence[LoggedRequest],
    framework: str,
    strategies: Strategies,
    endpoint: Endpoint,
    progress: Progress,
) -> None:
    """Go through the log once, until its end, Ctrl-C, or a provider that answers nothing."""
    try:
        with closing(open_trial(framework, strategies, endpoint, run.ledger)) as trial:
            _go(trial, requests, run, progress, strategies, endpoint)
    except KeyboardInterrupt:
        run.interrupted = True


def _go(
    trial: Trial,
    requests: Sequence[LoggedRequest],
    run: Pass,
    progress: Progress,
    strategies: Strategies,
    endpoint: Endpoint,
) -> None:
    waiting = [each for each in requests if strategies.later and each.background]
    if waiting:
        _later(waiting, run, strategies, endpoint)
    now = [each for each in requests if not (strategies.later and each.background)]
    for done, logged in enumerate(now, len(waiting) + 1):
        begun = time.perf_counter()
        try:
            run.replies[logged.id] = trial.ask(logged)
        except Exception as error:  # noqa: BLE001 - one failed request must not end the replay
            run.errors[type(error).__name__] += 1
            run.first_error = run.first_error or str(error)
        else:
            run.seconds[logged.id] = time.perf_counter() - begun
        progress(run.name, done)
        if run.errors.total() >= _HOPELESS and not run.replies:
            run.gave_up = True
            return


def _later(
    waiting: Sequence[LoggedRequest], run: Pass, strategies: Strategies, endpoint: Endpoint
) -> None:
    router = None if strategies.router is None else routed(strategies.router)
    try:
        replies = send_later(waiting, endpoint, run.ledger, router)
    except Exception as error:  # noqa: BLE001 - a failed batch must not end the replay
        run.errors[type(error).__name__] += len(waiting)
        run.first_error = run.first_error or str(error)
    else:
        run.replies.update(replies)
        if len(replies) < len(waiting):
            run.errors["NotAnswered"] += len(waiting) - len(replies)


def _figures(
    requests: Sequence[LoggedRequest],
    run: Pass,
    bare: Pass | None,
    endpoint: Endpoint,
    router: RouterArtefact | None,
    *,
    compared: bool,
) -> Replay:
    """The figures of the last pass; the bare one stands beside it where both went to the end."""
    replies = run.replies
    verdict = judged(requests, replies, recorded=endpoint.recorded)
    premium = requests[0].request.model
    return Replay(
        requests=len(replies) + run.errors.total(),
        hits=Counter(reply.tier for reply in replies.values() if reply.tier is not None),
        wrong=verdict.wrong,
        judged=verdict.judged,
        right=verdict.right,
        models=Counter(reply.model for reply in replies.values() if reply.model),
        escalated=_escalated(run.ledger),
        router=router,
        later=sum(1 for reply in replies.values() if reply.later),
        errors=dict(run.errors),
        first_error=run.first_error,
        bare=bare.ledger.summary(premium_model=premium) if bare and compared else None,
        account=run.ledger.summary(premium_model=premium, since=run.begun),
        overhead_ms=None if bare is None or bare is run else _overhead_ms(run, bare),
        unanswered=sum(1 for r in requests if endpoint.recorded and r.response is None),
        pass_name=run.name,
        interrupted=run.interrupted,
        gave_up=run.gave_up,
    )


def _escalated(ledger: Ledger) -> int:
    """Decisions whose answer came from another model than was chosen first."""
    return sum(
        1
        for note in ledger.notes(DECISION_NOTE)
        if note.payload.get("served_by") not in (None, note.payload.get("model"))
    )


def _overhead_ms(run: Pass, bare: Pass) -> float | None:
    # The first call of a pass opens connections and loads what is loaded once.
    first = next(iter(bare.seconds), None)
    extra = [
        seconds - bare.seconds[name]
        for name, seconds in run.seconds.items()
        if name in bare.seconds and name != first and run.replies[name].tier is None
    ]
    return 1000 * median(extra) if extra else None
