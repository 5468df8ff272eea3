"""One use of a model: the provider that answers, the model as a wrapper gives it, the recorder."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from langchain.agents import create_agent
from support.like_the_model.langchain.seen import OTHER_MODEL, Recorder, Seen, plain
from support.openai_server import FakeOpenAI, last_text, tool_call
from support.scripted_server import ScriptedProvider

__all__ = ["Provider", "Use", "Way", "Ways", "answer", "use_it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The servers of a module, and the clients that all its models share."""

    server: FakeOpenAI
    script: ScriptedProvider
    clients: Mapping[str, Any]
    runner: asyncio.Runner


@dataclass(slots=True, kw_only=True)
class Use:
    """What a way gets: models with their wrapper, and a configuration with a recorder."""

    provider: Provider
    wrap: Callable[[BaseChatModel], BaseChatModel]
    cache: BaseCache
    middleware: Sequence[Any] = ()
    recorder: Recorder = field(default_factory=Recorder)
    afterwards: list[Callable[[], Any]] = field(default_factory=list)
    """Called once all is seen."""

    @property
    def server(self) -> FakeOpenAI:
        return self.provider.server

    @property
    def config(self) -> RunnableConfig:
        return {
            "callbacks": [self.recorder],
            "tags": ["of the call"],
            "metadata": {"user": "u1"},
            "run_name": "the run",
        }

    def bare(self, **settings: Any) -> ChatOpenAI:
        """Return a model that asks the provider."""
        given = {
            "model": "gpt-4.1",
            "base_url": self.server.url,
            "api_key": "sk-secret-of-the-test",
            "max_retries": 0,
            **self.provider.clients,
        }
        return ChatOpenAI(**{**given, **settings})

    def other(self) -> ChatOpenAI:
        """Return a bare model of another name, for example as a fallback."""
        return self.bare(model=OTHER_MODEL)

    def model(self, **settings: Any) -> Any:
        """Return such a model in its wrapper."""
        return self.wrap(self.bare(**settings))

    def scripted(self, body: Any, events: Sequence[Any] = (), **settings: Any) -> Any:
        """Return a model in its wrapper whose provider gives one answer."""
        self.provider.script.body, self.provider.script.events = body, events
        return self.model(base_url=self.provider.script.url, **settings)

    def agent(self, tools: Sequence[Any] = (), **settings: Any) -> Any:
        """Return an agent over the model, with the middleware in question after its own."""
        model = settings.pop("model", None) or self.model()
        middleware = [*settings.pop("middleware", ()), *self.middleware]
        return create_agent(model, list(tools), middleware=middleware, **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to use a model. `use` returns what it gave, or a coroutine that does."""

    name: str
    use: Callable[[Use], Any]
    at_once: bool = False
    """Whether its calls run at the same time, so that their order means nothing."""
    agent: bool = False


class Ways(dict[str, Way]):
    """The ways of one kind, by name."""

    def way(self, name: str, **about: Any) -> Callable[[Any], Any]:
        """Add the function as a way."""

        def add(use: Callable[[Use], Any]) -> Callable[[Use], Any]:
            assert name not in self
            self[name] = Way(name=name, use=use, **about)
            return use

        return add


def use_it(way: Way, use: Use) -> Seen:
    """Use a model, and return what was seen; an error is an answer like any other."""
    provider = use.provider
    provider.server.reply = answer
    provider.server.requests.clear()
    provider.server.headers.clear()
    provider.server.failures.clear()
    provider.script.requests.clear()
    try:
        given = way.use(use)
        if inspect.isawaitable(given):
            given = provider.runner.run(_finished(given))
    except Exception as error:
        given = error
    seen = Seen(answer=plain(given), requests=_sent(provider), events=list(use.recorder.ran))
    for each in use.afterwards:
        each()
    return seen


def _sent(provider: Provider) -> list[str]:
    """Return the requests with their headers, in the order of their fields."""
    server, script = provider.server, provider.script
    bodies = zip(server.requests, server.headers, strict=True)
    return [
        *(json.dumps([body, _without_cookie(headers)]) for body, headers in bodies),
        *(json.dumps(body) for body in script.requests),
    ]


def _without_cookie(headers: Mapping[str, str]) -> dict[str, str]:
    """The clients of a module keep the server's cookie from the first answer on."""
    return {name: value for name, value in headers.items() if name != "Cookie"}


async def _finished(given: Any) -> Any:
    """Wait for the answer and for tasks that are left, such as those of asynchronous handlers."""
    try:
        return await given
    finally:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        with suppress(Exception):
            await asyncio.gather(*rest, return_exceptions=True)


def answer(body: dict[str, Any]) -> Any:
    """Answer as a provider would: in the format asked for, by tools, or in words."""
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice, text = body.get("tool_choice"), last_text(body) if body["messages"] else ""
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    if choice == "required":
        forced = next((name for name in tools if name in text), [*tools][-1])
    if forced:
        return {"tool_calls": [_call(tools[forced], 0)]}
    last = body["messages"][-1] if body["messages"] else {}
    if tools and last.get("role") == "user":
        named = [name for name in tools if name in text]
        if named:
            return {"tool_calls": [_call(tools[name], at) for at, name in enumerate(named)]}
    if body.get("response_format"):
        return json.dumps({"city": "Lyon", "people": 500})
    return f"answer to {text}"


def _call(tool: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Return a call of a tool with a value for each of its parameters."""
    wanted = (tool.get("parameters") or {}).get("properties") or {}
    values = {"string": "Lyon", "integer": 500, "number": 0.5, "boolean": True}
    arguments = {name: values.get(each.get("type", "string")) for name, each in wanted.items()}
    return tool_call(tool["name"], arguments, f"call_{at}")
