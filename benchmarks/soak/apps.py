"""The same app in both frameworks: a router behind a cache, for two tenants, with one ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger
from soak.provider import OP_HEADER

TENANTS = ("alder", "birch")
_op: ContextVar[str] = ContextVar("soak_op", default="")
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an app's provider and files are."""

    url: str
    folder: Path

    @property
    def ledger(self) -> Path:
        """The ledger of all processes."""
        return self.folder / "costs.sqlite"

    @property
    def cache(self) -> Path:
        """The cache of all processes of a framework."""
        return self.folder / "answers.sqlite"


class App(Protocol):
    """One app; each method asks a tenant's question for an operation."""

    def ask(self, op: str, owner: str, question: str) -> str: ...

    def stream(self, op: str, owner: str, question: str) -> Iterator[str]: ...

    async def aask(self, op: str, owner: str, question: str) -> str: ...

    def astream(self, op: str, owner: str, question: str) -> AsyncIterator[str]: ...

    def client(self) -> Any:
        """Return the app with HTTP clients of its own, for one event loop."""

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


@contextmanager
def operation(op: str, owner: str) -> Iterator[None]:
    """Give the calls in the block an operation's id and tenant."""
    token = _op.set(op)
    try:
        with tenant(owner):
            yield
    finally:
        _op.reset(token)


def _name(request: httpx.Request) -> None:
    request.headers[OP_HEADER] = _op.get() or "none"


async def _aname(request: httpx.Request) -> None:
    _name(request)


class _Clients:
    """A sync and an async HTTP client that send the operation's id."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=200)
        more = {"timeout": _TIMEOUT, "limits": limits, "trust_env": False}
        self.sync = httpx.Client(event_hooks={"request": [_name]}, **more)  # type: ignore[arg-type]
        self.asynchronous = httpx.AsyncClient(event_hooks={"request": [_aname]}, **more)  # type: ignore[arg-type]


class LangChainApp:
    """`CachedChatModel(ChatModelRouter({…}))` for each tenant, and a `CostCallbackHandler`."""

    def __init__(self, place: Place, shared: LangChainApp | None = None) -> None:
        from langchain_openai import ChatOpenAI

        from langchain_llm_optimizers import (
            CachedChatModel,
            ChatModelRouter,
            CostCallbackHandler,
            HybridCache,
        )

        self._place = place
        self._http = _Clients()
        self.costs = shared.costs if shared else CostCallbackHandler(Ledger(place.ledger))
        self.cache = shared.cache if shared else HybridCache(path=place.cache)

        def model(name: str, owner: str) -> Any:
            return ChatOpenAI(
                model=name,
                api_key=owner,
                base_url=place.url,
                max_retries=0,
                stream_usage=True,
                http_client=self._http.sync,
                http_async_client=self._http.asynchronous,
            )

        self._models = {
            owner: CachedChatModel(
                ChatModelRouter(
                    {"small": model("gpt-4o-mini", owner), "large": model("gpt-4o", owner)}
                ),
                self.cache,
            )
            for owner in TENANTS
        }

    @property
    def ledger(self) -> Ledger:
        return self.costs.ledger

    def client(self) -> LangChainApp:
        return LangChainApp(self._place, self)

    def _config(self, op: str) -> Any:
        return {"callbacks": [self.costs], "metadata": {"op": op}}

    def ask(self, op: str, owner: str, question: str) -> str:
        with operation(op, owner):
            return str(self._models[owner].invoke(question, self._config(op)).text)

    def stream(self, op: str, owner: str, question: str) -> Iterator[str]:
        with operation(op, owner):
            chunks = self._models[owner].stream(question, self._config(op))
            for chunk in chunks:
                yield str(chunk.text)

    async def aask(self, op: str, owner: str, question: str) -> str:
        with operation(op, owner):
            return str((await self._models[owner].ainvoke(question, self._config(op))).text)

    async def astream(self, op: str, owner: str, question: str) -> AsyncIterator[str]:
        with operation(op, owner):
            async for chunk in self._models[owner].astream(question, self._config(op)):
                yield str(chunk.text)

    def close(self) -> None:
        self._http.sync.close()

    async def aclose(self) -> None:
        await self._http.asynchronous.aclose()

    def close_files(self) -> None:
        self.ledger.close()
        self.cache.close()


class LlamaIndexApp:
    """`CachedLLM(RoutedLLM({…}))` for each tenant, and a `CostEventHandler`."""

    def __init__(self, place: Place, shared: LlamaIndexApp | None = None) -> None:
        from llama_index.llms.openai import OpenAI

        from llama_index_llm_optimizers import CachedLLM, CostEventHandler, HybridCache, RoutedLLM

        self._place = place
        self._http = _Clients()
        self._attached = shared is None
        self.costs = shared.costs if shared else CostEventHandler(Ledger(place.ledger)).attach()
        self.cache = shared.cache if shared else HybridCache(path=place.cache)

        def model(name: str, owner: str) -> Any:
            return OpenAI(
                model=name,
                api_key=owner,
                api_base=place.url,
                max_retries=0,
                additional_kwargs={"stream_options": {"include_usage": True}},
                http_client=self._http.sync,
                async_http_client=self._http.asynchronous,
            )

        self._models = {
            owner: CachedLLM(
                RoutedLLM({"small": model("gpt-4o-mini", owner), "large": model("gpt-4o", owner)}),
                self.cache,
            )
            for owner in TENANTS
        }

    @property
    def ledger(self) -> Ledger:
        return self.costs.ledger

    def client(self) -> LlamaIndexApp:
        return LlamaIndexApp(self._place, self)

    @contextmanager
    def _tagged(self, op: str, owner: str) -> Iterator[Any]:
        from llama_index_instrumentation.dispatcher import instrument_tags

        with ExitStack() as stack:
            stack.enter_context(operation(op, owner))
            stack.enter_context(instrument_tags({"op": op}))
            yield self._models[owner]

    def ask(self, op: str, owner: str, question: str) -> str:
        with self._tagged(op, owner) as model:
            return str(model.chat(_messages(question)).message.content)

    def stream(self, op: str, owner: str, question: str) -> Iterator[str]:
        with self._tagged(op, owner) as model:
            for chunk in model.stream_chat(_messages(question)):
                yield chunk.delta or ""

    async def aask(self, op: str, owner: str, question: str) -> str:
        with self._tagged(op, owner) as model:
            return str((await model.achat(_messages(question))).message.content)

    async def astream(self, op: str, owner: str, question: str) -> AsyncIterator[str]:
        with self._tagged(op, owner) as model:
            async for chunk in await model.astream_chat(_messages(question)):
                yield chunk.delta or ""

    def close(self) -> None:
        self._http.sync.close()

    async def aclose(self) -> None:
        await self._http.asynchronous.aclose()

    def close_files(self) -> None:
        self.costs.detach()
        self.ledger.close()
        self.cache.close()


def _messages(question: str) -> Any:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content=question)]
