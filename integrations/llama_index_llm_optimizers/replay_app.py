"""The LlamaIndex app through which `llm-optimizers demo` and `replay` send their requests."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai.utils import from_openai_message_dicts
from llama_index_instrumentation.dispatcher import instrument_tags

from llama_index_llm_optimizers.cache import HybridCache
from llama_index_llm_optimizers.cached import CachedLLM
from llama_index_llm_optimizers.handler import CostEventHandler
from llama_index_llm_optimizers.hits import CACHE_HIT
from llama_index_llm_optimizers.messages import ROUTING_KEY
from llama_index_llm_optimizers.prompts import PromptOptimizingLLM
from llama_index_llm_optimizers.router import RoutedLLM
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

__all__ = ["LlamaIndexApp", "open_app"]

_CONTEXT_WINDOW = 128_000


class _AnyModel(OpenAI):
    """LlamaIndex's OpenAI LLM for any model name; the original rejects unknown names."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name=self.model,
            context_window=_CONTEXT_WINDOW,
            num_output=self.max_tokens or -1,
            is_chat_model=True,
            is_function_calling_model=True,
        )


class LlamaIndexApp:
    """An OpenAI LLM for each model name in the log."""

    def __init__(self, strategies: Strategies, endpoint: Endpoint, ledger: Ledger) -> None:
        self._strategies = strategies
        self._endpoint = endpoint
        self._ledger = ledger
        max_entries = strategies.cache_entries
        self._cache = HybridCache(max_entries=max_entries) if strategies.cache else None
        self._http = http_client(endpoint)
        self._llms: dict[str, LLM] = {}
        self._optimizer = prompt_optimizer(ledger, strategies.context_tokens)
        self._costs = CostEventHandler(ledger).attach()

    def ask(self, logged: LoggedRequest) -> AppReply:
        """See `ReplayApp.ask`."""
        name = self._endpoint.model or logged.request.model
        if name not in self._llms:
            self._llms.setdefault(name, self._llm(name))
        settings = dict(logged.request.params)
        settings.pop("stream_options", None)
        streamed = settings.pop("stream", False)
        messages = from_openai_message_dicts(_detailed(logged.request.to_openai()["messages"]))
        tags = {"tenant": logged.tenant, "feature": logged.feature, "task": logged.feature}
        with for_request(logged), instrument_tags(tags):
            if streamed:
                *_, response = self._llms[name].stream_chat(messages, **settings)
            else:
                response = self._llms[name].chat(messages, **settings)
        text = response.message.content or ""
        mark = response.additional_kwargs.get(CACHE_HIT)
        if mark:
            return AppReply(text=text, tier=mark["tier"])
        routed = response.additional_kwargs.get(ROUTING_KEY) or {}
        return AppReply(text=text, model=str(routed.get("model") or name))

    def close(self) -> None:
        """See `ReplayApp.close`."""
        self._costs.detach()
        self._http.close()

    def _llm(self, name: str) -> LLM:
        settings: dict[str, Any] = {
            "model": name,
            "http_client": self._http,
            # Without this, streams report no usage.
            "additional_kwargs": {"stream_options": {"include_usage": True}},
        }
        if self._endpoint.base_url is not None:
            settings["api_base"] = self._endpoint.base_url
        if self._endpoint.api_key is not None:
            settings["api_key"] = self._endpoint.api_key
        llm: LLM = _AnyModel(**settings)
        router = self._strategies.router
        if router is not None and name == router.strong:
            cheap = {weak: _AnyModel(**{**settings, "model": weak}) for weak in router.means}
            policy = LearnedPolicy(router)
            llm = RoutedLLM({**cheap, name: llm}, policy=policy, ledger=self._ledger)
        if self._strategies.prompts:
            llm = PromptOptimizingLLM(llm, self._optimizer)
        return llm if self._cache is None else CachedLLM(llm, self._cache)


def open_app(strategies: Strategies, endpoint: Endpoint, ledger: Ledger) -> LlamaIndexApp:
    """Build the app; see `llm_optimizers.replay.app`."""
    return LlamaIndexApp(strategies, endpoint, ledger)


def _detailed(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with a `detail` in every image, which LlamaIndex's parser requires."""
    for message in messages:
        parts = message["content"] if isinstance(message["content"], list) else []
        for part in parts:
            if part.get("type") == "image_url":
                part["image_url"] = {"detail": "auto", **part["image_url"]}
    return messages
