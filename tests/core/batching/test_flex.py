"""The flex tier: half the price if there is capacity, else an ordinary call."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llm_optimizers.batching import with_flex


class BusyError(Exception):
    def __init__(self, status: int) -> None:
        self.status_code = status


class Server:
    """Refuses the first flex calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[dict[str, Any]] = []

    def create(self, **params: Any) -> str:
        self.calls.append(params)
        if self.errors and params.get("service_tier") == "flex":
            raise self.errors.pop(0)
        return "answer"

    async def acreate(self, **params: Any) -> str:
        return self.create(**params)

    @property
    def tiers(self) -> list[str | None]:
        return [call.get("service_tier") for call in self.calls]


async def ask(server: Server, sync: bool, **params: Any) -> str:
    rng = random.Random(0)
    if sync:
        return with_flex(server.create, base=0, rng=rng)(**params)
    return await with_flex(server.acreate, base=0, rng=rng)(**params)


@pytest.mark.parametrize("sync", [True, False])
async def test_flex_is_called_with_a_long_timeout(sync: bool) -> None:
    server = Server()
    assert await ask(server, sync, model="m") == "answer"
    assert server.calls == [{"model": "m", "service_tier": "flex", "timeout": 900.0}]


@pytest.mark.parametrize("sync", [True, False])
async def test_without_capacity_the_call_is_retried_and_then_made_without_flex(sync: bool) -> None:
    server = Server(BusyError(429), BusyError(429), BusyError(429))
    assert await ask(server, sync, model="m", timeout=5) == "answer"
    assert server.tiers == ["flex", "flex", "flex", None]
    assert server.calls[-1] == {"model": "m", "timeout": 5}


async def test_capacity_at_the_second_attempt_is_used() -> None:
    server = Server(BusyError(429))
    assert await ask(server, True) == "answer"
    assert server.tiers == ["flex", "flex"]


def used_up() -> Exception:
    error = BusyError(429)
    error.code = "insufficient_quota"  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("error", [BusyError(400), BusyError(500), ValueError(), used_up()])
async def test_other_errors_are_raised(error: Exception) -> None:
    server = Server(error)
    with pytest.raises(type(error)):
        await ask(server, True)
    assert server.tiers == ["flex"]
