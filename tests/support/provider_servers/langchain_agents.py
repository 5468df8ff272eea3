"""Agents of LangChain over a provider: their tool and schema, its answers, and our middleware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_llm_optimizers import ChatModelRouter
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from support.provider_servers.base import Answer, Asked, ToolCall

__all__ = ["MIDDLEWARES", "Place", "answer_to_agent", "weather"]

MIDDLEWARES: Mapping[str, Callable[[Any], Any]] = {
    "cache": lambda _: CacheMiddleware(),
    "prompts": lambda _: PromptMiddleware(),
    "router": lambda model: RouterMiddleware(ChatModelRouter(models={"only": model})),
}


class Place(BaseModel):
    """A town."""

    town: str


@tool
def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


def answer_to_agent(asked: Asked) -> Answer:
    """Call the tool, then answer in the form that was asked for."""
    if not asked.results:
        return Answer(calls=(ToolCall(name="weather", arguments={"town": "Ulm"}),))
    if "Place" in asked.tools:
        return Answer(calls=(ToolCall(name="Place", arguments={"town": "Ulm"}),))
    return Answer(text='{"town": "Ulm"}' if asked.schema else "Sunny.")
