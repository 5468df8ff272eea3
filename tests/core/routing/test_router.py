"""The steps of a decision: filters, user tier, ceiling, stickiness, policy, limits."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import Ledger, ModelPrice, PriceBook
from llm_optimizers.errors import ConfigurationError, NoModelFitsError
from llm_optimizers.routing import (
    Always,
    DecisionRecord,
    ModelSpec,
    Previous,
    Router,
    RoutingContext,
    UserTier,
)
from llm_optimizers.types import ChatRequest, Message, Part, ToolCall

MODELS = ["small", "middle", "large"]
NOW = 1_000_000.0


def router(prices: PriceBook, models=MODELS, **settings) -> Router:
    settings.setdefault("clock", lambda: NOW)
    settings.setdefault("rng", random.Random(1))
    return Router(models, prices=prices, **settings)


def reasons(decision) -> dict[str, str | None]:
    return {c.model: c.rejected for c in decision.candidates}


def test_without_a_policy_everything_goes_to_the_safe_model(prices, ask):
    assert router(prices).decide(ask()).model == "large"
    decision = router(prices, safe="middle").decide(ask())
    assert (decision.model, decision.baseline) == ("middle", "middle")


def test_decisions_depend_only_on_clock_and_random_numbers(prices, ask):
    first, second = (router(prices, policy=Always("small")).decide(ask()) for _ in range(2))
    assert first == second


def test_two_decisions_have_two_ids(prices, ask):
    one = router(prices)
    assert one.decide(ask()).id != one.decide(ask()).id


def test_tiers_order_models_however_they_are_listed(prices):
    specs = [ModelSpec("large", tier=3), ModelSpec("small", tier=1), ModelSpec("middle", tier=2)]
    assert [s.name for s in router(prices, specs).model_tiers.specs] == MODELS


@pytest.mark.parametrize(
    ("models", "settings", "words"),
    [
        ([], {}, "`models` is"),
        (["small", "small"], {}, "listed twice: small"),
        ([ModelSpec("small", tier=1), ModelSpec("large")], {}, "missing: large"),
        (MODELS, {"safe": "huge"}, "`safe` is 'huge'"),
        (MODELS, {"tiers": {"free": UserTier(ceiling="huge")}}, "no model 'huge'"),
        (MODELS, {"tiers": {"free": UserTier(floor="large", ceiling="small")}}, "stronger than"),
    ],
)
def test_contradicting_settings_are_refused(prices, models, settings, words):
    with pytest.raises(ConfigurationError, match=words):
        router(prices, models, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": ""}, "`name` is"),
        ({"name": "m", "capabilities": {"telepathy"}}, "telepathy"),
        ({"name": "m", "context_window": 0}, "`context_window` is 0"),
    ],
)
def test_an_invalid_spec_is_refused(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        ModelSpec(**settings)


def test_a_model_without_a_required_capability_is_rejected(prices, ask):
    specs = [ModelSpec("small", capabilities={"streaming"}), ModelSpec("large")]
    routed = router(prices, specs, policy=Always("small"))
    assert routed.decide(ask()).model == "small"
    with_tools = routed.decide(ask(tools=[{"type": "function"}]))
    assert with_tools.model == "large"
    assert reasons(with_tools)["small"] == "cannot do tools"
    schema = {"type": "json_schema", "json_schema": {}}
    assert routed.decide(ask(response_format=schema)).model == "large"
    assert routed.decide(ask(response_format={"type": "text"})).model == "small"


def test_an_image_needs_vision_and_a_stream_needs_streaming(prices, ask):
    specs = [ModelSpec("small", capabilities={"tools"}), ModelSpec("large")]
    routed = router(prices, specs, policy=Always("small"))
    picture = ChatRequest(
        messages=(Message(role="user", content=(Part(kind="image_url", data={"url": "…"}),)),)
    )
    assert reasons(routed.decide(picture))["small"] == "cannot do vision"
    streamed = routed.decide(ask(), RoutingContext(streaming=True))
    assert reasons(streamed)["small"] == "cannot do streaming"


def test_the_context_window_must_hold_the_prompt_and_the_answer(prices, ask):
    specs = [ModelSpec("small", context_window=2000), ModelSpec("large", context_window=90_000)]
    routed = router(prices, specs, policy=Always("small"))
    assert routed.decide(ask("word " * 500)).model == "small"
    assert routed.decide(ask("word " * 900)).model == "large"
    assert routed.decide(ask("word " * 500, max_tokens=1500)).model == "large"


def test_a_custom_token_counter_is_used(prices, ask):
    specs = [ModelSpec("small", context_window=2000), ModelSpec("large")]
    routed = router(prices, specs, policy=Always("small"), count_tokens=lambda request: 5000)
    assert routed.decide(ask()).model == "large"


def test_a_user_tier_bounds_the_models(prices, ask):
    tiers = {
        "free": UserTier(ceiling="small"),
        "pro": UserTier(floor="middle"),
        "lab": UserTier(allowed=frozenset({"small", "large"})),
    }

    def served(tier: str, wish: str) -> str:
        routed = router(prices, policy=Always(wish), tiers=tiers)
        return routed.decide(ask(), RoutingContext(tier=tier)).model

    assert served("free", "large") == "small"
    assert served("pro", "small") == "middle"
    assert served("lab", "middle") == "large"
    assert served("", "middle") == "middle"


def test_former_names_of_attributes_work_and_warn(prices, ask):
    one = router(prices)
    with pytest.warns(DeprecationWarning, match="Router.ladder is now called model_tiers"):
        tiers = one.ladder
    with pytest.warns(DeprecationWarning, match="ModelTiers.rung is now called rank"):
        assert tiers.rung("large") == 2
    decision = one.decide(ask())
    with pytest.warns(DeprecationWarning, match="Decision.needs is now called requirements"):
        assert decision.needs == decision.requirements
    with pytest.warns(DeprecationWarning, match="Candidate.rung is now called rank"):
        assert decision.candidates[0].rung == 0


def test_an_unknown_user_tier_is_refused(prices, ask):
    routed = router(prices, tiers={"free": UserTier(ceiling="small")})
    with pytest.raises(ConfigurationError, match=r"no user tier 'gold'.*free"):
        routed.decide(ask(), RoutingContext(tier="gold"))


def test_a_request_over_its_cost_ceiling_goes_to_a_cheaper_model(prices, ask):
    routed = router(prices, policy=Always("large"))
    # 400 tokens out: small $0.00016, middle $0.0016, large $0.016.
    decision = routed.decide(ask(), RoutingContext(max_cost=Decimal("0.003")))
    assert decision.model == "middle"
    assert "over the ceiling of $0.003" in (reasons(decision)["large"] or "")
    # Savings are never counted against a model that could not have served.
    assert decision.baseline == "middle"


def test_an_unpriced_model_is_rejected_under_a_cost_ceiling(prices, ask):
    routed = router(prices, ["small", "mystery"], policy=Always("mystery"))
    assert routed.decide(ask()).model == "mystery"
    capped = routed.decide(ask(), RoutingContext(max_cost=Decimal("0.01")))
    assert capped.model == "small"
    assert "no price is known" in (reasons(capped)["mystery"] or "")


def test_when_no_model_fits_the_error_lists_each_with_its_reason(prices, ask):
    specs = [
        ModelSpec("small", context_window=100),
        ModelSpec("middle", capabilities={"streaming"}),
        ModelSpec("large"),
    ]
    routed = router(prices, specs, tiers={"": UserTier(ceiling="middle")})
    with pytest.raises(NoModelFitsError) as caught:
        routed.decide(ask("word " * 100, tools=[{"type": "function"}]))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == MODELS
    assert "too small" in lines[1]
    assert "cannot do tools" in lines[2]
    assert "above the user's ceiling middle" in lines[3]


def tool_loop() -> ChatRequest:
    call = ToolCall(id="1", name="search", arguments="{}")
    return ChatRequest(
        messages=(
            Message(role="user", content="Find it."),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="found", tool_call_id="1"),
        )
    )


def test_a_tools_result_goes_to_the_model_that_called_it(prices):
    context = RoutingContext(previous=Previous(model="small", at=NOW))
    decision = router(prices, policy=Always("large")).decide(tool_loop(), context)
    assert decision.model == "small"
    assert decision.choice.policy == "hold"


def test_a_model_that_failed_during_a_tool_loop_is_replaced(prices):
    routed = router(prices, policy=Always("large"))
    routed.health.failed("small", now=NOW)
    context = RoutingContext(previous=Previous(model="small", at=NOW))
    assert routed.decide(tool_loop(), context).model == "large"


def conversation(ask, turns: int = 3) -> ChatRequest:
    return ask(*["text " * 2000] * (2 * turns), "And now?")


def caching_prices(read: str) -> PriceBook:
    large = ModelPrice(input=Decimal(10), output=Decimal(10), cache_read=Decimal(read))
    return PriceBook({"small": ModelPrice(input=Decimal(3), output=Decimal(3)), "large": large})


def test_a_conversation_moves_down_only_when_that_pays(ask):
    context = RoutingContext(previous=Previous(model="large", at=NOW - 60))
    models, policy = ["small", "large"], Always("small")
    cheap_reads = router(caching_prices("0.1"), models, policy=policy)
    stays = cheap_reads.decide(conversation(ask), context)
    assert stays.model == "large"
    assert "provider's prompt cache" in stays.reason
    expensive_reads = router(caching_prices("9"), models, policy=policy)
    assert expensive_reads.decide(conversation(ask), context).model == "small"


def test_a_conversation_moves_down_when_its_prompt_cache_has_expired(ask):
    context = RoutingContext(previous=Previous(model="large", at=NOW - 3600))
    routed = router(caching_prices("0.1"), ["small", "large"], policy=Always("small"))
    assert routed.decide(conversation(ask), context).model == "small"


def test_a_conversation_moves_up_freely(ask):
    context = RoutingContext(previous=Previous(model="small", at=NOW))
    routed = router(caching_prices("0.1"), ["small", "large"], policy=Always("large"))
    assert routed.decide(conversation(ask), context).model == "large"


def test_a_policy_that_fails_leaves_the_safe_model(prices, ask, caplog):
    class Broken:
        def choose(self, policy_input):
            raise RuntimeError("no scorer")

    broken = router(prices, policy=Broken())
    broken.decide(ask())
    decision = broken.decide(ask())
    assert decision.model == "large"
    assert "RuntimeError" in decision.reason
    assert caplog.text.count("the safe model answers") == 1  # however often it fails


def test_fallbacks_are_of_the_same_tier_then_stronger_then_weaker(prices, ask):
    specs = [
        ModelSpec("small", tier=1),
        ModelSpec("middle", tier=2),
        ModelSpec("sibling", tier=2),
        ModelSpec("large", tier=3),
    ]
    decision = router(prices, specs, policy=Always("middle")).decide(ask())
    assert decision.fallbacks == ("sibling", "large", "small")


def test_a_cooling_model_is_rejected_unless_no_other_can_serve(prices, ask):
    routed = router(prices, policy=Always("small"))
    routed.health.failed("small", now=NOW, retry_after_s=12)
    decision = routed.decide(ask())
    assert decision.model == "middle"
    assert "cools down for another 12 s" in (reasons(decision)["small"] or "")
    for model in MODELS:
        routed.health.failed(model, now=NOW)
    assert routed.decide(ask()).model == "small"


def test_the_ledger_gets_the_record_without_any_text(prices, ask, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.db", prices=prices)
    routed = router(prices, policy=Always("small"), ledger=ledger)
    decision = routed.decide(ask("a very secret question"), RoutingContext(user="u1"))
    routed.record(DecisionRecord(decision=decision))
    routed.record(DecisionRecord(decision=decision))
    (note,) = ledger.notes("routing.decision")
    assert note.payload["decision_id"] == decision.id
    assert note.payload["baseline"] == "large"
    assert [c["model"] for c in note.payload["candidates"]] == MODELS
    assert note.payload["user"] == "u1"
    assert "secret" not in json.dumps(dict(note.payload))
    ledger.close()


def test_a_broken_ledger_does_not_stop_a_request(prices, ask, caplog):
    class Broken:
        prices = PriceBook()

        def note(self, *args, **kwargs):
            raise OSError("disk full")

    routed = router(prices, ledger=Broken())
    routed.record(DecisionRecord(decision=routed.decide(ask())))
    assert "could not be written" in caplog.text


def test_prices_are_read_again_after_an_hour(ask):
    book = {"read": 0}

    class Counting(PriceBook):
        def rates(self, *args, **kwargs):
            book["read"] += 1
            return super().rates(*args, **kwargs)

    times = iter([0.0, 10.0, 7200.0])
    price = ModelPrice(input=Decimal(1), output=Decimal(1))
    routed = Router(["m"], prices=Counting({"m": price}), clock=lambda: next(times))
    for _ in range(3):
        routed.decide(ask())
    assert book["read"] == 2


@given(
    wish=st.sampled_from(MODELS),
    window=st.integers(1, 3000),
    ceiling=st.sampled_from([None, *MODELS]),
    length=st.integers(0, 2000),
    cap=st.sampled_from([None, Decimal("0.0005"), Decimal("0.01")]),
)
def test_the_chosen_model_can_serve(wish, window, ceiling, length, cap):
    amounts = zip(MODELS, (1, 5, 20), strict=True)
    book = PriceBook({m: ModelPrice(input=Decimal(a), output=Decimal(a)) for m, a in amounts})
    specs = [ModelSpec("small", context_window=window), ModelSpec("middle"), ModelSpec("large")]
    tiers = {"": UserTier(ceiling=ceiling)} if ceiling else {}
    routed = Router(specs, prices=book, policy=Always(wish), tiers=tiers)
    request = ChatRequest(messages=(Message(role="user", content="x" * length),))
    try:
        decision = routed.decide(request, RoutingContext(max_cost=cap))
    except NoModelFitsError:
        return
    assert reasons(decision)[decision.model] is None
    assert reasons(decision)[decision.baseline] is None
    assert all(reasons(decision)[name] is None for name in decision.fallbacks)
