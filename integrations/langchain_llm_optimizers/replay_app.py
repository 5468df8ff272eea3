"""The LangChain app through which `llm-optimizers demo` and `replay` send their requests."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.cached import CachedChatModel
from langchain_llm_optimizers.handler import CostCallbackHandler
from langchain_llm_optimizers.hits import CACHE_HIT
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.optimized import OptimizedChatModel
from langchain_llm_optimizers.router import ChatModelRouter
from llm_optimizers.costs import Ledger
from llm_optimizers.replay.app import (
    AppReply,
    Endpoint,
    Strategies,
    for_request,
    http_client,
    prompt_optimizer,
)
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing.policies.learned import LearnedPolicy

__all__ = ["LangChainApp", "open_app"]


class LangChainApp:
    """`prompt | model`, with a chat model for each model name in the log."""

    def __init__(self, strategies: Strategies, endpoint: Endpoint, ledger: Ledger) -> None:
        self._strategies = strategies
        self._endpoint = endpoint
        self._ledger = ledger
        self._costs = CostCallbackHandler(ledger)
        max_entries = strategies.cache_entries
        self._cache = HybridCache(max_entries=max_entries) if strategies.cache else None
        self._http = http_client(endpoint)
        self._prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("messages")])
        self._models: dict[str, BaseChatModel] = {}
        self._optimizer = prompt_optimizer(ledger, strategies.context_tokens)

    def ask(self, logged: LoggedRequest) -> AppReply:
        """See `ReplayApp.ask`."""
        name = self._endpoint.model or logged.request.model
        if name not in self._models:
            self._models.setdefault(name, self._model(name))
        settings = dict(logged.request.params)
        settings.pop("stream_options", None)
        # LangChain would take `metadata` as the run's own; no answer depends on it.
        settings.pop("metadata", None)
        streamed = settings.pop("stream", False)
        chain = self._prompt | self._models[name].bind(**settings)
        given = {"messages": logged.request.to_openai()["messages"]}
        config: RunnableConfig = {
            "callbacks": [self._costs],
            "metadata": {
                "tenant": logged.tenant,
                "feature": logged.feature,
                "task": logged.feature,
            },
        }
        with for_request(logged):
            message = (
                reduce(add, chain.stream(given, config))
                if streamed
                else chain.invoke(given, config)
            )
        mark = message.response_metadata.get(CACHE_HIT)
        if mark:
            return AppReply(text=message.text, tier=mark["tier"])
        routed = message.response_metadata.get(METADATA_KEY) or {}
        return AppReply(text=message.text, model=str(routed.get("routed") or name))

    def close(self) -> None:
        """See `ReplayApp.close`."""
        self._http.close()

    def _model(self, name: str) -> BaseChatModel:
        settings: dict[str, Any] = {
            "model": name,
            "http_client": self._http,
            "stream_usage": True,
        }
        if self._endpoint.base_url is not None:
            settings["base_url"] = self._endpoint.base_url
        if self._endpoint.api_key is not None:
            settings["api_key"] = self._endpoint.api_key
        model: BaseChatModel = ChatOpenAI(**settings)
        router = self._strategies.router
        if router is not None and name == router.strong:
            cheap = {weak: ChatOpenAI(**{**settings, "model": weak}) for weak in router.means}
            model = ChatModelRouter(
                models={**cheap, name: model}, policy=LearnedPolicy(router), ledger=self._ledger
            )
        if self._strategies.prompts:
            model = OptimizedChatModel(model=model, optimizer=self._optimizer)
        if self._cache is not None:
            model = CachedChatModel(model=model, cache=self._cache)
        return model


def open_app(strategies: Strategies, endpoint: Endpoint, ledger: Ledger) -> LangChainApp:
    """Build the app; see `llm_optimizers.replay.app`."""
    return LangChainApp(strategies, endpoint, ledger)
