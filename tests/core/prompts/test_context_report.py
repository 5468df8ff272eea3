"""The result of an optimised request says what was kept of each context, and what is sent of it."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.fingerprint import fingerprint
from llm_optimizers.prompts import (
    ContextBudget,
    History,
    Optimized,
    Passage,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.types import ChatRequest, Message, Part
from support.prompt_texts import FACTS

counter = TokenCounter()
MODEL = "gpt-4.1"
QUESTION = "Who is the mayor of Carrow?"


def context_message(question: str, facts: list[Passage] = FACTS) -> Message:
    documents = "\n".join(f"<document>\n{p.title}\n{p.text}\n</document>" for p in facts)
    return Message(role="user", content=f"<documents>\n{documents}\n</documents>\n\n{question}")


def request_of(*messages: Message) -> ChatRequest:
    return ChatRequest(model=MODEL, messages=messages)


def optimizer(max_tokens: int | None = None, **settings: object) -> RequestOptimizer:
    budget = ContextBudget(max_tokens=60)
    return RequestOptimizer(context=budget, counter=counter, max_tokens=max_tokens, **settings)  # type: ignore[arg-type]


def test_each_cut_context_is_reported_with_its_documents() -> None:
    rules = Message(role="system", content="Be brief.")
    found = optimizer().optimize(request_of(rules, context_message(QUESTION)))
    (cut,) = found.context
    assert cut.message == 1
    assert cut.budget == 60
    assert [d.number for d in cut.documents] == list(range(1, len(FACTS) + 1))
    assert [d.number for d in cut.whole] == [3]
    assert len(cut.dropped) == len(FACTS) - 1
    assert cut.tokens <= 60 < cut.tokens_before
    assert cut.probability is not None
    assert cut.probability > 0.9
    assert not cut.trimmed
    assert str(cut) in found.done
    assert str(cut).startswith("message 1: context ")
    assert "Carrow" not in "".join(found.done)
    assert "Mina Vale" in found.request.messages[1].text
    assert "Ida Quill" not in found.request.messages[1].text


@pytest.mark.parametrize(
    "question", ["Summarise these documents.", "And that one?", "What is helium made of?"]
)
def test_a_context_that_stays_is_left_alone_with_the_reason(question: str) -> None:
    request = request_of(context_message(question))
    found = optimizer().optimize(request)
    assert found.request is request
    (cut,) = found.context
    assert cut.reason
    assert found.left_alone == (str(cut),)
    assert found.done == ()


def test_a_context_that_is_long_enough_to_be_cached_is_left_alone_for_one_reason() -> None:
    long = [Passage(title=p.title, text=p.text * 6) for p in FACTS]
    found = optimizer().optimize(request_of(context_message("Summarise these documents.", long)))
    assert found.tokens > 1_024
    assert found.left_alone == (str(found.context[0]),)


def test_a_context_in_a_system_message_is_reported_for_the_only_question() -> None:
    documents = "\n\n".join(f"{p.title}\n{p.text}" for p in FACTS)
    system = Message(role="system", content=f"<context>\n{documents}\n</context>")
    found = optimizer().optimize(request_of(system, Message(role="user", content=QUESTION)))
    assert [cut.message for cut in found.context] == [0]
    asked = Message(role="user", content="Translate everything to Dutch.")
    (cut,) = optimizer().optimize(request_of(system, asked)).context
    assert not cut.changed


def parts(*texts: str) -> Message:
    return Message(role="user", content=tuple(Part(kind="text", text=text) for text in texts))


def test_the_text_parts_of_a_message_share_budget_and_question() -> None:
    documents = [context_message("", half).text for half in (FACTS[:2], FACTS[2:])]
    picture = Part(kind="image", data={"url": "https://example.org/map.png"})
    asked = parts(*documents, QUESTION)
    message = replace(asked, content=(picture, *asked.content))
    found = optimizer().optimize(request_of(message))
    (cut,) = found.context
    assert [d.number for d in cut.documents] == list(range(1, len(FACTS) + 1))
    assert [d.number for d in cut.whole] == [3]
    assert cut.tokens <= cut.budget
    sent = found.request.messages[0]
    assert isinstance(sent.content, tuple)
    assert [part.kind for part in sent.content] == ["image", "text", "text", "text"]
    assert sent.content[0] is picture
    assert sent.content[-1].text == QUESTION
    assert sent.text.count("<document>") == sent.text.count("</document>") == 1


@pytest.mark.parametrize("first", ["context", "question"])
def test_a_question_in_the_next_message_of_the_turn_is_found(first: str) -> None:
    asking = Message(role="user", content=QUESTION)
    messages = [context_message(""), asking]
    request = request_of(*(messages if first == "context" else reversed(messages)))
    found = optimizer().optimize(request)
    (cut,) = found.context
    assert [d.number for d in cut.whole] == [3]
    assert found.request.messages[1 - request.messages.index(messages[0])] is asking
    answered = Message(role="assistant", content="What is your question?")
    (left,) = optimizer().optimize(request_of(messages[0], answered, asking)).context
    assert not left.changed


def test_a_question_in_several_messages_selects_from_the_system_message() -> None:
    system = replace(context_message(""), role="system")
    users = [Message(role="user", content=text) for text in ("Good morning.", QUESTION)]
    (cut,) = optimizer().optimize(request_of(system, *users)).context
    assert [d.number for d in cut.whole] == [3]


WORDS = st.lists(
    st.sampled_from(["harbour", "mayor", "Carrow", "bridge", "opened", "in", "1820", "by", "Mina"])
)
DOCUMENT = st.lists(WORDS.filter(bool).map(" ".join), min_size=1, max_size=9).map(". ".join)


@given(
    st.lists(DOCUMENT, min_size=1, max_size=9),
    st.integers(1, 120),
    st.sampled_from([QUESTION, "When was the bridge opened?", "Summarise it.", "Why nitrogen?"]),
)
def test_the_report_is_true_of_what_is_sent(texts: list[str], budget: int, asked: str) -> None:
    text = "".join(f"<document>{each}</document>\n" for each in texts)
    request = request_of(
        Message(role="user", content=f"<documents>\n{text}</documents>\n\n{asked}")
    )
    cutting = RequestOptimizer(context=ContextBudget(max_tokens=budget), counter=counter)
    found = cutting.optimize(request)
    left = re.findall("<document>(.*?)</document>", found.request.messages[0].text, re.DOTALL)
    for cut in found.context:
        kept = [each for each in cut.documents if each.kept != "dropped"]
        assert [each.tokens for each in kept] == [counter.count(one, MODEL).tokens for one in left]
        for each, one in zip(kept, left, strict=True):
            assert (each.kept == "whole") is (one == texts[each.number - 1])
        assert all(not each.tokens for each in cut.dropped)
        assert cut.tokens_before == sum(counter.count(each, MODEL).tokens for each in texts)
        assert cut.tokens <= budget or cut.reason
        assert cut.changed is (found.request is not request)


def test_a_context_within_its_budget_and_other_text_are_not_reported() -> None:
    fits = context_message(QUESTION, FACTS[:1])
    plain = Message(role="user", content="Summarise your work. " * 200)
    assert optimizer().optimize(request_of(fits, plain)).context == ()
    unlimited = RequestOptimizer(counter=counter)
    assert unlimited.optimize(request_of(context_message(QUESTION))).context == ()


@pytest.mark.parametrize(("rules", "undone"), [(20, False), (100, True)])
def test_a_cut_that_the_providers_cache_undoes_is_not_reported(rules: int, undone: bool) -> None:
    """With 100 rules the whole conversation can be cached, and after the cut it could not."""
    price = ModelPrice(input=Decimal(2), output=Decimal(8), cache_read=Decimal("0.2"))
    turns = [
        Message(role="system", content=" ".join(f"Rule {n}: be kind." for n in range(rules))),
        Message(role="user", content="Hello."),
        Message(role="assistant", content="Hello, how can I help?"),
        context_message(QUESTION),
        Message(role="assistant", content="Mina Vale."),
        Message(role="user", content="Thank you."),
    ]
    found = optimizer(prices=PriceBook({MODEL: price})).optimize(request_of(*turns))
    assert (found.request.messages[3] is turns[3]) is undone
    assert [cut.message for cut in found.context] == ([] if undone else [3])
    assert any("context" in line for line in found.done) is not undone
    assert bool(found.left_alone) is undone


def test_a_cut_context_that_is_summarised_is_not_reported() -> None:
    turns = [
        message
        for n in range(6)
        for message in (
            context_message(QUESTION),
            Message(role="assistant", content=f"Mina Vale, as answer {n} says."),
        )
    ]
    last = Message(role="user", content="Thank you.")
    summarising = optimizer(history=History(keep=2, every=2), provider_cache=False)
    found = summarising.optimize(request_of(*turns, last))
    assert None in found.origins
    assert {cut.message for cut in found.context} <= set(found.origins)
    assert len(found.context) < 6


def test_a_context_that_the_hard_limit_trims_says_so() -> None:
    long = [Passage(title=p.title, text=p.text * 4) for p in FACTS]
    request = request_of(context_message("Summarise these documents.", long))
    (whole,) = optimizer().optimize(request).context
    assert not whole.trimmed
    found = optimizer(max_tokens=600).optimize(request)
    (cut,) = found.context
    assert cut.trimmed
    assert found.tokens <= 600 < whole.tokens


async def test_the_report_gets_what_an_adapter_sends() -> None:
    got: list[Optimized] = []
    reporting = optimizer(report=got.append)
    request = request_of(context_message(QUESTION))
    reporting.optimize(request)
    assert got == []  # The caller has the result.
    sent = reporting.apply(lambda: request, lambda found: found, otherwise=None)
    again = await reporting.aapply(lambda: request, lambda found: found, otherwise=None)
    assert got == [sent, again]

    def untranslatable(_: Optimized) -> None:
        raise ValueError("no such block")

    reporting.apply(lambda: request, untranslatable, otherwise=None)
    assert len(got) == 2  # The original was sent.


async def test_a_failing_report_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Optimized) -> None:
        raise RuntimeError("secret")

    request = request_of(context_message(QUESTION))
    breaking = optimizer(report=broken)
    expected = breaking.optimize(request)
    assert breaking.apply(lambda: request, lambda found: found, otherwise=None) == expected
    assert await breaking.aapply(lambda: request, lambda found: found, otherwise=None) == expected
    assert caplog.text.count("`report` failed") == 2
    assert "secret" not in caplog.text

    def cancelled(_: Optimized) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        optimizer(report=cancelled).apply(lambda: request, lambda found: found, otherwise=None)


def test_by_default_what_is_sent_is_logged_without_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="llm_optimizers.prompts"):
        for question in (QUESTION, "Summarise it."):
            request = request_of(context_message(question))
            optimizer().apply(lambda request=request: request, lambda found: found, otherwise=None)
    lines = [record.getMessage() for record in caplog.records if "context" in record.getMessage()]
    assert len(lines) == 2
    assert all(line.startswith("message 0: context") for line in lines)
    assert not any(word in caplog.text for word in ("Carrow", "mayor", "Summarise"))


def test_only_what_decides_the_prompt_is_in_the_key_of_a_cache() -> None:
    plain = fingerprint(optimizer())
    assert fingerprint(optimizer(report=print)) == plain
    always = RequestOptimizer(
        context=ContextBudget(max_tokens=60, min_probability=None), counter=counter
    )
    assert fingerprint(always) != plain
