"""Many threads, event loops and tenants on one cache, through real models over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from llm_optimizers.caching import tenant
from support.openai_server import last_text, openai_server

pytestmark = [pytest.mark.loopback, pytest.mark.slow]
TENANTS = ("ann", "bob")
QUESTIONS = [f"What is the price of article {number}?" for number in range(4)]


def reply(body: dict[str, Any]) -> str:
    return f"{body['owner']}: {last_text(body)}"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_every_caller_gets_the_right_answer(kind: str, tmp_path: Path) -> None:
    costs = CostCallbackHandler()
    cache = HybridCache(path=None if kind == "memory" else tmp_path / "cache.sqlite")
    start = threading.Barrier(68)

    clients = {owner: httpx.Client(headers={"X-Owner": owner}) for owner in TENANTS}
    with openai_server(reply=reply, delay=0.01) as server:
        # Only a connection header names the owner.
        def model(http: Any) -> CachedChatModel:
            return CachedChatModel(
                model=ChatOpenAI(
                    model="gpt-4o-mini",
                    base_url=server.url,
                    api_key="sk-x",  # type: ignore[arg-type]
                    stream_usage=True,
                    **http,
                ),
                cache=cache,
            )

        def thread(number: int) -> list[bool]:
            owner = TENANTS[number % 2]
            asked = model({"http_client": clients[owner]})
            start.wait(60)
            right = []
            with tenant(owner):
                for step in range(4):
                    text = QUESTIONS[(number + step) % 4]
                    if number % 4 < 2:
                        got = asked.invoke(text, {"callbacks": [costs]}).text
                    else:
                        chunks = asked.stream(text, {"callbacks": [costs]})
                        got = "".join(chunk.text for chunk in chunks)
                    right.append(got == f"{owner}: {text}")
            return right

        async def loop() -> list[bool]:
            async with AsyncExitStack() as stack:
                https = {
                    owner: await stack.enter_async_context(
                        httpx.AsyncClient(headers={"X-Owner": owner})
                    )
                    for owner in TENANTS
                }
                start.wait(60)

                async def task(number: int) -> list[bool]:
                    owner = TENANTS[number % 2]
                    asked = model(
                        {"http_async_client": https[owner], "http_client": clients[owner]}
                    )
                    with tenant(owner):
                        answers = await asked.abatch(QUESTIONS, {"callbacks": [costs]})
                        pieces = [c.text async for c in asked.astream(QUESTIONS[0])]
                    got = [answer.text for answer in answers] + ["".join(pieces)]
                    texts = [*QUESTIONS, QUESTIONS[0]]
                    return [g == f"{owner}: {t}" for g, t in zip(got, texts, strict=True)]

                return [ok for oks in await asyncio.gather(*map(task, range(4))) for ok in oks]

        with ThreadPoolExecutor(68) as pool:
            work = [pool.submit(thread, number) for number in range(64)]
            work += [pool.submit(asyncio.run, loop()) for _ in range(4)]
            right = [ok for done in work for ok in done.result(120)]
        asked = Counter((body["owner"], last_text(body)) for body in server.requests)
    for client in clients.values():
        client.close()
    assert cache.stats.troubles == {}
    assert len(right) == 64 * 4 + 4 * 4 * 5
    assert all(right)
    assert set(asked.values()) == {1}
    assert len(asked) == len(cache) == 8
    summary = costs.summary()
    assert summary.requests == 64 * 4 + 4 * 4 * 4
    assert summary.requests - summary.hits <= 8
    assert summary.unpriced == 0
    cache.close()
