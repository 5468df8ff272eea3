"""Make calls that are still in flight when the process ends: a thread's, a loop's, a stream's."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.costs import Ledger
from support.fakes import StreamingFake
from support.llama_fakes import FakeLLM
from support.waiting import aeventually, eventually

KEPT: list[Any] = []


def leave_calls(framework: str, ledger: Ledger) -> None:
    """Begin three calls and leave them."""
    if framework == "langchain":
        costs = lc.CostCallbackHandler(ledger)
        model: Any = StreamingFake(delay=60, callbacks=[costs])
        streaming: Any = StreamingFake(callbacks=[costs])
        ask, aask, stream = model.invoke, model.ainvoke, streaming.stream
        question: Any = "Who is there?"
    else:
        li.CostEventHandler(ledger).attach()
        model, streaming = FakeLLM(delay=60), FakeLLM()
        ask, aask, stream = model.chat, model.achat, streaming.stream_chat
        question = [ChatMessage("Who is there?")]
    threading.Thread(target=ask, args=(question,), daemon=True).start()
    eventually(lambda: model.calls)

    async def waits() -> None:
        KEPT.append(asyncio.create_task(aask(question)))
        await aeventually(lambda: len(model.calls) > 1)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(waits())
    chunks = stream(question)
    KEPT.extend((loop, chunks, next(iter(chunks))))


if __name__ == "__main__":
    ledger = Ledger(sys.argv[2])
    leave_calls(sys.argv[1], ledger)
    if sys.argv[3] == "close":
        ledger.close()
