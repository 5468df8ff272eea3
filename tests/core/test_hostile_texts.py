"""Whole functions on texts of one repeated piece: time in proportion to the length, no error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llm_optimizers.caching.answers.hits import split_for_streaming
from llm_optimizers.caching.keys.key import cache_key
from llm_optimizers.caching.matching.guards import vetoes
from llm_optimizers.evidence.comparison import (
    same_answer,
    same_final_answer,
    same_json,
    same_numbers,
    same_words,
)
from llm_optimizers.prompts import (
    ContextBudget,
    Example,
    ExampleSelector,
    Passage,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.prompts.audit import audit
from llm_optimizers.text import sentences
from llm_optimizers.types import ChatRequest, Message
from support.patterns import grows_too_fast

PIECES = (
    *(", ", " ", "\n", " \n", "{", "(", "[", '{"a":', '["', "<a", "<a>", "</a>", "`", "```\n"),
    *('"', '\\"', "'", "| ", "| a | b |\n", "- ", "- a\n", "7", "7,", "a", "a.", "A b ", "a: "),
    *("key: value\n", "# a\n", "Question: a\n", "? ", ".", "\u200b", "\u0e01", "\u4e2d", "e\u0301"),
    *("\ud83d", "\r\n", "=====\n", "[1] a\n", "Document 1: ", "<table><tr>", "a\tb\n", " please"),
    *("page_content='a' metadata={\n", "\\boxed{", "Example 1: a\n", "x = f(y)\n", "answer "),
)
OPTIMIZER = RequestOptimizer(context=ContextBudget(max_tokens=10))
COUNTER = TokenCounter()
SELECTOR = PassageSelector()


def request(user: str, system: str = "Answer briefly.") -> ChatRequest:
    messages = (Message(role="system", content=system), Message(role="user", content=user))
    return ChatRequest(model="gpt-4o", messages=messages)


def with_context(text: str) -> ChatRequest:
    return request(f"Answer from the context.\n\nContext:\n{text}\n\nQuestion: What is x?")


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "optimize a user's text": lambda text: OPTIMIZER.optimize(request(text)),
    "optimize a context": lambda text: OPTIMIZER.optimize(with_context(text)),
    "optimize tags": lambda text: OPTIMIZER.optimize(
        request(f"Answer.\n<context>\n{text}\n</context>\nWhat is x?")
    ),
    "optimize a system prompt": lambda text: OPTIMIZER.optimize(request("Go on.", text)),
    "audit": lambda text: audit(text, model="gpt-4o", counter=COUNTER),
    "key": lambda text: cache_key(request(text), embedder="e"),
    "key of a system prompt": lambda text: cache_key(request("Go on.", text), embedder="e"),
    "key of a template": lambda text: cache_key(with_context(text), embedder="e"),
    "guards": lambda text: vetoes(text, f"{text} x"),
    "count": lambda text: COUNTER.count(text, "gpt-4o"),
    "select": lambda text: SELECTOR.select("What is x?", [Passage(text=text)], max_tokens=50),
    "sentences": sentences,
    "stream": split_for_streaming,
    "same json": lambda text: same_json(text, f"{text} "),
    "same numbers": lambda text: same_numbers(text, f"{text} "),
    "same words": lambda text: same_words(text, f"{text} b"),
    "same final answer": lambda text: same_final_answer(text, f"{text} "),
    "same answer": lambda text: same_answer(text, f"{text} "),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_with_the_text(name: str) -> None:
    run = FUNCTIONS[name]
    run("Words that load what is loaded once. 1 + 1 = 2")
    assert [piece for piece in PIECES if grows_too_fast(run, ("", piece, "\nEnd"))] == []


def test_a_quadratic_function_is_found() -> None:
    def slow(text: str) -> int:
        return sum(text.count("a", 0, at) for at in range(0, len(text), 2))

    assert grows_too_fast(slow, ("", "a", ""))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 50_000 + "]" * 50_000])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_deep_nesting_is_text_like_any_other(name: str, text: str) -> None:
    FUNCTIONS[name](text)


def test_a_large_pool_of_examples_takes_time_in_proportion() -> None:
    def choose(text: str) -> None:
        lines = [f"question {at} about {line}" for at, line in enumerate(text.splitlines())]
        pool = [Example(input=line, output="answer") for line in lines]
        ExampleSelector(most=3, max_tokens=4_000).select("question about a", pool)

    choose("a\nb")
    assert not grows_too_fast(choose, ("", "a\n", ""))
