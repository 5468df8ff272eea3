"""Whole requests: cheaper in every turn, with the same question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.prompts import History, RequestOptimizer, Summariser, TokenCounter
from llm_optimizers.prompts.context import ContextBudget
from llm_optimizers.prompts.provider_cache import (
    CacheRules,
    MessageTokens,
    cache_rules,
    call_cost,
    plan_changes,
)
from llm_optimizers.types import ChatRequest, Message, Part
from support.prompt_texts import agent_conversation, assert_pairs_are_whole

counter = TokenCounter()
MODEL = "gpt-4.1"
CONTEXT = '<context>{\n    "a": 1,\n    "b": [\n        2,\n        3\n    ]\n}</context>'


def prices(read: float, write: float = 1.0) -> PriceBook:
    price = ModelPrice(
        input=Decimal(2),
        output=Decimal(8),
        cache_read=Decimal(str(2 * read)),
        cache_write=Decimal(str(2 * write)),
    )
    return PriceBook({MODEL: price})


class ProviderCache:
    """A provider that caches the prefix of the previous call, and bills."""

    def __init__(self, rules: CacheRules) -> None:
        self.rules = rules
        self.before: Sequence[Message] = ()

    def bill(self, messages: Sequence[Message]) -> float:
        sizes = [counter.count_message(m, MODEL).tokens for m in messages]
        same = 0
        for old, new in zip(self.before, messages, strict=False):
            if old != new:
                break
            same += 1
        self.before = messages
        return call_cost(self.rules, sum(sizes), sum(sizes[:same]))


@pytest.mark.parametrize("read", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("summarise", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_bill_is_never_higher_at_any_of_thirty_turns(
    read: float, summarise: bool, seed: int
) -> None:
    book = prices(read)
    rules = cache_rules(MODEL, book)
    assert rules is not None
    assert float(rules.read) == read
    optimizer = RequestOptimizer(
        prices=book, counter=counter, history=History(summary_tokens=120) if summarise else None
    )
    messages = agent_conversation(30, seed)
    plain, ours = ProviderCache(rules), ProviderCache(rules)
    paid = [0.0, 0.0]
    for end, message in enumerate(messages):
        if message.role != "assistant":
            continue
        request = ChatRequest(model=MODEL, messages=tuple(messages[:end]))
        found = optimizer.optimize(request)
        paid[0] += plain.bill(request.messages)
        paid[1] += ours.bill(found.request.messages)
        assert paid[1] <= paid[0] + 1e-6
        assert end % 7 or optimizer.optimize(request) == found
        assert_pairs_are_whole(found.request.messages)
    assert paid[1] < (0.8 if summarise and read == 0.5 else 0.99) * paid[0]


def test_a_cached_prefix_is_kept_if_that_is_cheaper() -> None:
    """1,500 tokens at 0.1 cost 150; shrunk to 900, below the minimum, they would cost 900."""
    rules = CacheRules(minimum=1024, step=128, read=Decimal("0.1"), write=Decimal(1))
    messages = [
        MessageTokens(original=1500, shortened=900),
        MessageTokens(original=20, shortened=20),
    ]
    plan = plan_changes(messages, [1, 2], rules=rules)
    assert plan.shortened == frozenset()
    assert any("too short" in r or "miss" in r for r in plan.left_alone)
    assert plan_changes(messages, [1, 2], rules=None).shortened == {0}


def test_a_prefix_is_shortened_if_that_saves_more_than_the_cache() -> None:
    """20,000 tokens read at 0.1 cost 2,000; what is left of them costs 300 without any cache."""
    rules = CacheRules(minimum=1024, step=128, read=Decimal("0.1"), write=Decimal(1))
    messages = [
        MessageTokens(original=20_000, shortened=300),
        MessageTokens(original=20, shortened=20),
    ]
    plan = plan_changes(messages, [1, 2], rules=rules)
    assert plan.shortened == {0}
    assert plan.left_alone == ()


def test_history_that_does_not_fit_is_summarised_even_if_cached() -> None:
    messages = agent_conversation(20, 3)
    request = ChatRequest(model=MODEL, messages=tuple(messages))
    book = prices(0.1)
    free = RequestOptimizer(history=History(every=40), counter=counter, prices=book)
    bound = free.optimize(request).tokens - 1
    bounded = RequestOptimizer(
        history=History(every=40), counter=counter, prices=book, max_tokens=bound
    )
    assert None not in free.optimize(request).origins
    found = bounded.optimize(request)
    assert None in found.origins
    assert found.tokens <= bound
    assert not any("middle left out" in note for note in found.done)


def test_with_a_cold_cache_everything_is_shortened() -> None:
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(12, 3)[:-1]))
    cold = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    warm = RequestOptimizer(history=History(), counter=counter, prices=prices(0.1))
    assert cold.optimize(request).tokens < warm.optimize(request).tokens
    assert cold.optimize(request).left_alone == ()
    assert warm.optimize(request).left_alone


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message(role="user", content=""),),
        (Message(role="tool", content="x", tool_call_id="unknown"),),
        (Message(role="user", content="\x00\ud800\xff" * 100),),
        (Message(role="user", content="```\nnever closed"),),
        (Message(role="user", content="a b " * 2_600_000),),
        (Message(role="user", content=(Part(kind="image_url", data={"image_url": 3}),)),),
    ],
)
def test_malformed_requests_are_returned_unchanged(messages: tuple[Message, ...]) -> None:
    request = ChatRequest(model=MODEL, messages=messages)
    optimizer = RequestOptimizer(history=History(), counter=counter)
    assert optimizer.optimize(request).request is request


def test_unchanged_messages_are_the_same_objects() -> None:
    request = ChatRequest(
        model="llama",
        messages=(
            Message(role="system", content=CONTEXT),
            Message(role="user", content="Hello there."),
        ),
    )
    found = RequestOptimizer(counter=counter).optimize(request)
    assert found.request.messages[0].content == '<context>{"a":1,"b":[2,3]}</context>'
    assert found.request.messages[1] is request.messages[1]
    assert found.done == ("message 0: shortened",)
    assert not found.exact
    assert found.tokens <= found.tokens_before


async def test_a_failing_translation_sends_the_original_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    optimizer = RequestOptimizer(counter=counter)
    request = ChatRequest(model=MODEL, messages=(Message(role="user", content=CONTEXT),))

    def broken(*_: object) -> Any:
        raise RuntimeError(CONTEXT)

    for read, write in ((broken, lambda found: found), (lambda: request, broken)):
        assert optimizer.apply(read, write, otherwise=None) is None
        assert await optimizer.aapply(read, write, otherwise=None) is None
    assert caplog.text.count("sent unchanged (RuntimeError)") == 4
    assert "context" not in caplog.text
    found = optimizer.apply(lambda: request, lambda found: found, otherwise=None)
    assert found == await optimizer.aapply(lambda: request, lambda found: found, otherwise=None)
    assert found is not None
    assert found.removed.tokens == found.tokens_before - found.tokens > 0


async def test_a_cancelled_optimisation_raises_cancelled_error() -> None:
    started = threading.Event()
    going_on = threading.Event()

    def call(_: str) -> str:
        started.set()
        going_on.wait(10)
        return "short"

    history = History(keep=1, every=1, summariser=Summariser(model="gpt-4o-mini", call=call))
    optimizer = RequestOptimizer(history=history, provider_cache=False, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(8, 1)))
    work = asyncio.create_task(optimizer.aapply(lambda: request, lambda f: f, otherwise=None))
    await asyncio.to_thread(started.wait, 10)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    going_on.set()


def test_context_is_cut_for_a_model_without_a_name(caplog: pytest.LogCaptureFixture) -> None:
    """Its tokens are estimated, in the warm-up too."""
    optimizer = RequestOptimizer(context=ContextBudget(max_tokens=20))
    optimizer.warm_up()
    documents = "".join(f"<document>Shop {n} takes boots back.</document>\n" for n in range(30))
    text = f"<context>\n{documents}</context>\nWhich shop takes boots back?"
    asked = ChatRequest(messages=(Message(role="user", content=text),))
    optimized = optimizer.apply(lambda: asked, lambda found: found, otherwise=None)
    assert optimized is not None
    assert optimized.tokens < optimized.tokens_before
    assert not optimized.exact
    assert "could not" not in caplog.text
