"""Of an entry that is gone, no text stays in memory: in both frameworks, in memory and in files."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from llama_index.core.base.llms.types import ChatMessage

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from support.llama_fakes import FakeLLM

pytestmark = pytest.mark.slow  # walks all that is in memory
LONG = 5_000
Ask = Callable[[str], object]


class NamedModel(GenericFakeChatModel):
    """States a setting, so that LangChain's own cache may keep its answers."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "named", "_type": "named"}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return str([("model", "named"), ("stop", stop)])


def found(marker: str) -> int:
    """Return how many texts in memory hold the marker."""
    gc.collect()
    seen: set[int] = set()
    waiting: list[Any] = gc.get_objects()
    count = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if issubclass(type(each), str):  # not what only says that it is one
            count += len(each) >= LONG and marker in each
        elif not isinstance(each, type):
            waiting.extend(gc.get_referents(each))
    return count


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else str(tmp_path / "cache.sqlite")


@pytest.fixture(params=["langchain", "langchain's own", "llama_index"])
def cached(request: pytest.FixtureRequest, path: str | None) -> Iterator[tuple[Any, Ask]]:
    settings: dict[str, Any] = {"path": path, "max_entries": 2, "ttl": 600}
    cache: Any
    if request.param == "llama_index":
        cache = li.HybridCache(**settings)
        llm = li.CachedLLM(llm=FakeLLM(reply=lambda text: text + "y" * LONG), cache=cache)

        def chat(text: str) -> object:
            answer = str(llm.chat([ChatMessage(text)]))
            llm.calls.clear()  # the fake remembers them
            llm.asked.clear()
            return answer

        yield cache, chat
    else:
        cache = lc.HybridCache(**settings)

        def answering(text: str) -> GenericFakeChatModel:
            answers = iter(AIMessage(text + "y" * LONG) for _ in range(9))
            return NamedModel(messages=answers)

        def ask(text: str) -> object:
            model = answering(text)
            if request.param == "langchain":
                return lc.CachedChatModel(model=model, cache=cache).invoke(text)
            return model.model_copy(update={"cache": cache}).invoke(text)

        yield cache, ask
    cache.close()


def fill(ask: Ask, marker: str) -> None:
    question = f"what is {marker} " + "x" * LONG
    for _ in range(3):
        ask(question)


def test_after_eviction(cached: tuple[Any, Ask]) -> None:
    _, ask = cached
    fill(ask, "Kanpur-77")
    for number in range(4):
        fill(ask, f"other {number}")
    assert found("Kanpur-77") == 0


def test_after_clear(cached: tuple[Any, Ask]) -> None:
    cache, ask = cached
    fill(ask, "Lucknow-78")
    cache.clear()
    assert found("Lucknow-78") == 0


def test_after_clear_of_a_tenant(cached: tuple[Any, Ask]) -> None:
    from llm_optimizers.tenancy import tenant

    cache, ask = cached
    with tenant("acme"):
        fill(ask, "Nagpur-79")
    cache.clear(tenant="acme")
    assert found("Nagpur-79") == 0


def test_after_the_end_of_the_cache(path: str | None) -> None:
    cache = lc.HybridCache(path=path)
    model = NamedModel(
        messages=iter(AIMessage("Raipur-80 " + "y" * LONG) for _ in range(9)), cache=cache
    )
    for _ in range(3):
        model.invoke("Raipur-80 " + "x" * LONG)
    cache.close()
    del cache, model
    assert found("Raipur-80") == 0
