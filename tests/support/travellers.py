"""Functions and classes that another process finds by their names."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import PydanticOutputParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import BaseModel, Field

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.answers import JSONCodec
from llm_optimizers.tenancy import tenant
from support.llama_fakes import FakeLLM

NOW = 1_000_000.0


def clock() -> float:
    return NOW


def acme() -> str:
    return "acme"


@lru_cache
def remembered_acme() -> str:
    return "acme"


class Customer:
    """An object that is called as a function."""

    def __call__(self) -> str:
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


def fake(text: str = "a") -> FakeListChatModel:
    """Return a chat model that can be pickled and always gives one answer."""
    return FakeListChatModel(responses=[text])


class LockedChatModel(FakeListChatModel):
    """A chat model with a field that cannot be pickled, as an open client."""

    client: Any = None

    @classmethod
    def locked(cls) -> LockedChatModel:
        return cls(responses=["a"], client=threading.Lock())


class WithSecret(FakeListChatModel):
    """A chat model whose key is a plain string, which its own JSON hides."""

    token: str

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"token": "TOKEN"}


class Strict(BaseModel):
    """A schema that three days do not fit."""

    days: int = Field(ge=5)


class Structured(GenericFakeChatModel):
    """A chat model that answers each way to ask for three days."""

    messages: Any = None

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def with_structured_output(self, schema: Any, *, method: str, **kwargs: Any) -> Any:
        if method == "function_calling":
            parser: Any = PydanticToolsParser(tools=[schema], first_tool_only=True)
            return self.bind_tools([schema]) | parser
        return self.bind(response_format={"type": method}) | PydanticOutputParser(
            pydantic_object=schema
        )

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        call = {"name": "Refund", "args": {"days": 3}, "id": "1"}
        calls = [call] if "tools" in kwargs else []
        message = AIMessage(content="" if calls else '{"days": 3}', tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


class LockedLLM(FakeLLM):
    """An LLM with a field that LlamaIndex removes when it is pickled."""

    client: Any = None


class UnpicklableLLM(FakeLLM):
    """An LLM that refuses to be pickled."""

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("no pickling here")


class LockedEmbedding(MockEmbedding):
    """An embedding model with a field that LlamaIndex removes when it is pickled."""

    client: Any = None


class OneNode(BaseRetriever):
    """Finds the same node for every question."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="A refund takes three days.", id_="n"), score=1)]


class NamedKeywords(KeywordExtractor):
    """Asks its LLM for keywords, and names them."""

    key: str
    show_progress: bool = False

    async def aextract(self, nodes: Sequence[BaseNode]) -> list[dict[str, Any]]:
        found = await super().aextract(nodes)
        return [{self.key: each["excerpt_keywords"]} for each in found]


class OwnCache(ResponseCache[str]):
    """A cache with arguments of its own."""

    def __init__(self, customer: str, hours: float) -> None:
        super().__init__(namespace=customer, ttl=hours * 3600, semantic=False)


def locked_store() -> SimpleKVStore:
    store = SimpleKVStore()
    store.lock = threading.Lock()
    return store


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


class OwnCodec(JSONCodec):
    """A codec of a program's own."""
