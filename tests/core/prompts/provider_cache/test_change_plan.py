"""The change plan: the bill is never higher than without changes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts.provider_cache import (
    CacheRules,
    MessageTokens,
    PlannedSummary,
    call_cost,
    plan_changes,
)
from llm_optimizers.prompts.provider_cache.change_plan import ChangePlan


def sent_tokens(plan: ChangePlan, messages: Sequence[MessageTokens]) -> list[tuple[int, int]]:
    """Return the (id, tokens) of everything a call sends; summaries have negative ids."""
    sent: list[tuple[int, int]] = []
    at = 0
    for summary in [*plan.summaries, None]:
        for n in range(at, summary.start if summary else len(messages)):
            tokens = messages[n].shortened if n in plan.shortened else messages[n].original
            sent.append((n, tokens))
        if summary:
            sent.append((-summary.start - 1, summary.tokens))
            at = summary.end
    return sent


def propose_summary(last: int, count: int) -> PlannedSummary | None:
    start, end = max(1, last), count - 3
    return PlannedSummary(start=start, end=end, tokens=40) if end - start >= 2 else None


@given(
    st.lists(st.tuples(st.integers(1, 900), st.floats(0, 1)), min_size=1, max_size=24),
    st.sampled_from(["0.1", "0.25", "0.5", "1"]),
    st.sampled_from(["1", "1.25"]),
    st.booleans(),
)
def test_without_steps_the_bill_is_never_higher(
    sizes: list[tuple[int, float]], read: str, write: str, summarise: bool
) -> None:
    """Anthropic's and the newest OpenAI models' caches count single tokens."""
    rules = CacheRules(minimum=1024, step=1, read=Decimal(read), write=Decimal(write))
    messages = [MessageTokens(original=n, shortened=n - int(n * part)) for n, part in sizes]
    propose = propose_summary if summarise else None
    baseline = ours = 0.0
    before: list[tuple[int, int]] = []
    original_before = 0
    for count in range(1, len(messages) + 1, 2):
        calls = range(1, count + 1, 2)
        plan = plan_changes(messages[:count], calls, rules=rules, propose_summary=propose)
        sent = sent_tokens(plan, messages[:count])
        pairs = zip(before, sent, strict=False)
        prefix = sum(old[1] for old, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        original = sum(m.original for m in messages[:count])
        baseline += call_cost(rules, original, original_before)
        ours += call_cost(rules, sum(tokens for _, tokens in sent), prefix)
        before, original_before = sent, original
        assert ours <= baseline + 1e-6
