"""Requests that nobody waits for, sent as a provider batch at half price."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
from openai import OpenAI

from llm_optimizers.batching import ProviderBatch
from llm_optimizers.costs import Ledger, price_call
from llm_optimizers.replay.app import Endpoint, TrialReply
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing import Router, RoutingContext

__all__ = ["send_later"]


def send_later(
    requests: Sequence[LoggedRequest], endpoint: Endpoint, ledger: Ledger, router: Router | None
) -> Mapping[str, TrialReply]:
    """Submit the requests as one batch, wait for it, and enter each answer in the account.

    With a router each request goes to the model it decides for. Requests that the provider did
    not answer are missing from the result.
    """
    models = {each.id: _model(each, endpoint, router) for each in requests}
    lines = [
        {
            "custom_id": each.id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {**each.request.to_openai(), "model": models[each.id]},
        }
        for each in requests
    ]
    client = OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        # A proxy that the environment names cannot reach the recorded provider on this machine.
        http_client=httpx.Client(trust_env=not endpoint.recorded),
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        batch = ProviderBatch(client, path=Path(folder) / "batches.sqlite", poll_s=0.05)
        try:
            results = batch.collect(batch.submit(lines))
        finally:
            batch.close()
            client.close()
    by_id = {each.id: each for each in requests}
    answered = [result for result in results if result.text is not None]
    for result in answered:
        logged = by_id[result.id]
        ledger.record(
            price_call(
                ledger.prices,
                id=f"batch-{result.id}-{begun}",
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
        result.id: TrialReply(text=result.text or "", model=models[result.id], later=True)
        for result in answered
    }


def _model(logged: LoggedRequest, endpoint: Endpoint, router: Router | None) -> str:
    if router is None:
        return endpoint.model or logged.request.model
    return router.decide(logged.request, RoutingContext(task=logged.feature)).model
