"""The router: settings, a clock, random numbers and cooldowns around a pure decision."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from llm_optimizers.arguments import (
    function,
    instance,
    mapping,
    number,
    one_of,
    optional,
    text,
    whole,
    with_methods,
)
from llm_optimizers.costs import Ledger, PriceBook
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import WarningLog
from llm_optimizers.fingerprint import digest
from llm_optimizers.holdout import is_held_out
from llm_optimizers.lazy import renamed_attributes
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.routing.deciding import Rules, decide
from llm_optimizers.routing.decision import (
    DECISION_NOTE,
    DRIFT_NOTE,
    FEEDBACK_NOTE,
    Decision,
    DecisionRecord,
)
from llm_optimizers.routing.filters import PriceSnapshot
from llm_optimizers.routing.health import Health
from llm_optimizers.routing.policies.simple import Always
from llm_optimizers.routing.policy import Policy, check_policies, checked_policy
from llm_optimizers.routing.request import (
    RoutingContext,
    TokenEstimate,
    estimate_tokens,
    requirements_of,
)
from llm_optimizers.routing.specs import ModelSpec, ModelTiers, UserTier
from llm_optimizers.types import ChatRequest, Clock
from llm_optimizers.warming import WarmsUp

if TYPE_CHECKING:
    from llm_optimizers.evidence.drift import DriftAlarm

__all__ = ["DECISION_NOTE", "Router"]


PRICES_VALID_S = 3600.0
_SLOW_S = 0.01
_OUTSIDE = 100  # decisions made outside the event loop after one that took longer than that

T = TypeVar("T")


@renamed_attributes(ladder="model_tiers", once="warnings")
class Router(WarmsUp, PickledAsArguments):
    """Decides which model serves a request, and records why.

    List the models weakest first, or give each a tier. `safe` is the model that serves when
    nothing better is known, and the baseline that savings are counted against; by default the
    strongest. Without a policy every request goes to it. `expected_output_tokens` prices requests
    that set no token limit. `drift` holds an alarm for each cheap model of a learned policy.

    Raises:
        ConfigurationError: models, tiers, policy and safe model contradict each other; says how.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec | str],
        *,
        policy: Policy | None = None,
        safe: str | None = None,
        tiers: Mapping[str, UserTier] | None = None,
        prices: PriceBook | None = None,
        ledger: Ledger | None = None,
        health: Health | None = None,
        drift: Mapping[str, DriftAlarm] | None = None,
        count_tokens: TokenEstimate = estimate_tokens,
        expected_output_tokens: int = 400,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.model_tiers = ModelTiers.of(models)
        self._specs_digest = digest(self.model_tiers.specs)
        own_safe = optional(one_of, "safe", safe, self.model_tiers.ranks)
        self.safe: str = own_safe or self.model_tiers.strongest
        self.policy: Policy = optional(checked_policy, "policy", policy) or Always(self.safe)
        check_policies([self.policy], self.model_tiers)
        self.tiers = optional(mapping, "tiers", tiers, UserTier) or {}
        for tier in self.tiers.values():
            tier.check(self.model_tiers)
        self.health = optional(instance, "health", health, Health) or Health()
        self.clock = function("clock", clock)
        self.warnings = WarningLog()
        self._drift = {} if drift is None else _alarms(drift)
        self._ledger = checked_ledger(ledger)
        own_prices = optional(instance, "prices", prices, PriceBook)
        self._prices = own_prices or (ledger.prices if ledger is not None else PriceBook())
        self._count_tokens = function("count_tokens", count_tokens)
        self._expected_output = whole("expected_output_tokens", expected_output_tokens, least=0)
        # Random numbers pick arms and sample traffic; nothing secret depends on them.
        generator = random.Random() if rng is None else rng  # noqa: S311
        with_methods("rng", generator, "random", give="a random.Random(seed)")
        self._draw: Callable[[], float] = generator.random
        self._rules: tuple[float, Rules] | None = None
        self._outside = 0

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        names = ("policy", "safe", "tiers", "health", "clock")
        return {name: getattr(self, name) for name in names}

    def decide(self, request: ChatRequest, context: RoutingContext | None = None) -> Decision:
        """Choose the model for one request, without calling it.

        A call that is held out (see `holdout`) goes to the safe model.

        Raises:
            NoModelFitsError: no model can serve it; the message lists each with its reason.
        """
        instance("request", request, ChatRequest)
        context = optional(instance, "context", context, RoutingContext) or RoutingContext()
        now = self.clock()
        rules, began = self._rules_at(now), time.perf_counter()
        if is_held_out():
            rules = replace(rules, policy=Always(self.safe))
        decision = decide(
            rules,
            request,
            context,
            requirements_of(
                request,
                streaming=context.streaming,
                expected_output=self._expected_output,
                count_tokens=self._count_tokens,
            ),
            now=now,
            draw=self._draw,
            decision_id=f"{int(now * 1000):011x}{int(self._draw() * 2**52):013x}",
            cooling=self.health.cooling(now=now),
        )
        slow = time.perf_counter() - began > _SLOW_S
        self._outside = _OUTSIDE if slow else max(self._outside - 1, 0)
        return decision

    def warm_up(self) -> None:
        """Load the prices now, which the first decision would do."""
        self._rules_at(self.clock())

    async def adecided(self, start: Callable[[], T]) -> T:
        """Return `start()`, which makes a decision, without blocking the event loop.

        Deciding takes microseconds, so no thread is needed for it, but the first time prices are
        loaded, and a user's policy or count of tokens may take long.
        """
        if self._rules is not None and not self._outside:
            return start()
        return await asyncio.to_thread(start)

    def __fingerprint__(self) -> object:
        """What decides which model answers, for the key of a cache in front of the router."""
        settings = (self.policy, self.safe, self.tiers, self._specs_digest)
        return (*settings, self._expected_output, self._count_tokens)

    def record(self, record: DecisionRecord) -> None:
        """Write a decision and its calls to the ledger; never raises."""
        self._note(DECISION_NOTE, record.to_json(), id=record.decision.id)
        for model, alarm in self._drift.items():
            score = record.decision.choice.scores.get(model)
            index = alarm.observe(score) if score is not None else None
            if index is not None:
                message = (
                    "requests no longer look like those the router was calibrated on (population "
                    f"stability index {index:.2f} for {model}): label some recent requests and "
                    "refit it"
                )
                emit(Notice(component=__name__, message=message))
                self._note(DRIFT_NOTE, {"model": model, "stability_index": index})

    def feedback(self, decision_id: str, score: float) -> None:
        """Record the score of a served answer, on the labels' scale, for experiments.

        Raises:
            ConfigurationError: the id is no text, or the score no finite number.
        """
        text("decision_id", decision_id)
        score = number("score", score)
        self._note(FEEDBACK_NOTE, {"decision_id": decision_id, "score": score})

    def _note(self, kind: str, payload: Mapping[str, Any], *, id: str | None = None) -> None:  # noqa: A002 - as in the ledger
        if self._ledger is None:
            return
        try:
            self._ledger.note(kind, payload, id=id)
        except Exception as error:  # noqa: BLE001 - an unwritten record must not cost an answer
            name = type(error).__name__
            text = f"a {kind} could not be written to the ledger ({name})"
            self.warnings.warn_once(__name__, text)

    def _rules_at(self, now: float) -> Rules:
        """Return rules with prices at most an hour old: a price look-up is slower than deciding."""
        if self._rules is None or now - self._rules[0] > PRICES_VALID_S:
            at = datetime.fromtimestamp(now, UTC)
            price_snapshot = PriceSnapshot(
                rates={s.name: s.rates(self._prices, at=at) for s in self.model_tiers.specs},
                windows={s.name: s.window(self._prices) for s in self.model_tiers.specs},
            )
            rules = Rules(
                model_tiers=self.model_tiers,
                price_snapshot=price_snapshot,
                policy=self.policy,
                safe=self.safe,
                tiers=self.tiers,
                warnings=self.warnings,
            )
            self._rules = (now, rules)
        return self._rules[1]


def _alarms(drift: Mapping[str, DriftAlarm]) -> dict[str, DriftAlarm]:
    from llm_optimizers.evidence.drift import DriftAlarm  # most routers have none

    return mapping("drift", drift, DriftAlarm)
