"""LangChain's components, made in one way and used in one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel

import langchain_llm_optimizers as lc
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import (
    KeywordPolicy,
)
from support import travellers
from support.state_cases.core import CONTEXT, SMALL, Case, limits, noted


def fake(text: str = "a") -> FakeListChatModel:
    return FakeListChatModel(responses=[text])


def answered(model: Any) -> str:
    return str(model.invoke("How long does a refund take?").text)


def chat_router(_: Path = Path()) -> lc.ChatModelRouter:
    policy = KeywordPolicy(weak="small", strong="large")
    return lc.ChatModelRouter(models={"small": fake("s"), "large": fake("l")}, policy=policy)


def cached_model(path: Path) -> lc.CachedChatModel:
    cache = lc.HybridCache(path=path / "answers.sqlite", semantic=False)
    model = lc.CachedChatModel(model=fake(), cache=cache)
    answered(model)
    return model


def how_cached(model: Any) -> list[object]:
    texts = ("How long does a refund take?", "How long will my refund take?")
    return [travellers.answer_of_model(model, text)[1] is None for text in texts]


LANGCHAIN = [
    Case(name="CachedChatModel", make=cached_model, use=lambda model: answered(model)),
    Case(name="ChatModelRouter", make=chat_router, use=answered),
    Case(
        name="OptimizedChatModel",
        make=lambda path: lc.OptimizedChatModel(model=fake(), limits=limits(path), form="line"),
        use=lambda model: (answered(model), model.limits.cap("facts"), model.form),
    ),
    Case(
        name="BatchingChatModel",
        make=lambda _: lc.BatchingChatModel(
            model=fake(), max_size=3, max_delay=0.0, namespace=travellers.acme
        ),
        use=lambda model: (answered(model), model.max_size, model.namespace),
    ),
    Case(
        name="all four",
        make=lambda _: lc.CachedChatModel(
            model=lc.ChatModelRouter(
                models={
                    "a": lc.OptimizedChatModel(model=fake()),
                    "b": lc.BatchingChatModel(model=fake("b"), max_delay=0.0),
                }
            )
        ),
        use=answered,
    ),
    Case(
        name="LangChain HybridCache",
        make=lambda path: lc.HybridCache(
            path=path / "answers.sqlite", ledger=Ledger(path / "costs.sqlite")
        ),
        use=lambda cache: noted(cache.ledger),
    ),
    Case(
        name="CostCallbackHandler",
        make=lambda path: lc.CostCallbackHandler(Ledger(path / "costs.sqlite")),
        use=lambda handler: noted(handler.ledger),
    ),
    Case(
        name="PromptOptimizer",
        make=lambda _: lc.PromptOptimizer(SMALL, context_tokens=60),
        use=lambda optimizer: optimizer.invoke(f"{CONTEXT}\nCats?"),
    ),
    Case(
        name="PassageCompressor",
        make=lambda _: lc.PassageCompressor(max_tokens=40, report=travellers.ignore),
        use=lambda compressor: (compressor.max_tokens, compressor.compress_documents([], "cats")),
    ),
    Case(
        name="CacheMiddleware",
        make=lambda path: CacheMiddleware(lc.HybridCache(path=path / "answers.sqlite")),
        use=lambda middleware: len(middleware.cache),
    ),
    Case(name="PromptMiddleware", make=lambda _: PromptMiddleware(context_tokens=60), use=type),
    Case(
        name="RouterMiddleware",
        make=lambda _: RouterMiddleware(chat_router()),
        use=lambda middleware: answered(middleware.router),
    ),
]
