"""Sends a log's requests through an app, bare and with strategies, and gathers the figures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from llm_optimizers.cli.replaying.app import Endpoint, Strategies, Trial, TrialReply, open_trial
from llm_optimizers.cli.replaying.calibrated import routed
from llm_optimizers.cli.replaying.later import send_later
from llm_optimizers.cli.replaying.log import LoggedRequest
from llm_optimizers.costs import Ledger, Summary

__all__ = ["Pass", "Replay", "replay"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay found out.

    `right` of `judged` answers are those that the log holds for right. `bare` is the account of
    the pass without strategies, None if it was left out; `account` that of the pass with them.
    `wrong_hits` is None where the log does not say what is right. `overhead_ms` is the median a
    call took longer than the same call in the bare pass, over the calls that reached the model in
    both; None without a bare pass.
    """

    requests: int
    hits: Mapping[str, int]
    wrong_hits: int | None
    wrong: Sequence[str]
    judged: int
    right: int
    models: Mapping[str, int]
    escalated: int
    later: int
    errors: Mapping[str, int]
    first_error: str
    bare: Summary | None
    account: Summary
    overhead_ms: float | None
    unanswered: int
    interrupted: bool


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
    passes = [Pass(name="with strategies", ledger=ledger)]
    switched = [strategies]
    if bare_pass:
        passes.insert(0, Pass(name="without", ledger=Ledger(prices=ledger.prices)))
        switched.insert(0, Strategies())
    interrupted = False
    for run, wanted in zip(passes, switched, strict=True):
        trial = open_trial(framework, wanted, endpoint, run.ledger)
        try:
            _go(trial, requests, run, progress, wanted, endpoint)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            trial.close()
    bare = passes[0] if bare_pass else None
    return _figures(requests, passes[-1], bare, interrupted=interrupted)


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
    requests: Sequence[LoggedRequest], run: Pass, bare: Pass | None, *, interrupted: bool
) -> Replay:
    hits = Counter(reply.tier for reply in run.replies.values() if reply.tier is not None)
    classes = _classes(requests)
    judged = [r for r in requests if r.answer_class and r.id in run.replies]
    wrong = [r.id for r in judged if _wrong(r, run.replies[r.id], classes)]
    premium = requests[0].request.model
    answered = [r for r in requests if r.response is not None and r.id in run.replies]
    return Replay(
        requests=len(run.replies) + run.errors.total(),
        hits=dict(hits),
        wrong_hits=len(wrong) if judged else None,
        wrong=wrong,
        judged=len(answered),
        right=sum(1 for r in answered if run.replies[r.id].text == r.response),
        models=Counter(reply.model for reply in run.replies.values() if reply.model),
        escalated=sum(1 for reply in run.replies.values() if reply.escalated),
        later=sum(1 for reply in run.replies.values() if reply.later),
        errors=dict(run.errors),
        first_error=run.first_error,
        bare=None if bare is None else bare.ledger.summary(premium_model=premium),
        account=run.ledger.summary(premium_model=premium),
        overhead_ms=None if bare is None else _overhead_ms(run, bare),
        unanswered=sum(1 for r in requests if r.response is None),
        interrupted=interrupted,
    )


def _classes(requests: Sequence[LoggedRequest]) -> Mapping[str, set[str]]:
    """The classes that each answer text is right for."""
    classes: dict[str, set[str]] = {}
    for logged in requests:
        for text in (logged.response, logged.cheap_response):
            if text is not None:
                classes.setdefault(text, set()).add(logged.answer_class)
    return classes


def _wrong(logged: LoggedRequest, reply: TrialReply, classes: Mapping[str, set[str]]) -> bool:
    """Whether a hit served an answer that belongs to another class."""
    if reply.tier is None:
        return False
    known = classes.get(reply.text)
    if known is None:
        # The log has no answers: the server's placeholder names the class it stands for.
        return not reply.text.endswith(f" {logged.answer_class}]")
    return logged.answer_class not in known


def _overhead_ms(run: Pass, bare: Pass) -> float | None:
    extra = [
        seconds - bare.seconds[name]
        for name, seconds in run.seconds.items()
        if name in bare.seconds and run.replies[name].tier is None
    ]
    return 1000 * median(extra) if extra else None
