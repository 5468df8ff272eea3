"""A way to use an LLM: what it is called, which settings its LLM has, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI

Use: TypeAlias = Callable[[Any, "Lab"], Any]


@dataclass
class Lab:
    """What a way needs besides its LLM: a loop for coroutines, and the provider."""

    runner: OpenAIRunner
    server: FakeOpenAI


@dataclass(frozen=True, kw_only=True)
class Way:
    """`use` gets the LLM, the wrapped or the bare one; a coroutine is awaited."""

    title: str
    use: Use
    settings: Mapping[str, Any] = field(default_factory=dict)


WAYS: dict[str, Way] = {}


def way(title: str, **settings: Any) -> Callable[[Use], Use]:
    """Add a function as a way, under its title; `settings` are those of its LLM."""

    def add(use: Use) -> Use:
        assert title not in WAYS, title
        WAYS[title] = Way(title=title, use=use, settings=settings)
        return use

    return add


async def pieces(stream: Any) -> list[Any]:
    """Return what an async stream yields."""
    return [each async for each in stream]


def read(chunks: list[Any]) -> dict[str, Any]:
    """Return what a stream said: its last chunk, and the text of all deltas."""
    deltas = [getattr(chunk, "delta", None) or "" for chunk in chunks]
    return {"last": chunks[-1] if chunks else None, "said": "".join(deltas)}
