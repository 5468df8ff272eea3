"""An answer that a parser or schema refused is never served again, in any kind of chain."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.structured_output import StructuredOutputError, ToolStrategy
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import (
    BaseOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy
from pydantic import BaseModel, Field

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import CacheMiddleware
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
Maker = Callable[..., ChatOpenAI]
QUESTION = "Which of our customers asked for it? Answer in json."


class Customer(BaseModel):
    """A customer."""

    name: str
    age: int = Field(ge=0)


GOOD = Customer(name="Ada", age=36)
CALLED = "Customer"


def flaky(bad: int = 1) -> Callable[[dict[str, Any]], Any]:
    """Give this many answers that the schema refuses, then good ones."""
    number = itertools.count(1)

    def reply(body: dict[str, Any]) -> Any:
        now = next(number)
        if body.get("tools"):
            arguments = {"name": "Ada", "age": -now if now <= bad else 36}
            return {"tool_calls": [tool_call(CALLED, arguments, f"call_{now}")]}
        return f"Of course, number {now}!" if now <= bad else GOOD.model_dump_json()

    return reply


def with_cached_model(model: ChatOpenAI, cache: HybridCache) -> Any:
    return CachedChatModel(model=model, cache=cache)


def with_langchain_cache(model: ChatOpenAI, cache: HybridCache) -> Any:
    return model.model_copy(update={"cache": cache})


def with_optimized_model(model: ChatOpenAI, cache: HybridCache) -> Any:
    return OptimizedChatModel(model=CachedChatModel(model=model, cache=cache))


def with_router_inside(model: ChatOpenAI, cache: HybridCache) -> Any:
    return CachedChatModel(model=ChatModelRouter(models={"a": model}), cache=cache)


def with_router_outside(model: ChatOpenAI, cache: HybridCache) -> Any:
    return ChatModelRouter(models={"a": CachedChatModel(model=model, cache=cache)})


WRAPS = [
    with_cached_model,
    with_langchain_cache,
    with_optimized_model,
    with_router_inside,
    with_router_outside,
]


class FencesParser(BaseOutputParser[Customer]):
    """A user's own parser."""

    def parse(self, text: str) -> Customer:
        try:
            return Customer(**json.loads(text))
        except ValueError as error:
            raise OutputParserException(f"not a customer: {error}") from error


def structured(method: str) -> Callable[[Any], Runnable[Any, Any]]:
    def chain(model: Any) -> Runnable[Any, Any]:
        return model.with_structured_output(Customer, method=method)

    return chain


CHAINS: dict[str, Callable[[Any], Runnable[Any, Any]]] = {
    "function_calling": structured("function_calling"),
    "json_mode": structured("json_mode"),
    "pydantic parser": lambda m: m | PydanticOutputParser(pydantic_object=Customer),
    "own parser": lambda m: m | FencesParser(),
    "two parsers": lambda m: m | StrOutputParser() | FencesParser(),
    "lambda": lambda m: m | RunnableLambda(lambda a: Customer(**json.loads(a.content))),
    "prompt": lambda m: (
        ChatPromptTemplate.from_messages([("human", "{q}")])
        | m
        | PydanticOutputParser(pydantic_object=Customer)
    ),
}


Ask = Callable[..., Any]


@pytest.fixture
def chat(looped: Maker) -> Maker:
    return looped


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Ask:
    def sync(chain: Runnable[Any, Any], value: Any = QUESTION) -> Any:
        return chain.invoke(value)

    def asynchronous(chain: Runnable[Any, Any], value: Any = QUESTION) -> Any:
        return runner.run(chain.ainvoke(value))

    return sync if request.param == "sync" else asynchronous


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_retry_gets_a_new_answer(
    server: FakeOpenAI, chat: Maker, wrap: Any, chain: Any, ask: Ask
) -> None:
    server.reply = flaky(bad=2)
    model = wrap(chat(), HybridCache())
    retrying = chain(model).with_retry(stop_after_attempt=4, wait_exponential_jitter=False)
    assert ask(retrying) == GOOD
    calls = len(server.requests)
    assert ask(retrying) == GOOD
    assert len(server.requests) == calls, "the good answer is kept"


@pytest.mark.parametrize("wrap", WRAPS)
def test_parallel_branches_get_new_answers(
    server: FakeOpenAI, chat: Maker, ask: Ask, wrap: Any
) -> None:
    server.reply = flaky(bad=2)
    branch = wrap(chat(), HybridCache()) | FencesParser()
    chain = RunnableParallel(first=branch, second=branch)
    retrying = chain.with_retry(stop_after_attempt=5, wait_exponential_jitter=False)
    assert ask(retrying) == {"first": GOOD, "second": GOOD}


@pytest.mark.parametrize("chain", ["function_calling", "own parser", "lambda"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_loop_of_the_user_gets_a_new_answer(
    server: FakeOpenAI, chat: Maker, wrap: Any, chain: str, ask: Ask
) -> None:
    server.reply = flaky(bad=2)
    cache = HybridCache()
    asked = CHAINS[chain](wrap(chat(), cache))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"age|customer|Expecting"):
            ask(asked)
        assert len(cache) == 0
    assert ask(asked) == GOOD


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("method", ["function_calling", "json_mode"])
def test_a_loop_over_raw_output_gets_a_new_answer(
    server: FakeOpenAI, chat: Maker, wrap: Any, method: str
) -> None:
    server.reply = flaky(bad=2)
    cache = HybridCache()
    model = wrap(chat(), cache)
    chain = model.with_structured_output(Customer, method=method, include_raw=True)
    outputs = [chain.invoke(QUESTION) for _ in range(4)]
    assert [output["parsed"] for output in outputs] == [None, None, GOOD, GOOD]
    assert len(server.requests) == 3
    assert len(cache) == 1


@pytest.mark.parametrize("wrap", [with_cached_model, with_langchain_cache])
def test_streams_and_batches_get_new_answers(server: FakeOpenAI, chat: Maker, wrap: Any) -> None:
    server.reply = flaky(bad=2)
    chain = wrap(chat(), HybridCache()).with_structured_output(Customer, method="function_calling")
    first, second = chain.batch([QUESTION, "Who else? In json."], return_exceptions=True)
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert list(chain.stream(QUESTION))[-1] == GOOD
    assert chain.batch([QUESTION, "Who else? In json."]) == [GOOD, GOOD]


def test_a_streamed_refusal_is_not_kept(server: FakeOpenAI, chat: Maker) -> None:
    server.reply = flaky(bad=1)
    cache = HybridCache()
    chain = CachedChatModel(model=chat(), cache=cache) | FencesParser()
    with pytest.raises(OutputParserException):
        list(chain.stream(QUESTION))
    assert len(cache) == 0
    assert list(chain.stream(QUESTION)) == [GOOD]


@pytest.mark.parametrize("wrap", [with_cached_model, with_langchain_cache])
def test_batches_are_retried_with_new_answers(server: FakeOpenAI, chat: Maker, wrap: Any) -> None:
    server.reply = flaky(bad=3)
    chain = wrap(chat(), HybridCache()) | FencesParser()
    retrying = chain.with_retry(stop_after_attempt=5, wait_exponential_jitter=False)
    assert retrying.batch(["One? json", "Two? json"]) == [GOOD, GOOD]


class MendingParser(BaseOutputParser[Customer]):
    """Asks a model to mend what it cannot parse, as LangChain's fixing parsers do."""

    mender: Any

    def parse(self, text: str) -> Customer:
        for _ in range(3):
            try:
                return Customer(**json.loads(text))
            except ValueError:
                text = self.mender.invoke("Mend this: no json at all")
        raise OutputParserException("cannot be mended")


@pytest.mark.parametrize("wrap", [with_cached_model, with_langchain_cache])
def test_a_parser_that_asks_again_gets_new_answers(
    server: FakeOpenAI, chat: Maker, wrap: Any, ask: Ask
) -> None:
    server.reply = flaky(bad=2)
    cache = HybridCache()
    model = wrap(chat(), cache)
    chain = model | MendingParser(mender=model | StrOutputParser())
    assert ask(chain) == GOOD
    assert len(server.requests) == 3
    assert len(cache) == 1, "only the mended answer is kept"


def test_a_semantic_hit_that_is_refused_leaves_the_cache(server: FakeOpenAI, chat: Maker) -> None:
    cache = HybridCache()
    model = CachedChatModel(model=chat(), cache=cache)
    server.reply = lambda body: "a plain answer"
    model.invoke("How do I reset my password?")
    server.reply = lambda body: GOOD.model_dump_json()
    chain = model | FencesParser()
    with pytest.raises(OutputParserException):
        chain.invoke("How can I reset my password?")
    assert cache.stats.hits == {"semantic": 1}
    assert len(cache) == 0
    assert chain.invoke("How can I reset my password?") == GOOD


def test_a_normalised_hit_that_is_refused_leaves_the_cache(server: FakeOpenAI, chat: Maker) -> None:
    cache = HybridCache()
    model = with_langchain_cache(chat(), cache)
    server.reply = lambda body: "a plain answer"
    model.invoke("How do I reset my password?")
    server.reply = lambda body: GOOD.model_dump_json()
    chain = model | FencesParser()
    with pytest.raises(OutputParserException):
        chain.invoke("how do i reset my password")
    assert cache.stats.hits == {"normalised": 1}
    assert chain.invoke("how do i reset my password") == GOOD


def test_an_answer_stored_without_a_schema_is_checked_when_served(
    server: FakeOpenAI, chat: Maker
) -> None:
    cache = HybridCache()
    model = CachedChatModel(model=chat(), cache=cache)
    server.reply = flaky(bad=1)
    chain = model.with_structured_output(Customer, method="function_calling")
    bound = chain.steps[0].kwargs  # type: ignore[attr-defined]
    model.invoke(QUESTION, **bound)
    assert len(cache) == 1
    assert chain.invoke(QUESTION) == GOOD


def test_waiters_get_no_refused_answer(server: FakeOpenAI, chat: Maker) -> None:
    barrier = threading.Barrier(4)
    server.reply, server.delay = flaky(bad=1), 0.05
    chain = CachedChatModel(model=chat()).with_structured_output(
        Customer, method="function_calling"
    )

    def one(_: int) -> Any:
        barrier.wait()
        try:
            return chain.invoke(QUESTION)
        except ValueError:
            return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert sorted(each is None for each in found) == [False, False, False, True]


def test_a_good_answer_survives_a_late_refusal_of_its_forerunner(
    server: FakeOpenAI, chat: Maker
) -> None:
    """Two callers get one bad answer; the first one's retry is stored before the second refuses."""
    server.reply = flaky(bad=1)
    cache = HybridCache()
    model = CachedChatModel(model=chat(), cache=cache)
    both_have_it, mended = threading.Barrier(2), threading.Event()

    def slow(answer: Any) -> Customer:
        if answer.content.startswith("{"):
            return Customer(**json.loads(answer.content))
        both_have_it.wait(10)
        if threading.current_thread().name.endswith("_1"):
            mended.wait(10)
        raise OutputParserException("no json")

    chain = model | RunnableLambda(slow)

    def one(_: int) -> Customer:
        with pytest.raises(OutputParserException):
            chain.invoke(QUESTION)
        try:
            return chain.invoke(QUESTION)
        finally:
            mended.set()

    with ThreadPoolExecutor(2, thread_name_prefix="caller") as pool:
        model.invoke(QUESTION)
        assert list(pool.map(one, range(2))) == [GOOD, GOOD]
    assert len(cache) == 1


def test_other_processes_never_get_it(server: FakeOpenAI, chat: Maker, tmp_path: Path) -> None:
    server.reply = flaky(bad=1)
    chain = (
        CachedChatModel(model=chat(), cache=HybridCache(path=tmp_path / "c.db")) | FencesParser()
    )
    other = HybridCache(path=tmp_path / "c.db")
    with pytest.raises(OutputParserException):
        chain.invoke(QUESTION)
    assert len(other) == 0
    assert (CachedChatModel(model=chat(), cache=other) | FencesParser()).invoke(QUESTION) == GOOD


def test_a_file_is_changed_in_a_running_loop(
    server: FakeOpenAI, chat: Maker, runner: asyncio.Runner, tmp_path: Path
) -> None:
    server.reply = flaky(bad=1)
    chain = (
        CachedChatModel(model=chat(), cache=HybridCache(path=tmp_path / "c.db")) | FencesParser()
    )

    async def twice() -> Any:
        with pytest.raises(OutputParserException):
            await chain.ainvoke(QUESTION)
        return await chain.ainvoke(QUESTION)

    assert runner.run(twice()) == GOOD


class UnavailableError(RuntimeError):
    """An error of a later service, with its HTTP status."""

    status_code = 503


@pytest.mark.parametrize(
    "error", [UnavailableError("down"), TimeoutError(), ConnectionError(), OSError(28, "full")]
)
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_failure_of_the_transport_keeps_good_answers(
    server: FakeOpenAI, chat: Maker, wrap: Any, error: Exception
) -> None:
    server.reply = lambda body: "fine"

    def fail(answer: Any) -> Any:
        raise error

    chain = wrap(chat(), HybridCache()) | RunnableLambda(fail)
    retrying = chain.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    with pytest.raises(type(error)):
        retrying.invoke(QUESTION)
    assert len(server.requests) == 1


def test_a_failing_model_keeps_the_answers_before_it(server: FakeOpenAI, chat: Maker) -> None:
    cache = HybridCache()
    model = CachedChatModel(model=chat(), cache=cache)
    chain = model | StrOutputParser() | RunnableLambda(lambda _: "another question") | model
    server.failures.extend([])
    model.invoke(QUESTION)
    server.failures.append(400)
    with pytest.raises(Exception, match="400"):
        chain.invoke(QUESTION)
    assert len(cache) == 1


def test_a_failing_tool_keeps_the_answers_before_it(server: FakeOpenAI, chat: Maker) -> None:
    @tool
    def broken(query: str) -> str:
        """Search."""
        raise RuntimeError("the index is gone")

    cache = HybridCache()
    chain = CachedChatModel(model=chat(), cache=cache) | StrOutputParser() | broken
    with pytest.raises(RuntimeError):
        chain.invoke(QUESTION)
    assert len(cache) == 1


def test_a_graph_node_that_retries_gets_a_new_answer(server: FakeOpenAI, chat: Maker) -> None:
    server.reply = flaky(bad=2)
    model = CachedChatModel(model=chat())

    def node(state: dict[str, Any]) -> dict[str, Any]:
        return {"customer": Customer(**json.loads(str(model.invoke(QUESTION).content)))}

    graph = StateGraph(dict)
    policy = RetryPolicy(max_attempts=4, initial_interval=0.001, retry_on=ValueError)
    graph.add_node("node", node, retry_policy=policy)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    assert graph.compile().invoke({})["customer"] == GOOD


def test_an_interrupt_is_no_refusal(server: FakeOpenAI, chat: Maker) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command, interrupt

    model = CachedChatModel(model=chat())

    def node(state: dict[str, Any]) -> dict[str, Any]:
        model.invoke(QUESTION)
        return {"done": interrupt("go on?")}

    graph = StateGraph(dict)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    app = graph.compile(checkpointer=InMemorySaver())
    app.invoke({}, {"configurable": {"thread_id": "1"}})
    app.invoke(Command(resume="yes"), {"configurable": {"thread_id": "1"}})
    assert len(server.requests) == 1


@pytest.mark.parametrize("where", ["middleware", "cached model", "langchain cache"])
def test_an_agents_refused_output_is_not_kept(
    server: FakeOpenAI, chat: Maker, ask: Ask, where: str
) -> None:
    server.reply = flaky(bad=2)
    cache = HybridCache()
    model: Any = chat()
    if where == "cached model":
        model = CachedChatModel(model=model, cache=cache)
    elif where == "langchain cache":
        model = with_langchain_cache(model, cache)
    middleware = [CacheMiddleware(cache)] if where == "middleware" else []
    agent = create_agent(model, middleware=middleware, response_format=ToolStrategy(Customer))
    asked = {"messages": [("user", QUESTION)]}
    assert ask(agent, asked)["structured_response"] == GOOD
    assert len(cache) == 1
    again = ask(agent, asked)
    assert again["structured_response"] == GOOD
    assert not any("-1" in str(message.content) for message in again["messages"])


def test_a_retry_of_another_middleware_gets_a_new_answer(server: FakeOpenAI, chat: Maker) -> None:
    server.reply = flaky(bad=2)

    class Retry(AgentMiddleware[Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            for _ in range(3):
                try:
                    return handler(request)
                except StructuredOutputError:
                    continue
            return handler(request)

    agent = create_agent(
        chat(),
        middleware=[Retry(), CacheMiddleware()],
        response_format=ToolStrategy(Customer, handle_errors=False),
    )
    assert agent.invoke({"messages": [("user", QUESTION)]})["structured_response"] == GOOD


def test_handlers_of_the_user_see_the_same_runs(server: FakeOpenAI, chat: Maker) -> None:
    """A check of the schema is no run."""
    from langchain_core.callbacks import BaseCallbackHandler

    seen: list[str] = []

    class Names(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            seen.append(str(kwargs.get("name")))

    server.reply = flaky(bad=0)

    def names(model: Any) -> list[str]:
        seen.clear()
        chain = model.with_structured_output(Customer, method="function_calling")
        chain.invoke(QUESTION, {"callbacks": [Names()]})
        return list(seen)

    plain = chat()
    cached = CachedChatModel(model=plain)
    assert names(cached) == names(plain)
    assert names(cached) == names(plain)


def test_a_model_called_with_its_own_callbacks_inside_a_chain(
    server: FakeOpenAI, chat: Maker
) -> None:
    """The call names no run around it, but there is one."""
    server.reply = flaky(bad=2)
    model = CachedChatModel(model=chat())

    def ask_and_read(question: str) -> Customer:
        return Customer(**json.loads(str(model.invoke(question, {"callbacks": []}).content)))

    retrying = RunnableLambda(ask_and_read).with_retry(
        stop_after_attempt=4, wait_exponential_jitter=False
    )
    assert retrying.invoke(QUESTION) == GOOD


def test_a_stream_that_a_parser_makes_nothing_of_is_refused(
    server: FakeOpenAI, chat: Maker, runner: asyncio.Runner
) -> None:
    """LangChain's parsers raise no error in a stream: it just yields nothing."""
    server.reply = flaky(bad=2)
    chain = CachedChatModel(model=chat()) | PydanticOutputParser(pydantic_object=Customer)

    async def streamed() -> list[Any]:
        return [each async for each in chain.astream(QUESTION)]

    assert list(chain.stream(QUESTION)) == []
    assert runner.run(streamed()) == []
    assert list(chain.stream(QUESTION))[-1] == GOOD
    assert runner.run(streamed())[-1] == GOOD
    assert len(server.requests) == 3


def test_a_parser_whose_output_is_none_refuses_nothing(server: FakeOpenAI, chat: Maker) -> None:
    class Nothing(BaseOutputParser[None]):
        def parse(self, text: str) -> None:
            return None

    chain = CachedChatModel(model=chat()) | Nothing()
    for _ in range(2):
        chain.invoke(QUESTION)
    assert len(server.requests) == 1


@pytest.mark.parametrize("where", ["middleware", "cached model", "langchain cache"])
def test_a_tool_call_that_its_schema_refuses_is_not_kept(
    server: FakeOpenAI, chat: Maker, ask: Ask, where: str
) -> None:
    """The agent tells its model of the error, so that no run fails but the tool's."""

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    number = itertools.count()

    def reply(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]
        if last["role"] == "tool" and last["content"] == "3":
            return "It is 3."
        now = next(number)
        calls = [{"a": 1, "b": 2}, {"a": 1, "b": "two" if now == 0 else 2}]
        return {"tool_calls": [tool_call("add", each, f"call_{now}_{each['b']}") for each in calls]}

    server.reply = reply
    cache = HybridCache()
    model: Any = chat()
    if where == "cached model":
        model = CachedChatModel(model=model, cache=cache)
    elif where == "langchain cache":
        model = with_langchain_cache(model, cache)
    middleware = [CacheMiddleware(cache)] if where == "middleware" else []
    agent = create_agent(model, [add], middleware=middleware)
    asked = {"messages": [("user", "What is 1 + 2?")]}
    texts = [str(message.content) for message in ask(agent, asked)["messages"]]
    assert any("valid integer" in text for text in texts)
    again = [str(message.content) for message in ask(agent, asked)["messages"]]
    assert again[-1] == "It is 3."
    assert not any("valid integer" in text for text in again)
