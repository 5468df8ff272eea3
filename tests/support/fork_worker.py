"""Use components, fork while another thread holds every lock, and use them again on both sides.

    python fork_worker.py NAME,NAME,… FOLDER [REDIS_URL]

Ends with status 0 if parent and child both get their answers; nothing may be printed to stderr.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from llama_index.core.base.llms.types import ChatMessage

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
)
from llama_index_llm_optimizers import BatchedLLM, CachedLLM, RoutedLLM
from llama_index_llm_optimizers import HybridCache as HybridCacheOfLlamaIndex
from llm_optimizers.batching import Coalescer, JobQueue
from llm_optimizers.connections.forks import Unforked
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.failures import WarningLog
from llm_optimizers.forks import ProcessLock
from llm_optimizers.prompts import OutputLimits, TokenCounter
from llm_optimizers.routing import Health
from support.llama_fakes import FakeLLM

Use = Callable[[str], None]


def model() -> FakeListChatModel:
    return FakeListChatModel(responses=["yes"])


def invoking(chat: Any) -> Use:
    def use(text: str) -> None:
        assert chat.invoke(text).content == "yes"
        assert asyncio.run(chat.ainvoke(text + "!")).content == "yes"

    return use


def chatting(llm: Any) -> Use:
    def use(text: str) -> None:
        assert text in str(llm.chat([ChatMessage(text)]))
        assert text in str(asyncio.run(llm.achat([ChatMessage(text + "!")])))

    return use


def batching(folder: str) -> Use:
    return invoking(BatchingChatModel(model=model()))


def combining(folder: str) -> Use:
    return invoking(BatchingChatModel(model=model(), combine=True))


def batched_llm(folder: str) -> Use:
    return chatting(BatchedLLM(FakeLLM(), combine=True))


def cached(folder: str) -> Use:
    return invoking(CachedChatModel(model=model(), cache=HybridCache(semantic=False)))


def cached_in_a_file(folder: str) -> Use:
    return invoking(CachedChatModel(model=model(), cache=HybridCache(path=f"{folder}/c.sqlite")))


def cached_llm(folder: str) -> Use:
    return chatting(CachedLLM(llm=FakeLLM(), cache=HybridCacheOfLlamaIndex()))


def routed(folder: str) -> Use:
    ledger = Ledger(f"{folder}/l.sqlite")
    models = {"small": model(), "large": model()}
    return invoking(ChatModelRouter(models=models, deadline_s=30.0, ledger=ledger))


def routed_llm(folder: str) -> Use:
    return chatting(RoutedLLM({"small": FakeLLM(), "large": FakeLLM()}))


def coalescer(folder: str) -> Use:
    shared: Coalescer[str, str] = Coalescer(lambda items: [item.upper() for item in items])

    def use(text: str) -> None:
        assert shared.call(text) == text.upper()
        assert asyncio.run(shared.acall(text)) == text.upper()

    return use


def queued(queue: JobQueue) -> Use:
    def use(text: str) -> None:
        assert queue.submit(text).result(timeout=30) == text.upper()

    return use


def queue(folder: str) -> Use:
    return queued(JobQueue(str.upper))


def queue_in_a_file(folder: str) -> Use:
    return queued(JobQueue(str.upper, path=f"{folder}/q.sqlite"))


def queue_on_redis(folder: str) -> Use:
    return queued(JobQueue(str.upper, url=sys.argv[3]))


def redis(folder: str) -> Use:
    from llm_optimizers.connections.redis import RedisServer

    server = RedisServer(sys.argv[3])

    def use(text: str) -> None:
        server.call(lambda client: client.set(text, text))
        found = asyncio.run(server.acall(lambda client: client.get(text)))
        assert found == text.encode()

    return use


def tokens(folder: str) -> Use:
    counter = TokenCounter()

    def use(text: str) -> None:
        assert counter.count(text, "gpt-4o").tokens > 0

    return use


def embedder(folder: str) -> Use:
    static = StaticEmbedder()

    def use(text: str) -> None:
        assert static.id
        assert static.embed([text]).shape == (1, static.dimension)

    return use


def ledger(folder: str) -> Use:
    free = ModelPrice(input=Decimal(0), output=Decimal(0))
    book = Ledger(f"{folder}/l.sqlite", prices=PriceBook({"unknown": free}))

    def use(text: str) -> None:
        chat = FakeListChatModel(responses=["yes"], callbacks=[CostCallbackHandler(book)])
        before = len(list(book.records()))
        assert chat.invoke(text).content == "yes"
        assert len(list(book.records())) > before

    return use


def small_parts(folder: str) -> Use:
    warned, health, limits = WarningLog(), Health(), OutputLimits()

    def use(text: str) -> None:
        warned.warn_once("quiet", text)
        health.failed("m", now=0.0)
        assert health.cooling(now=1.0)
        assert limits.cap("task") is None

    return use


@contextmanager
def all_locks_held() -> Iterator[None]:
    """Let another thread hold every lock of the package, as far as a fork does not wait for it."""
    locks = [
        each
        for each in gc.get_objects()
        if isinstance(each, ProcessLock) and not isinstance(each, Unforked)
    ]
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        for each in locks:
            each.acquire()
        held.set()
        release.wait()
        for each in locks:
            each.release()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        release.set()
        thread.join()


def forked(uses: Sequence[Use]) -> int:
    """Fork while all locks are held; return how the child ended."""
    with all_locks_held():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for use in uses:
                    use("in the child")
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
    for use in uses:
        use("in the parent")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    faulthandler.dump_traceback_later(100, exit=True)
    logging.getLogger("quiet").addHandler(logging.NullHandler())
    logging.getLogger("quiet").propagate = False
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    used = [globals()[name](sys.argv[2]) for name in sys.argv[1].split(",")]
    for each in used:
        each("before the fork")
    sys.exit(forked(used))
