"""Send a log's requests through an app: without and with strategies, one by one and in a batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openai import OpenAI

from llm_optimizers.batching import BatchResult, ProviderBatch
from llm_optimizers.costs import Ledger, price_call
from llm_optimizers.replay.app import (
    AppReply,
    Endpoint,
    ReplayApp,
    Strategies,
    http_client,
    open_app,
)
from llm_optimizers.replay.figures import Pass, Replay, collect_figures
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.replay.provider import REPLAY_ID
from llm_optimizers.routing import Router, RoutingContext
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.policies.learned import LearnedPolicy

__all__ = ["replay", "send_batch"]

_GIVE_UP_AFTER = 5
"""If this number of requests at the start all fail, the rest are not sent."""

Progress = Callable[[str, int], None]
"""Called with the name of the pass and the number of requests done in it."""


def replay(
    requests: Sequence[LoggedRequest],
    framework: str,
    strategies: Strategies,
    endpoint: Endpoint,
    *,
    ledger: Ledger,
    baseline_pass: bool,
    progress: Progress,
) -> Replay:
    """Replay the log; Ctrl-C ends it early and returns the figures so far.

    Raises:
        ConfigurationError: the app cannot be built.
    """
    with Ledger(prices=ledger.prices) as baseline_ledger:
        run = first = Pass(name="without", ledger=baseline_ledger)
        if baseline_pass:
            _pass(run, requests, framework, Strategies(), endpoint, progress)
        if not run.ended_early:
            run = Pass(name="with strategies", ledger=ledger)
            _pass(run, requests, framework, strategies, endpoint, progress)
        before = first if baseline_pass else None
        return collect_figures(
            requests, run, before, recorded=endpoint.recorded, router=strategies.router
        )


def _pass(
    run: Pass,
    requests: Sequence[LoggedRequest],
    framework: str,
    strategies: Strategies,
    endpoint: Endpoint,
    progress: Progress,
) -> None:
    """Go through the log once, until its end, Ctrl-C, or a provider that answers no request."""
    in_batch = [each for each in requests if strategies.later and each.background]
    at_once = [each for each in requests if not (strategies.later and each.background)]
    try:
        with closing(open_app(framework, strategies, endpoint, run.ledger)) as app:
            if in_batch:
                _batch_pass(run, in_batch, strategies, endpoint)
            _request_pass(run, at_once, app, lambda done: progress(run.name, len(in_batch) + done))
    except KeyboardInterrupt:
        run.interrupted = True


def _request_pass(
    run: Pass, requests: Sequence[LoggedRequest], app: ReplayApp, progress: Callable[[int], None]
) -> None:
    for done, logged in enumerate(requests, 1):
        started = time.perf_counter()
        try:
            run.replies[logged.id] = app.ask(logged)
        except Exception as error:  # noqa: BLE001 - one failed request must not end the replay
            run.errors[type(error).__name__] += 1
            run.first_error = run.first_error or str(error)
        else:
            run.seconds[logged.id] = time.perf_counter() - started
        progress(done)
        if run.errors.total() >= _GIVE_UP_AFTER and not run.replies:
            run.gave_up = True
            return


def _batch_pass(
    run: Pass, requests: Sequence[LoggedRequest], strategies: Strategies, endpoint: Endpoint
) -> None:
    try:
        replies = send_batch(requests, endpoint, run.ledger, strategies.router)
    except Exception as error:  # noqa: BLE001 - a failed batch must not end the replay
        run.errors[type(error).__name__] += len(requests)
        run.first_error = run.first_error or str(error)
    else:
        run.replies.update(replies)
        if len(replies) < len(requests):
            run.errors["NotAnswered"] += len(requests) - len(replies)


def send_batch(
    requests: Sequence[LoggedRequest],
    endpoint: Endpoint,
    ledger: Ledger,
    artefact: RouterArtefact | None,
) -> Mapping[str, AppReply]:
    """Submit the requests as one provider batch, wait for it, and record each answer.

    With a router, each request goes to the model that it chooses. Requests that the provider did
    not answer are missing from the result.
    """
    models = _models(requests, endpoint, artefact)
    lines = [
        {"custom_id": each.id, "body": _body(each, models[each.id], endpoint)} for each in requests
    ]
    started = time.perf_counter()
    answered = [each for each in _collected(lines, endpoint) if each.text is not None]
    by_id = {each.id: each for each in requests}
    for result in answered:
        logged = by_id[result.id]
        ledger.record(
            price_call(
                ledger.prices,
                id=f"batch-{result.id}-{started}",
                time=datetime.now(UTC),
                model=models[result.id],
                provider="openai",
                usage=result.usage,
                tier="batch",
                baseline_model=endpoint.model or logged.request.model,
                baseline_provider="openai",
                tags={"tenant": logged.tenant, "feature": logged.feature},
            )
        )
    return {
        result.id: AppReply(text=result.text or "", model=models[result.id], later=True)
        for result in answered
    }


def _collected(lines: Sequence[Mapping[str, Any]], endpoint: Endpoint) -> Sequence[BatchResult]:
    """Submit lines as a batch and wait for the results."""
    http = http_client(endpoint)
    with (
        OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, http_client=http) as client,
        tempfile.TemporaryDirectory() as folder,
        closing(ProviderBatch(client, path=Path(folder) / "batch.db", poll_s=0.05)) as batch,
    ):
        return batch.collect(batch.submit(lines))


def _models(
    requests: Sequence[LoggedRequest], endpoint: Endpoint, artefact: RouterArtefact | None
) -> Mapping[str, str]:
    """Return the model for each request of a batch, by request id."""
    if artefact is None:
        return {each.id: endpoint.model or each.request.model for each in requests}
    router = Router([*artefact.means, artefact.strong], policy=LearnedPolicy(artefact))
    return {
        each.id: router.decide(each.request, RoutingContext(task=each.feature)).model
        for each in requests
    }


def _body(logged: LoggedRequest, model: str, endpoint: Endpoint) -> dict[str, Any]:
    """Return the request's body; for a recorded provider it carries the request's id."""
    body = {**logged.request.to_openai(), "model": model}
    if endpoint.recorded:
        body["metadata"] = {**(body.get("metadata") or {}), REPLAY_ID: logged.id}
    return body
