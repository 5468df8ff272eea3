"""One decision, from its input to every field of its result."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import Rates
from llm_optimizers.errors import ConfigurationError, NoModelFitsError
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.routing.deciding import Rules, decide
from llm_optimizers.routing.decision import Decision
from llm_optimizers.routing.filters import PriceSnapshot
from llm_optimizers.routing.policy import Choice, Escalation, PolicyInput
from llm_optimizers.routing.request import Previous, Requirements, RoutingContext
from llm_optimizers.routing.specs import ModelSpec, ModelTiers, UserTier
from llm_optimizers.types import ChatRequest, Message, ToolCall

NOW = 5_000.0
ASK = ChatRequest(messages=(Message(role="user", content="Why?"),), model="m")
REQUIREMENTS = Requirements(
    input_tokens=100, output_tokens=10, headroom=50, prefix_tokens=80, capabilities=frozenset()
)
ESCALATION = Escalation(to="large", verifier=Verifier(checks=()))


def rate(cents: int) -> Rates:
    value = Decimal(cents)
    return Rates(input=value, output=value, cache_read=value / 10, cache_write=value)


FLAT = Rates(input=Decimal(1), output=Decimal(1), cache_read=Decimal(1), cache_write=Decimal(1))


class Recording:
    """A policy that makes the choice it is given and keeps what it was asked with."""

    def __init__(self, model: str | None, **fields: Any) -> None:
        self.asked: list[PolicyInput] = []
        self._choice = (
            None if model is None else Choice(model=model, policy="test", reason="why", **fields)
        )

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        self.asked.append(policy_input)
        return self._choice


def decided(
    policy: Any,
    *,
    request: ChatRequest = ASK,
    models: tuple[ModelSpec | str, ...] = ("small", "middle", "large"),
    prices: dict[str, Rates | None] | None = None,
    windows: dict[str, int] | None = None,
    safe: str = "large",
    tiers: dict[str, UserTier] | None = None,
    cooling: dict[str, float] | None = None,
    **context: Any,
) -> Decision:
    ordered = ModelTiers.of(models)
    names = [spec.name for spec in ordered.specs]
    rates = {name: rate(position + 1) for position, name in enumerate(names)} | (prices or {})
    snapshot = PriceSnapshot(rates=rates, windows=dict.fromkeys(names, None) | (windows or {}))
    return decide(
        Rules(
            model_tiers=ordered,
            price_snapshot=snapshot,
            policy=policy,
            safe=safe,
            tiers=tiers or {},
        ),
        request,
        RoutingContext(**context),
        REQUIREMENTS,
        now=NOW,
        draw=lambda: 0.25,
        decision_id="id-1",
        cooling=cooling or {},
    )


def test_the_decision_carries_who_asked_when_and_for_what() -> None:
    found = decided(
        Recording("small"),
        tiers={"free": UserTier(ceiling="middle")},
        user="u",
        session="s",
        tier="free",
        task="t",
    )
    assert (found.id, found.time) == ("id-1", NOW)
    assert (found.user, found.session, found.tier, found.task) == ("u", "s", "free", "t")
    assert (found.model, found.reason, found.baseline) == ("small", "why", "middle")
    assert found.choice == Choice(model="small", policy="test", reason="why")
    assert found.requirements is REQUIREMENTS
    assert [c.model for c in found.candidates] == ["small", "middle", "large"]


def test_the_policy_is_asked_with_the_models_that_can_serve() -> None:
    policy = Recording("small")
    decided(policy, windows={"middle": 5}, user="u")
    (asked,) = policy.asked
    assert asked.request is ASK
    assert asked.context == RoutingContext(user="u")
    assert asked.requirements is REQUIREMENTS
    assert [c.model for c in asked.candidates] == ["small", "large"]
    assert (asked.safe, asked.now, asked.draw()) == ("large", NOW, 0.25)


def test_the_baseline_is_the_safe_model_or_the_next_stronger_or_the_strongest_that_can() -> None:
    assert decided(Recording("small"), safe="middle").baseline == "middle"
    assert decided(Recording("small"), safe="middle", windows={"middle": 5}).baseline == "large"
    assert decided(Recording("small"), windows={"large": 5}).baseline == "middle"


def test_a_choice_that_cannot_serve_is_replaced_by_the_next_stronger() -> None:
    found = decided(Recording("middle", escalation=ESCALATION), windows={"middle": 5})
    assert found.model == "large"
    assert found.reason == "why; middle cannot serve this request"
    assert found.escalation is None
    assert found.choice.escalation is ESCALATION


def test_a_choice_that_stands_keeps_its_escalation() -> None:
    assert decided(Recording("small", escalation=ESCALATION)).escalation is ESCALATION


@pytest.mark.parametrize(
    ("previous", "rates", "model"),
    [
        ("large", {"large": rate(3)}, "small"),
        ("large", {"small": rate(2), "large": rate(4)}, "large"),
        ("large", {"small": rate(1), "large": rate(1)}, "large"),
        ("large", {"small": FLAT, "large": FLAT}, "large"),
        ("large", {"small": None}, "large"),
        ("large", {"large": None}, "large"),
        ("small", {"small": rate(9)}, "small"),
        ("gone", {}, "small"),
    ],
)
def test_a_conversation_moves_down_only_if_that_is_cheaper(
    previous: str, rates: dict[str, Rates | None], model: str
) -> None:
    found = decided(
        Recording("small"), prices=rates, previous=Previous(model=previous, at=NOW - 10)
    )
    assert found.model == model
    assert found.choice.model == "small"
    if model == "large":
        assert found.reason.startswith("stays with large: moving the conversation to small")


def test_a_model_of_the_same_tier_takes_over_whatever_it_costs() -> None:
    models = (ModelSpec("a", tier=1), ModelSpec("b", tier=1))
    found = decided(
        Recording("a"),
        models=models,
        safe="b",
        prices={"a": rate(50), "b": rate(1)},
        previous=Previous(model="b", at=NOW),
    )
    assert found.model == "a"


def tool_result(last: str = "tool") -> ChatRequest:
    call = ToolCall(id="1", name="f", arguments="{}")
    messages = [
        Message(role="user", content="Go."),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="done", tool_call_id="1"),
    ]
    if last == "user":
        messages.append(Message(role="user", content="And?"))
    return ChatRequest(messages=tuple(messages), model="m")


def test_a_tools_result_goes_back_to_its_model_without_asking_the_policy() -> None:
    policy = Recording("large")
    found = decided(policy, request=tool_result(), previous=Previous(model="small"))
    assert (found.model, found.reason) == ("small", "answers its own tool call")
    assert found.choice.policy == "hold"
    assert not policy.asked


def test_the_policy_decides_where_no_tool_call_is_open_or_its_model_cannot_serve() -> None:
    previous = Previous(model="small")
    after = decided(Recording("large"), request=tool_result("user"), previous=previous)
    assert after.model == "large"
    unknown = decided(Recording("large"), request=tool_result())
    assert unknown.model == "large"
    rejected = decided(
        Recording("large"), request=tool_result(), previous=previous, windows={"small": 5}
    )
    assert rejected.model == "large"
    empty = ChatRequest(messages=(), model="m")
    assert decided(Recording("large"), request=empty, previous=previous).model == "large"


def test_where_every_policy_abstains_the_safe_model_serves() -> None:
    found = decided(Recording(None), safe="middle")
    assert (found.model, found.reason) == ("middle", "every policy abstained")
    assert found.choice.policy == "safe"


def test_where_the_policy_fails_the_safe_model_serves_and_it_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def choose(self, policy_input: PolicyInput) -> Choice | None:
            raise RuntimeError("with a prompt's text")

    with caplog.at_level(logging.WARNING):
        found = decided(Broken(), safe="middle")
    assert (found.model, found.reason) == ("middle", "the policy failed (RuntimeError)")
    assert found.choice.policy == "safe"
    assert caplog.messages == [
        "routing policy Broken failed (RuntimeError); the safe model answers"
    ]


def test_fallbacks_are_the_same_tier_then_stronger_then_weaker_nearest_first() -> None:
    models = tuple(
        ModelSpec(name, tier=tier)
        for name, tier in (("a1", 1), ("b2", 2), ("c3", 3), ("d3", 3), ("e4", 4), ("f5", 5))
    )
    found = decided(Recording("c3"), models=models, safe="f5", windows={"e4": 5})
    assert found.fallbacks == ("d3", "f5", "b2", "a1")


def test_an_unknown_user_tier_is_refused_only_where_tiers_are_set() -> None:
    assert decided(Recording("small"), tier="gold").model == "small"
    assert decided(Recording("small"), tiers={"free": UserTier()}).model == "small"
    with pytest.raises(ConfigurationError, match=r"no user tier 'gold'.*free, paid"):
        decided(Recording("small"), tier="gold", tiers={"paid": UserTier(), "free": UserTier()})


def test_the_tier_without_a_name_is_used_for_those_without_a_tier() -> None:
    found = decided(Recording("large"), tiers={"": UserTier(ceiling="small")})
    assert found.model == "small"


def test_where_no_model_fits_each_is_named_with_its_reason() -> None:
    with pytest.raises(NoModelFitsError, match=r"  small: context window of 5 .*\n  middle: "):
        decided(Recording("small"), windows={"small": 5, "middle": 5, "large": 5})


def test_models_that_failed_lately_are_left_out() -> None:
    found = decided(Recording("small"), cooling={"small": 3.0})
    assert found.model == "middle"
    assert "small" not in found.fallbacks


def test_of_two_models_of_a_tier_the_chosen_one_serves_or_else_its_sibling() -> None:
    models = (ModelSpec("a", tier=1), ModelSpec("b", tier=1), ModelSpec("c", tier=2))
    assert decided(Recording("b"), models=models, safe="c").model == "b"
    assert decided(Recording("b"), models=models, safe="c", windows={"b": 5}).model == "a"


def test_the_policys_error_is_shown_with_its_traceback_only_to_those_who_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = RuntimeError("with a prompt's text")

    class Broken:
        def choose(self, policy_input: PolicyInput) -> Choice | None:
            raise error

    with caplog.at_level(logging.DEBUG):
        decided(Broken())
    shown = [record for record in caplog.records if record.exc_info]
    assert [(record.levelno, record.exc_info[1]) for record in shown if record.exc_info] == [
        (logging.DEBUG, error)
    ]
    assert "policy" in shown[0].getMessage()
