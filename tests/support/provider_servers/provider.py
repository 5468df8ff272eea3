"""A provider as the suites see it: its server, and its models in both frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from llama_index.core.llms.llm import LLM

from llm_optimizers.costs import Usage
from support.provider_servers.base import ProviderHandler, ProviderServer, Tokens


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What a provider's suite needs.

    `langchain` and `llama_index` make models that talk to a server, with more settings of theirs.
    `model` is a priced model's name and `prices` its provider in the price list. `methods` are those
    of `with_structured_output`. `thinking` are the settings that switch thoughts on, by framework.
    `unseen` names the counts that a framework does not pass on, by framework and way ("stream").
    """

    name: str
    handler: type[ProviderHandler]
    model: str
    prices: str
    langchain: Callable[..., BaseChatModel]
    llama_index: Callable[..., LLM]
    methods: tuple[str, ...] = ()
    thinking: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unseen: Mapping[tuple[str, str], Callable[[Tokens], Usage]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


Made = Callable[[ProviderServer], Any]
