"""LangChain's own standard suites, run on our components."""

from __future__ import annotations

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

from langchain_llm_optimizers import CachedChatModel, HybridCache
from support.fakes import StreamingFake


class TestMemoryCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> HybridCache:
        return HybridCache()


class TestMemoryCacheAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> HybridCache:
        return HybridCache()


class TestSQLiteCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Any:
        cache = HybridCache(path=tmp_path / "cache.sqlite")
        yield cache
        cache.close()


class TestSQLiteCacheAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> Any:
        cache = HybridCache(path=tmp_path / "cache.sqlite")
        yield cache
        cache.close()


class CachedFake(CachedChatModel):
    """`CachedChatModel` over a streaming fake, made of the fake's own settings."""

    def __init__(self, **settings: Any) -> None:
        own = {k: settings.pop(k) for k in ("model", "cache") if k in settings}
        model = own.get("model")
        inner = model if isinstance(model, BaseChatModel) else StreamingFake(**settings)
        super().__init__(model=inner, cache=own.get("cache") or HybridCache())


class TestCachedChatModelUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return CachedFake

    @property
    def has_tool_calling(self) -> bool:
        return True


class TestCachedChatModel(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return CachedFake

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return False
