"""A provider as the suites see it: its server, and its models in both frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from llama_index.core.llms.llm import LLM

from llm_optimizers.costs import Usage
from support.provider_servers.base import ProviderHandler, Tokens

FrameworkName = Literal["langchain", "llama-index"]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What a provider's suite needs.

    `langchain` and `llama_index` make models that talk to a server, with more settings of theirs.
    `prices` is the provider in the price list that knows `model`, "" if the model has no price.
    `methods` are those of `with_structured_output`. `thinking` are the settings that switch
    thoughts on, by framework. `counted` turns the tokens of a call into what its integration passes
    on of them, given the framework and whether it was a stream; by default all of it. Without
    `names_calls` the ids of tool calls are the integrations', other ones in each answer. Without
    `states_settings` LangChain's cache is not shown what the model was asked for. Without
    `keeps_tools` its LangChain model changes the tools bound to it. Without `reads_others` its
    LlamaIndex LLM fails on tool calls of another provider's.
    """

    name: str
    handler: type[ProviderHandler]
    model: str
    prices: str
    langchain: Callable[..., BaseChatModel]
    llama_index: Callable[..., LLM]
    methods: tuple[str, ...] = ()
    thinking: Mapping[FrameworkName, Mapping[str, Any]] = field(default_factory=dict)
    counted: Callable[[Tokens, FrameworkName, bool], Usage] = lambda tokens, *_: tokens.usage
    names_calls: bool = True
    states_settings: bool = True
    keeps_tools: bool = True
    reads_others: bool = True

    def __str__(self) -> str:
        return self.name
