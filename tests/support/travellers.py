"""Functions and classes that another process finds by their names."""

from __future__ import annotations

import threading
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from llama_index.core.base.llms.types import ChatMessage

from llm_optimizers.tenancy import tenant
from support.llama_fakes import FakeLLM

NOW = 1_000_000.0


def clock() -> float:
    return NOW


def acme() -> str:
    return "acme"


def ignore(report: object) -> None:
    """A report that nobody reads."""


class Session:
    """A user's session: what its methods return depends on the session."""

    def __init__(self, customer: str) -> None:
        self.customer = customer

    def tenant(self) -> str:
        return self.customer


class LockedEmbeddings(Embeddings):
    """Embeddings with a connection, which cannot be pickled."""

    def __init__(self) -> None:
        self.connection = threading.Lock()

    def embed_query(self, text: str) -> list[float]:
        return [1.0, float(len(text))]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class CountedEmbeddings(LockedEmbeddings):
    """Embeddings that can be pickled."""

    def __init__(self) -> None:
        self.connection = None  # type: ignore[assignment]


class LockedChatModel(FakeListChatModel):
    """A chat model with a field that cannot be pickled, as an open client."""

    client: Any = None


class LockedLLM(FakeLLM):
    """An LLM with a field that LlamaIndex removes when it is pickled."""

    client: Any = None


def answer_of_llm(llm: Any, question: str) -> tuple[str, Any]:
    """Return an LLM's answer, and how the cache matched it."""
    reply = llm.chat([ChatMessage(question)])
    return reply.message.content, reply.additional_kwargs.get("cache_hit")


def answer_of_llm_for(llm: Any, customer: str, question: str) -> tuple[str, Any]:
    with tenant(customer):
        return answer_of_llm(llm, question)


def answer_of_model(model: Any, question: str) -> tuple[str, Any]:
    """Return a chat model's answer, and how the cache matched it."""
    reply = model.invoke(question)
    return reply.text, reply.response_metadata.get("cache_hit")
