"""The break-even rule: no call costs more than it would have."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts.provider_cache import (
    CacheRules,
    MessageTokens,
    PlannedSummary,
    call_cost,
    plan_changes,
)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.floats(0, 1)), min_size=1, max_size=24),
    st.sampled_from(["0.1", "0.25", "0.5", "1"]),
    st.sampled_from([("1", 1), ("1.25", 1)]),
    st.booleans(),
)
def test_without_steps_the_bill_is_never_higher(
    sizes: list[tuple[int, float]], read: str, written: tuple[str, int], fold: bool
) -> None:
    """Anthropic's and the newest OpenAI models' caches count single tokens."""
    rules = CacheRules(minimum=1024, step=written[1], read=Decimal(read), write=Decimal(written[0]))
    messages = [MessageTokens(original=raw, shortened=raw - int(raw * part)) for raw, part in sizes]

    def propose_summary(last: int, count: int) -> PlannedSummary | None:
        start, end = max(1, last), count - 3
        return PlannedSummary(start=start, end=end, tokens=40) if end - start >= 2 else None

    plain = ours = 0.0
    before: list[tuple[int, int]] = []
    raw_before = 0
    for count in range(1, len(messages) + 1, 2):
        calls = list(range(1, count + 1, 2))
        plan = plan_changes(
            messages[:count], calls, rules=rules, propose_summary=propose_summary if fold else None
        )
        sent: list[tuple[int, int]] = []
        at = 0
        for each in [*plan.summaries, None]:
            end = each.start if each else count
            for n in range(at, end):
                tokens = messages[n].shortened if n in plan.shortened else messages[n].original
                sent.append((n, tokens))
            if each:
                sent.append((-each.start - 1, each.tokens))
                at = each.end
        prefix = 0
        for a, b in zip(before, sent, strict=False):
            if a != b:
                break
            prefix += a[1]
        raw = sum(m.original for m in messages[:count])
        plain += call_cost(rules, raw, raw_before)
        ours += call_cost(rules, sum(t for _, t in sent), prefix)
        before, raw_before = sent, raw
        assert ours <= plain + 1e-6
