"""Which answers a failed run refuses, and which errors say nothing about an answer."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, ValidationError

from llm_optimizers.caching import GivenAnswer
from llm_optimizers.caching.run_tree import RunTree, blames_answer
from llm_optimizers.errors import ConfigurationError, DeadlineError


class Recorder:
    """A cache that notes what is refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def refuse(self, answer: GivenAnswer) -> None:
        self.refused.append(answer.key)

    def answer(self, key: str) -> GivenAnswer:
        return GivenAnswer(source=self, key=key, entry=key, digest=b"")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_a_parser_refuses_what_the_nearest_run_was_given(recorder: Recorder) -> None:
    tree = RunTree()
    tree.start("outer", None)
    tree.give(["outer"], recorder.answer("first"))
    tree.start("chain", "outer")
    tree.give(["chain"], recorder.answer("second"))
    tree.start("lambda", "chain")
    tree.start("parser", "lambda", parsing=True)
    tree.fail("parser", ValueError())
    assert recorder.refused == ["second"]
    tree.end("lambda")
    tree.end("chain")
    tree.fail("outer", ValueError())
    assert recorder.refused == ["second", "first"]


def test_a_run_hands_its_answers_up(recorder: Recorder) -> None:
    tree = RunTree()
    tree.start("chain", None)
    tree.start("model", "chain")
    tree.give(["gone", "model"], recorder.answer("first"))
    tree.end("model")
    tree.fail("chain", KeyError("name"))
    assert recorder.refused == ["first"]
    tree.fail("chain", KeyError("name"))
    tree.end("chain")
    assert not tree.is_open("chain")
    assert recorder.refused == ["first"]


def test_an_excused_error_refuses_nothing_as_far_as_it_is_raised(recorder: Recorder) -> None:
    tree, error = RunTree(), RuntimeError("a tool")
    tree.start("graph", None)
    tree.give(["graph"], recorder.answer("first"))
    tree.start("node", "graph")
    tree.start("tool", "node")
    tree.fail("tool", error, excused=True)
    tree.fail("node", error)
    tree.fail("graph", error)
    assert recorder.refused == []


def test_a_parser_that_asks_a_model_refuses_what_it_was_given(recorder: Recorder) -> None:
    tree = RunTree()
    tree.start("chain", None)
    tree.give(["chain"], recorder.answer("first"))
    tree.start("parser", "chain", parsing=True)
    tree.start("inner", "parser", parsing=True)
    assert recorder.refused == []
    tree.start("mender", "parser")
    tree.ask("mender")
    tree.give(["mender"], recorder.answer("second"))
    tree.end("mender")
    assert recorder.refused == ["first"]
    tree.start("mender again", "parser")
    tree.ask("mender again")
    assert recorder.refused == ["first", "second"]
    tree.ask("chain")
    tree.ask(None)
    assert recorder.refused == ["first", "second"]


def test_runs_that_never_end_are_forgotten(recorder: Recorder) -> None:
    tree = RunTree()
    for number in range(20_000):
        tree.start(number, None)
    assert not tree.is_open(0)
    assert tree.is_open(19_999)
    tree.start("own parent", "own parent")
    assert tree.path("own parent") == ("own parent",)


class Row(BaseModel):
    """A schema."""

    number: int


def raised(error: Exception, *, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def validation_error() -> Exception:
    try:
        Row(number="x")  # type: ignore[arg-type]
    except ValidationError as error:
        return error
    raise AssertionError


def while_handling(first: Exception, second: Exception) -> Exception:
    """As a parser in a fallback raises it."""
    second.__context__ = first
    return second


class RateLimitError(Exception):
    """As providers name it."""


BLAMED = [
    ValueError("no json"),
    KeyError("name"),
    validation_error(),
    raised(ValueError("no customer"), cause=validation_error()),
    while_handling(RateLimitError(), ValueError("no json")),
    RuntimeError("refused"),
    AssertionError(),
]
NOT_BLAMED = [
    RateLimitError(),
    TimeoutError(),
    ConnectionResetError(),
    FileNotFoundError("disk"),
    raised(ValueError("wrapped"), cause=ConnectionError()),
    raised(RuntimeError("wrapped"), cause=RateLimitError()),
    DeadlineError("too late"),
    ConfigurationError("setting"),
    asyncio.CancelledError(),
    KeyboardInterrupt(),
    GeneratorExit(),
]


@pytest.mark.parametrize("error", BLAMED, ids=repr)
def test_errors_that_an_answer_may_cause(error: BaseException) -> None:
    assert blames_answer(error)


@pytest.mark.parametrize("error", NOT_BLAMED, ids=repr)
def test_errors_that_say_nothing_about_an_answer(error: BaseException) -> None:
    assert not blames_answer(error)


def test_a_parser_that_makes_nothing_of_a_stream_refuses_it(recorder: Recorder) -> None:
    tree = RunTree()
    tree.start("chain", None)
    tree.give(["chain"], recorder.answer("first"))
    tree.start("other", "chain")
    tree.end("other", empty=True)
    assert recorder.refused == []
    tree.start("parser", "chain", parsing=True)
    tree.end("parser", empty=True)
    assert recorder.refused == ["first"]


def test_a_tool_refuses_the_last_answer_before_it(recorder: Recorder) -> None:
    tree = RunTree()
    tree.start("agent", None)
    tree.give(["agent"], recorder.answer("first"))
    tree.give(["agent"], recorder.answer("second"))
    tree.start("tool", "agent")
    tree.refuse_latest("tool")
    tree.refuse_latest("gone")
    assert recorder.refused == ["second"]
    tree.refuse_latest("tool")
    assert recorder.refused == ["second"] * 2, "another call of the same answer"
