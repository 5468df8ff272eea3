"""Long conversations: what may change, what the provider's cache forbids, what it all costs."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import History, RequestOptimizer, Summariser, TokenCounter
from llm_optimizers.prompts.history import extract, safe_cuts
from llm_optimizers.prompts.provider_cache import (
    CacheRules,
    Fold,
    Weighed,
    cache_rules,
    call_cost,
    lay_out,
    lint_prefix,
    marked,
    plan_changes,
)
from llm_optimizers.types import ChatRequest, Message, Part, ToolCall

counter = TokenCounter()
MODEL = "gpt-4.1"


def prices(read: float, write: float = 1.0) -> PriceBook:
    price = ModelPrice(
        input=Decimal(2),
        output=Decimal(8),
        cache_read=Decimal(str(2 * read)),
        cache_write=Decimal(str(2 * write)),
    )
    return PriceBook({MODEL: price})


def agent_conversation(turns: int, seed: int) -> list[Message]:
    """A system prompt, then user, tool call, pretty JSON result and answer, over and over."""
    draw = random.Random(seed)
    words = [
        "order",
        "refund",
        "parcel",
        "invoice",
        "delay",
        "customer",
        "depot",
        "courier",
        "label",
        "weight",
        "route",
    ]

    def said(count: int) -> str:
        return " ".join(draw.choices(words, k=count)).capitalize() + "."

    rules = " ".join(said(12) for _ in range(draw.randint(2, 120)))
    messages = [Message(role="system", content=f"You help.   {rules}\n\n\n\n\n{said(8)}")]
    for turn in range(turns):
        messages.append(Message(role="user", content=f"{said(draw.randint(5, 60))}   Please?"))
        call = ToolCall(id=f"c{turn}", name="look_up", arguments=json.dumps({"n": turn}))
        rows = [
            {"id": n, "state": said(2), "weight": draw.random()} for n in range(draw.randint(0, 14))
        ]
        result = json.dumps({"rows": rows, "turn": turn}, indent=draw.choice([None, 2, 4]))
        messages += [
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=result, tool_call_id=f"c{turn}"),
            Message(role="assistant", content=said(draw.randint(5, 80))),
        ]
    return messages


class ProviderCache:
    """A provider that remembers the prefix of the call before, and bills."""

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
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_thirty_turns_never_cost_more_at_any_turn(read: float, fold: bool, seed: int) -> None:
    book = prices(read)
    rules = cache_rules(MODEL, book)
    assert rules is not None
    assert float(rules.read) == read
    optimizer = RequestOptimizer(
        prices=book, counter=counter, history=History(summary_tokens=120) if fold else None
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
    assert paid[1] < (0.8 if fold and read == 0.5 else 0.99) * paid[0]


def assert_pairs_are_whole(messages: Sequence[Message]) -> None:
    called = {call.id for m in messages for call in m.tool_calls}
    answered = {m.tool_call_id for m in messages if m.role == "tool"}
    assert called - answered <= {messages[-1].tool_call_id} or called == answered


@given(
    st.lists(st.tuples(st.integers(1, 900), st.floats(0, 1)), min_size=1, max_size=24),
    st.sampled_from(["0.1", "0.25", "0.5", "1"]),
    st.sampled_from([("1", 1), ("1.25", 1)]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_without_steps_no_call_costs_more(
    sizes: list[tuple[int, float]], read: str, written: tuple[str, int], fold: bool
) -> None:
    """Anthropic's and the newest OpenAI models' caches count single tokens."""
    rules = CacheRules(minimum=1024, step=written[1], read=Decimal(read), write=Decimal(written[0]))
    messages = [Weighed(raw=raw, short=raw - int(raw * part)) for raw, part in sizes]

    def fold_at(last: int, count: int) -> Fold | None:
        start, end = max(1, last), count - 3
        return Fold(start=start, end=end, tokens=40) if end - start >= 2 else None

    plain = ours = 0.0
    before: list[tuple[int, int]] = []
    raw_before = 0
    for count in range(1, len(messages) + 1, 2):
        calls = list(range(1, count + 1, 2))
        plan = plan_changes(messages[:count], calls, rules=rules, fold_at=fold_at if fold else None)
        sent: list[tuple[int, int]] = []
        at = 0
        for each in [*plan.folds, None]:
            end = each.start if each else count
            for n in range(at, end):
                tokens = messages[n].short if n in plan.short else messages[n].raw
                sent.append((n, tokens))
            if each:
                sent.append((-each.start - 1, each.tokens))
                at = each.end
        prefix = 0
        for a, b in zip(before, sent, strict=False):
            if a != b:
                break
            prefix += a[1]
        raw = sum(m.raw for m in messages[:count])
        plain += call_cost(rules, raw, raw_before)
        ours += call_cost(rules, sum(t for _, t in sent), prefix)
        before, raw_before = sent, raw
        assert ours <= plain + 1e-6


def test_the_break_even_rule_leaves_a_cached_prefix_alone() -> None:
    """1,500 tokens at 0.1 cost 150; shrunk to 900, below the minimum, they would cost 900."""
    rules = CacheRules(minimum=1024, step=128, read=Decimal("0.1"), write=Decimal(1))
    messages = [Weighed(raw=1500, short=900), Weighed(raw=20, short=20)]
    plan = plan_changes(messages, [1, 2], rules=rules)
    assert plan.short == frozenset()
    assert any("too short" in r or "miss" in r for r in plan.left_alone)
    assert plan_changes(messages, [1, 2], rules=None).short == {0}


def test_a_saving_that_outweighs_the_cache_is_made() -> None:
    """20,000 tokens read at 0.1 cost 2,000; what is left of them costs 300 without any cache."""
    rules = CacheRules(minimum=1024, step=128, read=Decimal("0.1"), write=Decimal(1))
    messages = [Weighed(raw=20_000, short=300), Weighed(raw=20, short=20)]
    plan = plan_changes(messages, [1, 2], rules=rules)
    assert plan.short == {0}
    assert plan.left_alone == ()


def test_what_does_not_fit_is_folded_whatever_is_cached() -> None:
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


def test_history_keeps_the_last_five_and_folds_the_rest() -> None:
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(12, 3)))
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    found = optimizer.optimize(request)
    assert list(found.origins[-5:]) == list(range(len(request.messages) - 5, len(request.messages)))
    assert found.origins[0] == 0
    assert None in found.origins
    summary = found.request.messages[found.origins.index(None)]
    assert summary.role == "system"
    assert counter.count(summary.text, MODEL).tokens <= 200
    assert_pairs_are_whole(found.request.messages)


def test_summaries_are_frozen_as_the_conversation_grows() -> None:
    """Each longer conversation begins with the summaries of the shorter one."""
    messages = agent_conversation(25, 5)
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    earlier: list[str] = []
    for end in range(3, len(messages), 4):
        sent = optimizer.optimize(ChatRequest(model=MODEL, messages=tuple(messages[:end])))
        summaries = [m.text for m, o in zip(sent.request.messages, sent.origins, strict=True)
                     if o is None]  # fmt: skip
        assert summaries[: len(earlier)] == earlier
        earlier = summaries
    assert len(earlier) > 2


def test_a_system_message_in_the_middle_stays() -> None:
    messages = agent_conversation(8, 1)
    messages.insert(13, Message(role="system", content="From now on, answer in French."))
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    found = optimizer.optimize(ChatRequest(model=MODEL, messages=tuple(messages)))
    assert None in found.origins
    assert 13 in found.origins


turns = st.lists(
    st.sampled_from(["user", "assistant", "call", "result", "orphan", "system"]), max_size=30
)


@given(turns, st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_tool_calls_are_never_parted(kinds: list[str], keep: int, every: int) -> None:
    messages: list[Message] = []
    waiting: list[str] = []
    for at, kind in enumerate(kinds):
        if kind == "call":
            call = ToolCall(id=f"{at}", name="f", arguments="{}")
            messages.append(Message(role="assistant", tool_calls=(call,)))
            waiting.append(f"{at}")
        elif kind == "result" and waiting:
            text = f"Result {at} says that all is well. " * 6
            messages.append(Message(role="tool", content=text, tool_call_id=waiting.pop(0)))
        elif kind in ("result", "orphan"):
            messages.append(Message(role="tool", content="Lost.", tool_call_id=f"lost{at}"))
        else:
            role = kind if kind in ("user", "assistant", "system") else "user"
            messages.append(Message(role=role, content=f"Turn {at} of this long talk. " * 6))  # type: ignore[arg-type]
    request = ChatRequest(model="llama", messages=tuple(messages))
    history = History(keep=keep, every=every, summary_tokens=40)
    found = RequestOptimizer(history=history, counter=counter).optimize(request)
    for cut in safe_cuts(messages):
        assert messages[cut].role != "tool"
    pairs = {m.tool_call_id for m in messages if m.role == "tool"}
    sent_calls = {c.id for m in found.request.messages for c in m.tool_calls}
    sent_results = {m.tool_call_id for m in found.request.messages if m.role == "tool"}
    known_calls = {c.id for m in messages for c in m.tool_calls}
    assert sent_calls & pairs == sent_results & known_calls
    assert [o for o in found.origins if o is not None] == sorted(
        o for o in found.origins if o is not None
    )
    kept = {o for o in found.origins if o is not None}
    assert kept >= set(range(max(0, len(messages) - keep), len(messages)))
    assert all(at in kept for at, m in enumerate(messages) if m.role == "system")


def test_a_named_model_summarises_once() -> None:
    asked: list[str] = []

    def call(prompt: str) -> str:
        asked.append(prompt)
        return "They spoke of parcels."

    summariser = Summariser(model="gpt-4.1-nano", call=call)
    history = History(summariser=summariser)
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    found = [optimizer.optimize(request) for _ in range(3)]
    assert found[0] == found[2]
    assert len(asked) == len([o for o in found[0].origins if o is None])
    assert any("They spoke of parcels." in m.text for m in found[0].request.messages)


@pytest.mark.parametrize("answer", ["", "  ", "far too long " * 500, RuntimeError("down")])
def test_a_summariser_that_fails_leaves_the_history_whole(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    def call(prompt: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    history = History(summariser=Summariser(model="gpt-4.1-nano", call=call))
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    with caplog.at_level(logging.WARNING):
        found = optimizer.optimize(request)
    assert len(found.request.messages) == len(request.messages)
    assert "history stays whole" in caplog.text
    assert "parcel" not in caplog.text


async def test_a_summariser_runs_outside_the_event_loop() -> None:
    import threading

    threads: list[int] = []

    def call(prompt: str) -> str:
        threads.append(threading.get_ident())
        return "Short."

    history = History(summariser=Summariser(model="gpt-4.1-nano", call=call))
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    found = await optimizer.aoptimize(request)
    assert found == optimizer.optimize(request)
    assert threading.get_ident() not in threads[:1]


def test_an_extract_keeps_within_its_budget_and_names_the_speakers() -> None:
    messages = agent_conversation(4, 7)[1:]
    text = extract(messages, max_tokens=90, counter=counter, model=MODEL)
    assert 40 < counter.count(text, MODEL).tokens <= 90
    assert all(line.split(":")[0] in ("user", "assistant", "tool") for line in text.splitlines())
    assert extract([], max_tokens=90, counter=counter, model=MODEL) == ""


def test_history_refuses_bounds_that_keep_nothing() -> None:
    with pytest.raises(ConfigurationError):
        History(keep=0)


@pytest.mark.parametrize(
    ("model", "minimum", "marking", "read"),
    [
        ("gpt-4o", 1024, "none", "0.5"),
        ("gpt-4.1-mini", 1024, "none", "0.25"),
        ("gpt-5.6", 1024, "breakpoint", "0.1"),
        ("openai/gpt-5.2", 1024, "none", "0.1"),
        ("claude-sonnet-4-5", 1024, "cache_control", "0.1"),
        ("claude-haiku-4-5", 4096, "cache_control", "0.1"),
        ("anthropic/claude-opus-4-6", 4096, "cache_control", "0.1"),
        ("gemini-2.5-flash", 1024, "none", "0.1"),
    ],
)
def test_each_provider_has_its_rules(model: str, minimum: int, marking: str, read: str) -> None:
    rules = cache_rules(model, PriceBook())
    assert rules is not None
    assert (rules.minimum, rules.marking, rules.read) == (minimum, marking, Decimal(read))


@pytest.mark.parametrize("model", ["gpt-4", "gpt-3.5-turbo", "llama-3", ""])
def test_models_without_a_prompt_cache_have_none(model: str) -> None:
    assert cache_rules(model, PriceBook()) is None


LONG = Message(role="system", content="Rule after rule after rule. " * 400)


def test_marks_stand_at_the_ends_of_prefix_and_history() -> None:
    request = ChatRequest(
        model="claude-sonnet-4-5",
        messages=(
            LONG,
            Message(role="user", content="Hi"),
            Message(role="assistant", content="Hello"),
            Message(role="user", content="What now?"),
        ),
    )
    optimizer = RequestOptimizer(marks=True, counter=counter, passes=frozenset())
    found = optimizer.optimize(request).request
    cut = [
        at
        for at, m in enumerate(found.messages)
        if not isinstance(m.content, str) and "cache_control" in m.content[-1].data
    ]
    assert cut == [0, 2, 3]
    assert lay_out(request.messages).tail == 3
    first = found.messages[0].to_openai()["content"][0]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert optimizer.optimize(found).request.messages == found.messages


def test_breakpoints_are_for_models_that_take_them() -> None:
    for model, taken in (("gpt-5.6", True), ("gpt-5.2", False), ("gpt-4o", False)):
        request = ChatRequest(model=model, messages=(LONG, Message(role="user", content="Hi")))
        optimizer = RequestOptimizer(
            marks=True, cache_key="shop", counter=counter, passes=frozenset()
        )
        sent = optimizer.optimize(request).request
        assert ("prompt_cache_breakpoint" in json.dumps(sent.to_openai())) is taken
        assert sent.params["prompt_cache_key"] == "shop"


def test_short_prefixes_and_users_own_marks_are_left_alone() -> None:
    own = Message(
        role="system", content=(Part(kind="text", text=LONG.text, data={"cache_control": {}}),)
    )
    rules = cache_rules("claude-sonnet-4-5", PriceBook())
    for messages in ((replace(LONG, content="Short."),), (own,), ()):
        request = ChatRequest(model="claude-sonnet-4-5", messages=messages)
        sizes = [counter.count_message(m, "gpt-4o").tokens for m in messages]
        assert marked(request, sizes, rules).messages == messages


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Today is Monday.", "timestamp"),
        ("Now: 2024-05-01T12:00:00Z", "timestamp"),
        ("Session id: 8f2e", "identifier"),
        ("123e4567-e89b-12d3-a456-426614174000", "identifier"),
        ('{"b": 1, "a": 2}', "unsorted JSON"),
    ],
)
def test_what_varies_in_the_prefix_is_found(text: str, kind: str) -> None:
    system = Message(role="system", content=f"Be brief.\n{text}")
    user = Message(role="user", content=text)
    lints = lint_prefix(ChatRequest(model=MODEL, messages=(system, user)))
    assert [(lint.message, lint.line, lint.kind) for lint in lints] == [(0, 2, kind)]


def test_tools_in_a_random_order_are_found() -> None:
    tools = [{"function": {"name": name}} for name in ("b", "a")]
    request = ChatRequest(model=MODEL, messages=(), params={"tools": tools})
    assert [lint.kind for lint in lint_prefix(request)] == ["unsorted tools"]


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message(role="user", content=""),),
        (Message(role="tool", content="x", tool_call_id="nobody"),),
        (Message(role="user", content="\x00\ud800\xff" * 100),),
        (Message(role="user", content="```\nnever closed"),),
        (Message(role="user", content="a b " * 2_600_000),),
        (Message(role="user", content=(Part(kind="image_url", data={"image_url": 3}),)),),
    ],
)
def test_bad_input_comes_back_as_it_was(messages: tuple[Message, ...]) -> None:
    request = ChatRequest(model=MODEL, messages=messages)
    optimizer = RequestOptimizer(history=History(), counter=counter)
    assert optimizer.optimize(request).request is request


def test_unchanged_messages_are_the_same_objects() -> None:
    request = ChatRequest(
        model="llama",
        messages=(
            Message(role="system", content="Be   brief."),
            Message(role="user", content="Hello there."),
        ),
    )
    found = RequestOptimizer(counter=counter).optimize(request)
    assert found.request.messages[0].content == "Be brief."
    assert found.request.messages[1] is request.messages[1]
    assert found.done == ("message 0: shortened",)
    assert not found.exact
    assert found.tokens <= found.tokens_before
