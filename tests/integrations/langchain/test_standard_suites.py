"""LangChain's standard test suites, run on our components."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import (
    AsyncCacheTestSuite,
    ChatModelIntegrationTests,
    SyncCacheTestSuite,
)
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.routing import Weighted
from support.fakes import CombiningFake, StreamingFake


class Caches:
    """The cache under test: in memory, and in a file."""

    @pytest.fixture(params=["memory", "sqlite"])
    def cache(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HybridCache]:
        path = tmp_path / "cache.sqlite" if request.param == "sqlite" else None
        cache = HybridCache(path=path)
        yield cache
        cache.close()


class TestCache(Caches, SyncCacheTestSuite):
    pass


class TestCacheAsync(Caches, AsyncCacheTestSuite):
    pass


def around_a_fake(
    settings: dict[str, Any], fake: type[StreamingFake] = StreamingFake
) -> dict[str, Any]:
    """Settings of a wrapper; if they are settings of a model, a fake is made of them."""
    if isinstance(settings.get("model"), BaseChatModel):
        return settings
    return {"model": fake(**settings)}


class CachedFake(CachedChatModel):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**around_a_fake(settings))


class OptimizedFake(OptimizedChatModel):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**around_a_fake(settings))


class BatchedFake(BatchingChatModel):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"max_delay": 0.001, **around_a_fake(settings, CombiningFake)})


class CombinedFake(BatchedFake):
    combine: bool = True


class RoutedFake(ChatModelRouter):
    def __init__(self, **settings: Any) -> None:
        if "models" in settings:
            super().__init__(**settings)
            return
        children = {name: StreamingFake(**settings) for name in ("small", "large")}
        super().__init__(models=children, policy=Weighted({"small": 1, "large": 1}))


class EveryWrapper:
    """Runs a standard suite on each of our chat models."""

    wrapper: type[BaseChatModel]

    @pytest.fixture(
        autouse=True, params=[CachedFake, OptimizedFake, BatchedFake, CombinedFake, RoutedFake]
    )
    def _wrapper(self, request: pytest.FixtureRequest) -> None:
        self.wrapper = request.param

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return self.wrapper

    @property
    def has_tool_calling(self) -> bool:
        return True


class TestChatModelUnit(EveryWrapper, ChatModelUnitTests):
    pass


class TestChatModel(EveryWrapper, ChatModelIntegrationTests):
    @property
    def has_structured_output(self) -> bool:
        return False  # The fakes cannot give structured output.
