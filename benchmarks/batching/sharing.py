"""Callers that share calls: how many calls are made, and the time that sharing adds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from harness import Row, interleaved
from llm_optimizers.batching import Coalescer, CombinedAsk, GroupLimits
from llm_optimizers.batching.combining import BilledAnswer, Question, SharedAnswer, combination_key
from llm_optimizers.types import ChatRequest, Message

REQUESTS = 1_000


class Model:
    """A model that answers at once and omits every fiftieth question of a combined prompt."""

    def __init__(self) -> None:
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        with self.lock:
            self.calls += 1
        text = request.messages[-1].text
        if "response_format" not in request.params:
            return BilledAnswer(text=f"answer to {text}")
        answers = [
            {"id": question["id"], "answer": f"answer to {question['request']}"}
            for question in json.loads(text.split("\n\n")[1])
            if int(question["request"]) % 50
        ]
        return BilledAnswer(text=json.dumps({"answers": answers}))


def combined_calls() -> list[Row]:
    """Return the calls made for 1,000 callers of four event loops that arrive together."""
    model = Model()
    coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
        CombinedAsk(model), limits=GroupLimits(max_size=6)
    )

    async def ask(numbers: Sequence[int]) -> list[str]:
        questions = [
            Question(request=ChatRequest(messages=(Message(role="user", content=str(n)),)))
            for n in numbers
        ]
        key = combination_key(questions[0].request)
        answers = await asyncio.gather(*(coalescer.acall(q, key=key) for q in questions))
        return [answer.text for answer in answers]

    quarters = [range(n, REQUESTS, 4) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda quarter: asyncio.run(ask(quarter)), quarters))
    coalescer.close()
    wrong = sum(
        text != f"answer to {n}"
        for quarter, texts in zip(quarters, answers, strict=True)
        for n, text in zip(quarter, texts, strict=True)
    )
    if wrong:
        raise SystemExit(f"{wrong} callers got the answer of another")
    retries = REQUESTS // 50
    bound = REQUESTS / 6 + retries
    row = Row(
        name="combined_calls_per_1000",
        value=model.calls,
        target=f"<= {bound:.0f}",
        note=f"{retries} of them retries of omitted answers",
    )
    return [row]


def coalescer_overhead() -> list[Row]:
    """Return the milliseconds a call takes in a burst, against a pool with a call for each item."""
    coalescer: Coalescer[int, int] = Coalescer(lambda items: list(items))

    async def burst() -> int:
        await asyncio.gather(*(coalescer.acall(n) for n in range(REQUESTS)))
        return REQUESTS

    async def pool_burst() -> int:
        loop = asyncio.get_running_loop()
        calls = (loop.run_in_executor(pool, int, n) for n in range(REQUESTS))
        await asyncio.gather(*calls)
        return REQUESTS

    with ThreadPoolExecutor(8) as pool:
        ours, pool_only = interleaved(
            9, lambda: asyncio.run(burst()), lambda: asyncio.run(pool_burst())
        )
    coalescer.close()
    row = Row(
        name="coalescer_ms_per_call",
        value=ours * 1_000,
        target="< 1",
        note=f"a thread pool with a call for each item takes {pool_only * 1_000:.3f} ms",
    )
    return [row]
