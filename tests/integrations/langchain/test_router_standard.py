"""LangChain's standard chat-model suites over the router."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_llm_optimizers import ChatModelRouter
from llm_optimizers.routing import Weighted
from support.fakes import StreamingFake


class RoutedFake(ChatModelRouter):
    """A router between two streaming fakes, made of the fakes' own settings."""

    def __init__(self, **settings: Any) -> None:
        if "models" in settings:
            super().__init__(**settings)
            return
        children = {name: StreamingFake(**settings) for name in ("small", "large")}
        super().__init__(models=children, policy=Weighted({"small": 1, "large": 1}))


class TestChatModelRouterUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return RoutedFake

    @property
    def has_tool_calling(self) -> bool:
        return True


class TestChatModelRouter(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return RoutedFake

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return False
