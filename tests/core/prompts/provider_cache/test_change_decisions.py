"""Which messages are shortened or summarised, and what that saves over whole conversations."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from llm_optimizers.prompts.provider_cache import (
    CacheRules,
    MessageTokens,
    PlannedSummary,
    call_cost,
    plan_changes,
)
from llm_optimizers.prompts.provider_cache.change_plan import ChangePlan

STEPS = CacheRules(minimum=1024, step=128, read=Decimal("0.5"), write=Decimal(1))
SINGLE_TOKENS = CacheRules(minimum=1024, step=1, read=Decimal("0.1"), write=Decimal("1.25"))


def tokens(*pairs: tuple[int, int]) -> list[MessageTokens]:
    return [MessageTokens(original=original, shortened=shortened) for original, shortened in pairs]


@pytest.mark.parametrize(
    ("rules", "total", "prefix", "cost"),
    [
        (STEPS, 1000, 0, 1000.0),
        (STEPS, 1100, 0, 1100.0),
        (STEPS, 1100, 1030, 1100 - 512),
        (STEPS, 1100, 1023, 1100.0),
        (STEPS, 1300, 1152, 1300 - 576),
        (SINGLE_TOKENS, 1023, 0, 1023.0),
        (SINGLE_TOKENS, 1024, 0, 1280.0),
        (SINGLE_TOKENS, 2000, 1500, 150 + 625),
    ],
)
def test_a_call_reads_its_prefix_and_writes_the_rest(
    rules: CacheRules, total: int, prefix: int, cost: float
) -> None:
    assert call_cost(rules, total, prefix) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("messages", "calls", "without", "steps", "single_tokens"),
    [
        # Below the provider's minimum nothing can be lost.
        ([(500, 400)], [1], {0}, {0}, {0}),
        ([(500, 400), (100, 100), (300, 100)], [1, 3], {0, 2}, {0, 2}, {0, 2}),
        # Shortened, the prompt would miss the cache.
        ([(1100, 1000)], [1], {0}, set(), set()),
        ([(1100, 900)], [1], {0}, set(), set()),
        ([(1100, 1000), (100, 100), (300, 100)], [1, 3], {0, 2}, {2}, {2}),
        # Far above it, shortening pays.
        ([(5000, 2000)], [1], {0}, {0}, {0}),
        ([(2000, 1900)], [1], {0}, {0}, {0}),
        ([(3000, 3000), (100, 100), (3000, 300)], [1, 3], {2}, {2}, {2}),
        # What was decided when the prompt was short is kept, or taken back before it is cached.
        (
            [(900, 900), (100, 100), (100, 10), (200, 200), (900, 300)],
            [1, 3, 5],
            {2, 4},
            {4},
            {4},
        ),
        (
            [(800, 700), (100, 100), (100, 10), (200, 200), (900, 300)],
            [1, 3, 5],
            {0, 2, 4},
            {0, 2, 4},
            {0, 2, 4},
        ),
    ],
)
def test_messages_are_shortened_where_the_cache_does_not_lose_by_it(
    messages: list[tuple[int, int]],
    calls: list[int],
    without: set[int],
    steps: set[int],
    single_tokens: set[int],
) -> None:
    for rules, expected in ((None, without), (STEPS, steps), (SINGLE_TOKENS, single_tokens)):
        assert plan_changes(tokens(*messages), calls, rules=rules).shortened == expected


def test_the_reasons_for_what_is_left_alone_are_given_once() -> None:
    plan = plan_changes(tokens((1100, 1000), (100, 100), (30, 30)), [1, 3], rules=STEPS)
    assert plan.left_alone == (
        "messages: shortening them would lose more on the cache than it saves",
        "everything so far: a shorter prompt would miss the provider's cache",
    )
    assert plan_changes(tokens((500, 400)), [1], rules=STEPS).left_alone == ()


def test_a_single_call_takes_every_saving() -> None:
    messages = tokens((1100, 1000))
    for rules in (STEPS, SINGLE_TOKENS):
        plan = plan_changes(messages, [1], rules=rules, single_call=True)
        assert (plan.shortened, plan.left_alone) == ({0}, ())


def test_tokens_before_all_messages_count_as_sent() -> None:
    messages = tokens((200, 100))
    assert plan_changes(messages, [1], rules=SINGLE_TOKENS).shortened == {0}
    assert plan_changes(messages, [1], rules=SINGLE_TOKENS, fixed=900).shortened == set()
    assert plan_changes(messages, [1], rules=SINGLE_TOKENS, fixed=5_000).shortened == {0}


def summary_of(start: int, end: int, *, size: int, price: float = 0.0):
    """Propose one summary in the call of five messages."""

    def propose(last: int, count: int) -> PlannedSummary | None:
        if last or count < 5:
            return None
        return PlannedSummary(start=start, end=end, tokens=size, price=price)

    return propose


LONG = tokens((100, 100), (2000, 2000), (2000, 2000), (50, 50), (50, 50))


def test_without_a_cache_a_summary_is_made_wherever_it_is_shorter() -> None:
    for size, made in ((3_999, True), (4_000, False)):
        plan = plan_changes(
            LONG, [5], rules=None, propose_summary=summary_of(1, 3, size=size, price=1e9)
        )
        assert len(plan.summaries) == made


def test_a_summary_of_shortened_messages_must_be_shorter_than_they_are() -> None:
    messages = tokens((100, 100), (2000, 1000), (2000, 1000), (50, 50), (50, 50))
    for size, made in ((1_999, True), (2_000, False)):
        plan = plan_changes(messages, [5], rules=None, propose_summary=summary_of(1, 3, size=size))
        assert len(plan.summaries) == made
        assert plan.shortened == {1, 2}


def test_with_a_cache_a_summary_must_pay_for_itself_in_its_own_call() -> None:
    for price, made in ((0.0, True), (4_000.0, False)):
        plan = plan_changes(
            LONG, [3, 5], rules=STEPS, propose_summary=summary_of(1, 3, size=100, price=price)
        )
        assert len(plan.summaries) == made
        if not made:
            assert plan.left_alone[-1].startswith("history: a summary would break a cached prefix")


def test_a_summary_that_breaks_a_cached_prefix_for_little_is_not_made() -> None:
    little = plan_changes(
        LONG, [3, 5], rules=SINGLE_TOKENS, propose_summary=summary_of(1, 3, size=3_900)
    )
    assert little.summaries == ()
    much = plan_changes(LONG, [3, 5], rules=STEPS, propose_summary=summary_of(1, 3, size=100))
    assert len(much.summaries) == 1


def test_the_changes_are_named_for_a_record() -> None:
    plan = ChangePlan(
        shortened=frozenset({4, 0}),
        summaries=(PlannedSummary(start=1, end=4, tokens=9),),
        left_alone=(),
    )
    assert plan.changes() == [
        "message 0: shortened",
        "message 4: shortened",
        "messages 1 to 3: summarised",
    ]


def conversation(seed: int) -> list[MessageTokens]:
    rng = random.Random(seed)
    return [
        MessageTokens(original=size, shortened=size - int(size * rng.choice([0, 0, 0.1, 0.4])))
        for size in (rng.randint(20, 900) for _ in range(25))
    ]


def propose_old_messages(last: int, count: int) -> PlannedSummary | None:
    start, end = max(1, last), count - 6
    if end - start < 4:
        return None
    return PlannedSummary(start=start, end=end, tokens=150, price=200.0)


def size(message: MessageTokens, shortened: bool) -> int:
    return message.shortened if shortened else message.original


def bill(messages: list[MessageTokens], rules: CacheRules, *, summarise: bool) -> tuple[float, int]:
    """What all calls of a conversation cost with their changes, and how many were made."""
    propose = propose_old_messages if summarise else None
    total, before, summaries = 0.0, [], 0
    for count in range(1, len(messages) + 1, 2):
        calls = range(1, count + 1, 2)
        plan = plan_changes(messages[:count], calls, rules=rules, propose_summary=propose)
        sent, at = [], 0
        for summary in [*plan.summaries, None]:
            end = summary.start if summary else count
            sent += [(n, size(messages[n], n in plan.shortened)) for n in range(at, end)]
            if summary:
                sent.append((-summary.start - 1, summary.tokens))
                at = summary.end
        prefix = 0
        for old, new in zip(before, sent, strict=False):
            if old != new:
                break
            prefix += old[1]
        total += call_cost(rules, sum(tokens for _, tokens in sent), prefix)
        total += sum(summary.price for summary in plan.summaries[summaries:])
        before, summaries = sent, len(plan.summaries)
    return total, len(plan.shortened) + 1_000 * len(plan.summaries)


def unchanged(messages: list[MessageTokens]) -> list[MessageTokens]:
    return [MessageTokens(original=m.original, shortened=m.original) for m in messages]


@pytest.mark.parametrize(
    ("rules", "summarise", "saved", "changes"),
    [
        (STEPS, False, 218_859, 467),
        (STEPS, True, 597_106, 151_462),
        (SINGLE_TOKENS, False, 106_261, 479),
        (SINGLE_TOKENS, True, 105_672, 1_479),
    ],
    ids=["steps", "steps with summaries", "single tokens", "single tokens with summaries"],
)
def test_forty_conversations_save_what_was_measured(
    rules: CacheRules, summarise: bool, saved: int, changes: int
) -> None:
    """In input tokens. `changes` are shortened messages, and a thousand for each summary."""
    baseline = ours = made = 0.0
    for seed in range(40):
        messages = conversation(seed)
        baseline += bill(unchanged(messages), rules, summarise=False)[0]
        cost, count = bill(messages, rules, summarise=summarise)
        ours, made = ours + cost, made + count
    assert (round(baseline - ours), int(made)) == (saved, changes)


def test_what_many_short_calls_saved_covers_what_a_longer_one_may_lose() -> None:
    messages = tokens(*[(60, 40)] * 25)
    plan = plan_changes(messages, range(1, 26, 2), rules=STEPS)
    assert plan.shortened == set(range(25))
    late = plan_changes(messages, [19, 21, 23, 25], rules=STEPS)
    assert not late.shortened & set(range(19))


def test_a_prompt_of_exactly_the_minimum_is_cached() -> None:
    for shortened in (1000, 724):
        plan = plan_changes(tokens((1024, shortened)), [1], rules=STEPS)
        assert plan.shortened == set()
        assert [reason.partition(":")[0] for reason in plan.left_alone] == [
            "messages",
            "everything so far",
        ]
    assert plan_changes(tokens((1224, 1024)), [1], rules=STEPS).shortened == {0}
    assert plan_changes(tokens((1023, 900)), [1], rules=STEPS).shortened == {0}


def test_a_prefix_of_exactly_the_minimum_is_read_by_the_next_call() -> None:
    """Were it billed in full, the third message's saving of 200 would not cover the 512 lost."""
    plan = plan_changes(tokens((1024, 1000), (100, 90), (300, 100)), [1, 2, 3], rules=STEPS)
    assert plan.shortened == {2}


def test_where_nothing_can_be_shortened_or_lost_nothing_is_said() -> None:
    for single_call in (False, True):
        plan = plan_changes(tokens((1100, 1100)), [1], rules=SINGLE_TOKENS, single_call=single_call)
        assert (plan.shortened, plan.left_alone) == (set(), ())


def test_a_single_call_shortens_all_its_messages() -> None:
    plan = plan_changes(tokens((600, 500), (600, 500)), [2], rules=STEPS, single_call=True)
    assert plan.shortened == {0, 1}


def test_a_single_call_with_nothing_to_shorten_may_be_summarised() -> None:
    plan = plan_changes(
        LONG,
        [5],
        rules=SINGLE_TOKENS,
        propose_summary=summary_of(1, 3, size=100),
        single_call=True,
    )
    assert len(plan.summaries) == 1


def test_a_first_call_reads_nothing_from_the_cache() -> None:
    """40 tokens saved in two calls are less than two steps lost at half price, 50 are more."""
    for shortened, expected in ((60, set()), (50, {0})):
        plan = plan_changes(tokens((100, shortened)), [1], rules=STEPS, fixed=1500)
        assert plan.shortened == expected


def test_a_summary_in_a_first_call_saves_the_price_of_writing_its_tokens() -> None:
    """1300 tokens at 1.25."""
    messages = tokens((3000, 3000), (700, 700), (700, 700))
    for price, made in ((1_625.0, True), (1_626.0, False)):
        plan = plan_changes(
            messages,
            [3],
            rules=SINGLE_TOKENS,
            propose_summary=lambda last, count, price=price: PlannedSummary(
                start=1, end=3, tokens=100, price=price
            ),
        )
        assert len(plan.summaries) == made


def test_what_comes_before_a_summary_is_still_read_from_the_cache() -> None:
    """With it: 3000 read and 200 written for 550. Without: 4400 read and 100 written for 565."""
    messages = tokens((100, 100), (700, 700), (700, 700), (50, 50), (50, 50))
    for size, made in ((112, True), (113, False)):
        plan = plan_changes(
            messages,
            [3, 5],
            rules=SINGLE_TOKENS,
            fixed=2_900,
            propose_summary=summary_of(1, 3, size=size),
        )
        assert len(plan.summaries) == made


def test_an_earlier_summary_is_part_of_the_prefix_before_the_next() -> None:
    """500 and 2000 are read, the rest written: 250 + 1.25 x 372 is the 715 of an unchanged call."""
    messages = tokens((500, 500), (4000, 4000), (700, 700), (700, 700), (100, 100))
    for size, made in ((272, 2), (273, 1)):

        def propose(last: int, count: int, size: int = size) -> PlannedSummary:
            if not last:
                return PlannedSummary(start=1, end=2, tokens=2_000)
            return PlannedSummary(start=2, end=4, tokens=size)

        plan = plan_changes(messages, [4, 5], rules=SINGLE_TOKENS, propose_summary=propose)
        assert len(plan.summaries) == made


def test_the_price_of_a_summary_is_taken_from_the_savings() -> None:
    """Shortened, the last message loses a step of 128: only savings of before can cover it."""
    messages = tokens((1100, 1100), (400, 400), (491, 491), (100, 90))
    for price, expected in ((0.0, {3}), (43.0, set())):

        def propose(last: int, count: int, price: float = price) -> PlannedSummary | None:
            if last or count < 3:
                return None
            return PlannedSummary(start=1, end=3, tokens=848, price=price)

        plan = plan_changes(messages, [1, 3, 4], rules=STEPS, propose_summary=propose)
        assert (len(plan.summaries), plan.shortened) == (1, expected)


def test_while_the_bill_is_above_the_baseline_no_step_is_lost() -> None:
    """A single call saved 230, and then the second reads nothing where 1024 were cached."""
    messages = tokens((1100, 870), (410, 400))
    assert plan_changes(messages, [1, 2], rules=STEPS, single_call=True).shortened == {0}


def test_of_four_new_messages_those_are_shortened_that_lose_no_step() -> None:
    """Three save 2 x 60 tokens, four 2 x 80 less 64; of five, all or none are tried."""
    four = plan_changes(tokens((2040, 2040), *[(50, 30)] * 4), [5], rules=STEPS)
    assert len(four.shortened) == 3
    five = plan_changes(tokens((2040, 2040), *[(40, 24)] * 5), [6], rules=STEPS)
    assert len(five.shortened) == 5
    little = plan_changes(tokens((2040, 2040), *[(40, 39)] * 5), [1, 6], rules=STEPS)
    assert little.shortened == set()


def test_a_summarised_message_counts_by_the_tokens_that_were_sent() -> None:
    """The second was sent in full: 1250 tokens with 1024 read, for 872 less than unchanged."""
    messages = tokens((1100, 1100), (200, 190), (900, 900), (50, 50))
    for price, made in ((872.0, True), (873.0, False)):

        def propose(last: int, count: int, price: float = price) -> PlannedSummary | None:
            if last or count < 4:
                return None
            return PlannedSummary(start=1, end=3, tokens=100, price=price)

        plan = plan_changes(messages, [2, 4], rules=STEPS, propose_summary=propose)
        assert (len(plan.summaries), plan.shortened) == (made, set())
