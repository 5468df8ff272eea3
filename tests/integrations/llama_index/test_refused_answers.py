"""An answer that a program, parser or schema refused is never served again."""

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
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.tools import FunctionTool
from llama_index.core.types import BaseOutputParser
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, Field, field_validator

from llama_index_llm_optimizers import CachedLLM, HybridCache, RoutedLLM
from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
PROMPT = PromptTemplate("Who asked for {topic}? Answer in json.")


class Customer(BaseModel):
    """A customer."""

    name: str
    age: int = Field(ge=0)


GOOD = Customer(name="Ada", age=36)
Program = Callable[[Any], Any]


def flaky(bad: int) -> Callable[[dict[str, Any]], Any]:
    """Give this many answers that the schema refuses, then good ones."""
    number = itertools.count(1)

    def reply(body: dict[str, Any]) -> Any:
        now = next(number)
        arguments = {"name": "Ada", "age": -now if now <= bad else 36}
        if body.get("tools"):
            return {"tool_calls": [tool_call("Customer", arguments, f"call_{now}")]}
        return json.dumps(arguments)

    return reply


def text_program(llm: Any) -> LLMTextCompletionProgram[Any]:
    return LLMTextCompletionProgram.from_defaults(
        output_parser=PydanticOutputParser(output_cls=Customer), prompt=PROMPT, llm=llm
    )


def function_program(llm: Any) -> FunctionCallingProgram[Any]:
    return FunctionCallingProgram.from_defaults(output_cls=Customer, prompt=PROMPT, llm=llm)


class JsonParser(BaseOutputParser):
    """A user's own parser."""

    def parse(self, output: str) -> Any:
        return Customer(**json.loads(output))


def last(objects: Any) -> Any:
    *_, found = objects
    return found


async def alast(objects: Any) -> Any:
    return [each async for each in await objects][-1]


def structured_chat(llm: Any) -> Any:
    return llm.as_structured_llm(Customer).chat([ChatMessage("Who asked for it?")]).raw


async def astructured_chat(llm: Any) -> Any:
    return (await llm.as_structured_llm(Customer).achat([ChatMessage("Who asked for it?")])).raw


SYNC: dict[str, Program] = {
    "structured_predict": lambda llm: llm.structured_predict(Customer, PROMPT, topic="it"),
    "as_structured_llm": structured_chat,
    "text program": lambda llm: text_program(llm)(topic="it"),
    "function program": lambda llm: function_program(llm)(topic="it"),
}
ASYNC: dict[str, Program] = {
    "astructured_predict": lambda llm: llm.astructured_predict(Customer, PROMPT, topic="it"),
    "as_structured_llm, async": astructured_chat,
    "text program, async": lambda llm: text_program(llm).acall(topic="it"),
    "function program, async": lambda llm: function_program(llm).acall(topic="it"),
}
STREAMS: dict[str, Program] = {
    "stream_structured_predict": lambda llm: last(
        llm.stream_structured_predict(Customer, PROMPT, topic="it")
    ),
    "as_structured_llm, stream": lambda llm: (
        last(llm.as_structured_llm(Customer).stream_chat([ChatMessage("Who asked for it?")])).raw
    ),
}
# "gpt-4o-mini" has structured output, "gpt-4" calls a tool for it.
MODELS = ["gpt-4o-mini", "gpt-4"]


def asked(runner: OpenAIRunner, program: Program, llm: Any) -> Any:
    answer = program(llm)
    return runner.run(answer) if asyncio.iscoroutine(answer) else answer


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("program", [*SYNC.values(), *ASYNC.values()], ids=[*SYNC, *ASYNC])
def test_a_loop_gets_a_new_answer(
    server: FakeOpenAI, runner: OpenAIRunner, program: Program, model: str
) -> None:
    server.reply = flaky(bad=2)
    cache = HybridCache()
    llm = CachedLLM(runner.llm(model), cache)
    for _ in range(2):
        with pytest.raises(ValueError, match="age"):
            asked(runner, program, llm)
        assert len(cache) == 0
    assert asked(runner, program, llm) == GOOD
    assert asked(runner, program, llm) == GOOD
    assert len(server.requests) == 3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("program", STREAMS.values(), ids=STREAMS)
@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # in LlamaIndex
def test_a_stream_that_ends_incomplete_is_not_kept(
    server: FakeOpenAI, runner: OpenAIRunner, program: Program, model: str
) -> None:
    server.reply = flaky(bad=1)
    cache = HybridCache()
    llm = CachedLLM(runner.llm(model), cache)
    assert asked(runner, program, llm) != GOOD
    assert len(cache) == 0
    assert asked(runner, program, llm).model_dump() == GOOD.model_dump()
    assert asked(runner, program, llm).model_dump() == GOOD.model_dump()
    assert len(server.requests) == 2


def test_an_async_stream_that_ends_incomplete_is_not_kept(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    server.reply = flaky(bad=1)
    cache = HybridCache()
    llm = CachedLLM(runner.llm(), cache)

    def ask() -> Any:
        return runner.run(alast(llm.astream_structured_predict(Customer, PROMPT, topic="it")))

    assert ask() != GOOD
    assert len(cache) == 0
    assert ask().model_dump() == GOOD.model_dump()


def test_structured_output_is_stored_once_its_class_accepts_it(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    cache = HybridCache()
    llm = CachedLLM(runner.llm(), cache)
    stored: list[int] = []

    class Watched(BaseModel):
        age: int

        @field_validator("age")
        @classmethod
        def look(cls, value: int) -> int:
            stored.append(len(cache))
            return value

    server.reply = flaky(bad=0)
    llm.structured_predict(Watched, PROMPT, topic="it")
    runner.run(llm.astructured_predict(Watched, PROMPT, topic="that"))
    assert len(cache) == 2
    assert stored == [0, 1]
    server.reply = lambda body: {"content": '{"age": 1}'}
    list(llm.stream_structured_predict(Watched, PROMPT, topic="this"))
    assert len(cache) == 3
    assert set(stored[2:]) == {2}
    llm.structured_predict(Watched, PROMPT, topic="it")
    assert len(server.requests) == 3


def test_an_output_parser_of_the_llm(server: FakeOpenAI, runner: OpenAIRunner) -> None:
    server.reply = flaky(bad=1)
    cache = HybridCache()
    llm = CachedLLM(runner.llm(output_parser=JsonParser()), cache)
    with pytest.raises(ValueError, match="age"):
        llm.predict(PROMPT, topic="it")
    assert len(cache) == 0
    llm.predict(PROMPT, topic="it")
    assert len(cache) == 1


def test_a_router_inside_and_outside(server: FakeOpenAI, runner: OpenAIRunner) -> None:
    for wrap in (
        lambda cache: CachedLLM(RoutedLLM(models={"a": runner.llm()}), cache),
        lambda cache: RoutedLLM(models={"a": CachedLLM(runner.llm(), cache)}),
    ):
        server.reply = flaky(bad=1)
        cache = HybridCache()
        llm = wrap(cache)
        with pytest.raises(ValueError, match="age"):
            llm.structured_predict(Customer, PROMPT, topic="it")
        assert len(cache) == 0
        assert llm.structured_predict(Customer, PROMPT, topic="it") == GOOD


def test_other_processes_never_get_it(
    server: FakeOpenAI, runner: OpenAIRunner, tmp_path: Path
) -> None:
    server.reply = flaky(bad=1)
    llm = CachedLLM(runner.llm(), HybridCache(path=tmp_path / "c.db"))
    with pytest.raises(ValueError, match="age"):
        llm.structured_predict(Customer, PROMPT, topic="it")
    other = CachedLLM(runner.llm(), HybridCache(path=tmp_path / "c.db"))
    assert other.structured_predict(Customer, PROMPT, topic="it") == GOOD


def test_a_failure_of_the_provider_keeps_good_answers(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    cache = HybridCache()
    llm = CachedLLM(runner.llm(), cache)

    @get_dispatcher().span
    def two_calls(error: int | None) -> None:
        llm.complete("one question")
        if error is not None:
            server.failures.append(error)
        llm.complete(f"another question, {error}")

    for error in (401, 429, 503):
        with pytest.raises(Exception, match=str(error)):
            two_calls(error)
    assert len(cache) == 1

    @get_dispatcher().span
    def own_code() -> None:
        llm.complete("one question")
        raise ValueError("not what was asked for")

    with pytest.raises(ValueError, match="asked for"):
        own_code()
    assert len(cache) == 0


def predicted(llm: Any) -> Any:
    return llm.structured_predict(Customer, PROMPT, topic="it")


def streamed(llm: Any) -> Any:
    *_, found = llm.stream_structured_predict(Customer, PROMPT, topic="it")
    return found if isinstance(found, Customer) else None


@pytest.mark.parametrize("program", [predicted, streamed])
def test_waiters_get_no_refused_answer(
    server: FakeOpenAI, runner: OpenAIRunner, program: Program
) -> None:
    together, number = threading.Barrier(4), itertools.count()
    server.delay = 0.1

    def reply(body: dict[str, Any]) -> str:
        return json.dumps({"name": "Ada", "age": 36 if next(number) else -1})

    server.reply = reply
    llm = CachedLLM(runner.llm())

    def one(_: int) -> Any:
        together.wait(10)
        try:
            return program(llm)
        except ValueError:
            return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert sorted(each is None for each in found) == [False, False, False, True]


def test_waiters_share_an_answer_that_its_class_accepts(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    together = threading.Barrier(4)
    server.delay, server.reply = 0.1, flaky(bad=0)
    llm = CachedLLM(runner.llm())

    def one(_: int) -> Any:
        together.wait(10)
        return predicted(llm)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [GOOD] * 4
    assert len(server.requests) == 1
    assert len(llm.cache) == 1


def test_nobody_waits_for_the_reader_of_a_structured_stream(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    server.reply = flaky(bad=0)
    llm = CachedLLM(runner.llm(), HybridCache(wait_timeout=100_000))
    held = llm.stream_structured_predict(Customer, PROMPT, topic="it")
    whole = next(each for each in held if isinstance(each, Customer))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(streamed, llm).result(30) == whole
    held.close()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(streamed, llm).result(30) == whole
    assert len(server.requests) == 2


def test_a_tool_call_that_its_schema_refuses_is_not_kept(
    server: FakeOpenAI, runner: OpenAIRunner
) -> None:
    """The agent tells its LLM of the error, so that no span fails but the tool's."""
    number = itertools.count()

    def reply(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]
        if last["role"] == "tool" and last["content"] == "Ada":
            return "It is Ada."
        now = next(number)
        arguments = {"name": "Ada", "age": 36 if now else -1}
        return {"tool_calls": [tool_call("find", arguments, f"call_{now}")]}

    def find(**arguments: Any) -> str:
        """Find a customer."""
        return Customer(**arguments).name

    server.reply = reply
    tool = FunctionTool.from_defaults(find, fn_schema=Customer)
    llm = CachedLLM(runner.llm())

    async def ask() -> list[str]:
        agent = FunctionAgent(llm=llm, tools=[tool], streaming=False)
        answer = await agent.run("Who asked for it?")
        return [str(call.tool_output.content) for call in answer.tool_calls]

    assert len(runner.run(ask())) == 2
    assert runner.run(ask()) == ["Ada"]
