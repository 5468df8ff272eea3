"""Whose money a call was, through every wrapper, in threads, tasks and streams."""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llm_optimizers.caching import tenant
from llm_optimizers.costs import CallRecord, attributed
from llm_optimizers.holdout import HoldoutGroup
from llm_optimizers.routing import Always
from support.frameworks import FRAMEWORKS, Framework

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
GROUP = HoldoutGroup(0.3, salt="a")
USERS = [f"u{n}" for n in range(6)]
pytestmark = pytest.mark.parametrize("name", FRAMEWORKS)


def answered(text: str) -> str:
    """Answer a question, or all that share a prompt."""
    start = text.find("\n\n[{")
    if start < 0:
        return f"to {text}"
    answers = [{"id": q["id"], "answer": f"to {q['request']}"} for q in json.loads(text[start:])]
    return json.dumps({"answers": answers})


def plain(framework: Framework) -> Any:
    return framework.fake(CHEAP, reply=answered)


def cached(framework: Framework) -> Any:
    return framework.cached(plain(framework))


def routed(framework: Framework) -> Any:
    models = [plain(framework), framework.fake(STRONG, reply=answered)]
    return framework.routed(models, Always(CHEAP))


def shortened(framework: Framework) -> Any:
    return framework.shortened(plain(framework))


def shared(framework: Framework) -> Any:
    return framework.batched(plain(framework), max_size=3, max_delay=0.05)


def all_of_them(framework: Framework) -> Any:
    models = [shared(framework), framework.fake(STRONG, reply=answered)]
    return framework.cached(framework.shortened(framework.routed(models, Always(CHEAP))))


WRAPPERS = [plain, cached, routed, shortened, shared, all_of_them]


def text_of(user: str) -> str:
    return f"What does thing number {user} do?"


def threads(framework: Framework, model: Any) -> None:
    def one(user: str) -> None:
        with attributed(user=user, feature="f"), tenant(f"t-{user}"), GROUP.assign(user):
            framework.ask(model, text_of(user))

    running = [threading.Thread(target=one, args=(user,)) for user in USERS]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def tasks(framework: Framework, model: Any) -> None:
    async def one(user: str) -> None:
        with attributed(user=user, feature="f"), tenant(f"t-{user}"), GROUP.assign(user):
            await framework.aask(model, text_of(user))

    async def together() -> None:
        await asyncio.gather(*map(one, USERS))

    asyncio.run(together())


def streams(framework: Framework, model: Any) -> None:
    """Read by turns, each in the context of its own user."""
    reading = []
    for user in USERS:
        blocks: list[Any] = [
            attributed(user=user, feature="f"),
            tenant(f"t-{user}"),
            GROUP.assign(user),
        ]
        context = contextvars.copy_context()
        for block in blocks:
            context.run(block.__enter__)
        reading.append((blocks, context, context.run(framework.pieces, model, text_of(user))))
    while reading:
        reading = [each for each in reading if each[1].run(next, each[2], None) is not None]


@pytest.mark.parametrize("way", [threads, tasks, streams], ids=lambda way: way.__name__)
@pytest.mark.parametrize("wrapped", WRAPPERS, ids=lambda wrapped: wrapped.__name__)
def test_each_call_is_its_own_users(
    name: str, wrapped: Callable[[Framework], Any], way: Callable[[Framework, Any], None]
) -> None:
    framework: Framework = FRAMEWORKS[name]()
    model = wrapped(framework)
    with framework.counting():
        way(framework, model)
        if way is not streams:  # and again, now from the cache, if there is one
            way(framework, model)
        records = framework.records()
    users = [record.tags["user"] for record in records]
    assert sorted(set(users)) == USERS
    assert len(users) == len(USERS) * (1 if way is streams else 2)
    for record in records:
        user = record.tags["user"]
        assert (record.tags["feature"], record.tags["tenant"]) == ("f", f"t-{user}")
        group = GROUP.assignment(user)
        assert (record.held_out, record.bucket) == (group.held_out, group.bucket)
    runs = {record.tags["run"]: record.tags["user"] for record in records}
    assert len(runs) == len(records)


def test_a_block_says_more_than_the_one_around_it_and_the_call_more_than_both(name: str) -> None:
    framework: Framework = FRAMEWORKS[name]()
    model = plain(framework)
    with framework.counting(), attributed(user="a", session="s", feature="f"):
        framework.tagged(model, "Hi", {"user_id": "b", "threadId": "t"})
        with attributed(user="c"):
            framework.tagged(model, "Hi", {"plan": "gold"})
    called, inner = map(_own, framework.records())
    assert called == {"user": "b", "session": "t", "feature": "f"}
    assert inner == {"user": "c", "session": "s", "feature": "f", "plan": "gold"}


def test_the_tenant_whose_data_is_kept_apart_pays(name: str) -> None:
    framework: Framework = FRAMEWORKS[name]()
    model = plain(framework)
    with framework.counting(), tenant("a"):
        framework.tagged(model, "Hi", {"tenant_id": "b"})
        with tenant("sk-proj-0123456789abcdef0123456789"):
            framework.ask(model, "Hi")
    first, second = framework.records()
    assert first.tags["tenant"] == "a"
    assert re.fullmatch(r"\[removed\]", second.tags["tenant"])


def test_odd_tags_cost_no_record(name: str) -> None:
    framework: Framework = FRAMEWORKS[name]()
    model = plain(framework)
    odd: Any = {
        "user": {"id": 1},
        "session": ["a"],
        "tenant": None,
        "feature": object(),
        "agent": 10**5000,
        "note": "x" * 100_000,
        "password": "hunter2",
        "subrun": "a/b",
    }
    with framework.counting():
        framework.tagged(model, "Hi", odd)
    (record,) = framework.records()
    assert record.tags.keys() == {"run", "note"}
    assert len(record.tags["note"]) <= 200


def _own(record: CallRecord) -> dict[str, str]:
    return {name: value for name, value in record.tags.items() if name != "run"}
