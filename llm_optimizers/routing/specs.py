"""Models in order of strength with their capabilities, and the bounds of each kind of user.

Prices are not kept here: they come from the price book, where they have dates. A spec says what
no price list knows: which model is the stronger one, and what a model cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from llm_optimizers.arguments import (
    amount,
    keep,
    names,
    number,
    optional,
    refuse,
    sequence,
    text,
    whole,
)
from llm_optimizers.costs import PriceBook, Rates
from llm_optimizers.errors import ConfigurationError, UnpricedError
from llm_optimizers.lazy import renamed_attributes

__all__ = [
    "ALL_CAPABILITIES",
    "NO_BOUNDS",
    "Capability",
    "ModelSpec",
    "ModelTiers",
    "UserTier",
    "named",
]

Capability: TypeAlias = Literal[
    "tools", "structured_output", "vision", "audio", "files", "streaming"
]
M = TypeVar("M")
ALL_CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability))


def named(
    models: Mapping[str, M] | Iterable[M], name_of: Callable[[M], str], *, router: str
) -> dict[str, M]:
    """Return a router's models by name: the one given, or the model's own.

    `router` is the router's class in messages.

    Raises:
        ConfigurationError: they are in no list or mapping, there are none, or two models in a list
            have the same name.
    """
    given: Any = models
    # A model is iterable too: pydantic's objects yield their fields.
    if isinstance(given, str | bytes) or not isinstance(given, Collection | Iterator):
        give = f"a list, weakest first, or a mapping by name: {router} chooses between models"
        refuse("models", given, give)
    pairs: Iterable[tuple[str, M]] = (
        given.items() if isinstance(given, Mapping) else ((name_of(each), each) for each in given)
    )
    found: dict[str, M] = {}
    for name, model in pairs:
        if name in found:
            raise ConfigurationError(
                f"two models have the same model name, {name}: name them in a mapping, such as "
                f"models={{'{name} (1)': …, '{name} (2)': …}}"
            )
        found[name] = model
    if not found:
        refuse("models", given, f"one or more, weakest first: {router} got no models")
    return found


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model a request may go to.

    `name` is used by policies and records; `model` is the name in the price list where that
    differs ("gpt-4o-mini" for "cheap"). `tier` orders models by strength, higher is stronger;
    models of one tier replace each other when one fails. Set it for all models or for none:
    without it the order in which the models are listed counts, weakest first.
    `context_window` (tokens) is looked up in the price book when left out; an unknown window is
    taken to be large enough. A model is taken to be capable of everything unless `capabilities`
    says less. `latency_s` is the typical time to a full answer, for `FastEnough`.
    """

    name: str
    _: KW_ONLY
    model: str | None = None
    provider: str | None = None
    tier: int | None = None
    context_window: int | None = None
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    latency_s: float | None = None

    def __post_init__(self) -> None:
        text("name", self.name)
        optional(text, "model", self.model)
        optional(text, "provider", self.provider)
        keep(self, "tier", optional(whole, "tier", self.tier))
        window = optional(whole, "context_window", self.context_window, least=1)
        keep(self, "context_window", window)
        keep(self, "latency_s", optional(number, "latency_s", self.latency_s, least=0))
        known = names("capabilities", self.capabilities, get_args(Capability))
        keep(self, "capabilities", known)

    @property
    def priced_as(self) -> str:
        """The model's name in the price book."""
        return self.model or self.name

    def rates(self, prices: PriceBook, *, at: datetime | None = None) -> Rates | None:
        """Return the rates in dollars per token, None if the price book does not have the model."""
        for model, provider in self._aliases():
            try:
                return prices.rates(model, provider=provider, at=at)
            except UnpricedError:
                continue
        return None

    def window(self, prices: PriceBook) -> int | None:
        """Return the context window in tokens: the spec's, or else the price book's."""
        if self.context_window is not None:
            return self.context_window
        for model, provider in self._aliases():
            window = prices.context_window(model, provider=provider)
            if window is not None:
                return window
        return None

    def _aliases(self) -> Iterable[tuple[str, str | None]]:
        """Yield name and provider as the price list may have them: as given, then split at ":"."""
        name = self.priced_as
        yield name, self.provider
        prefix, colon, rest = name.partition(":")
        if colon and rest and self.provider is None:
            yield rest, prefix
            yield rest, None


@renamed_attributes(rung="rank", rungs="ranks")
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTiers:
    """Models in order of strength, weakest first, with their ranks."""

    specs: tuple[ModelSpec, ...]
    ranks: Mapping[str, int]
    """A model's tier, or its position when no tiers were given."""

    @classmethod
    def of(cls, models: Sequence[ModelSpec | str]) -> ModelTiers:
        """Put models in order.

        Raises:
            ConfigurationError: none given, a name twice, or tiers given to only some.
        """
        given: tuple[ModelSpec | str, ...] = sequence("models", models, (ModelSpec, str), least=1)
        specs = tuple(
            ModelSpec(text(f"models[{at}]", m)) if isinstance(m, str) else m
            for at, m in enumerate(given)
        )
        listed = [spec.name for spec in specs]
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise ConfigurationError(f"`models` are listed twice: {', '.join(twice)}")
        tiered = [spec for spec in specs if spec.tier is not None]
        if tiered and len(tiered) != len(specs):
            bare = ", ".join(spec.name for spec in specs if spec.tier is None)
            raise ConfigurationError(f"give a tier to every model or to none; missing: {bare}")
        ordered = tuple(sorted(specs, key=lambda spec: spec.tier or 0))
        ranks = {
            spec.name: position if spec.tier is None else spec.tier
            for position, spec in enumerate(ordered)
        }
        return cls(specs=ordered, ranks=ranks)

    def spec(self, name: str) -> ModelSpec:
        """Return the spec of a model.

        Raises:
            ConfigurationError: no such model; lists those there are.
        """
        self.rank(name)
        return next(spec for spec in self.specs if spec.name == name)

    def rank(self, name: str) -> int:
        """Return a model's rank: its tier, or its position when no tiers were given.

        Raises:
            ConfigurationError: no such model; lists those there are.
        """
        rank = self.ranks.get(name)
        if rank is None:
            raise ConfigurationError(
                f"no model {name!r} in this router; its `models` are {', '.join(self.ranks)}"
            )
        return rank

    @property
    def strongest(self) -> str:
        """The strongest model's name."""
        return self.specs[-1].name


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTier:
    """The bounds for one kind of user: models by name, and dollars per request.

    `floor` and `ceiling` name the weakest and the strongest model allowed (others of their tier
    are allowed too); `allowed` lists models by name. What is left out sets no bound.
    """

    allowed: frozenset[str] | None = None
    floor: str | None = None
    ceiling: str | None = None
    max_cost: Decimal | None = None

    def __post_init__(self) -> None:
        if self.allowed is not None:
            keep(self, "allowed", frozenset(sequence("allowed", self.allowed, str, least=1)))
        optional(text, "floor", self.floor)
        optional(text, "ceiling", self.ceiling)
        if self.max_cost is not None:
            keep(self, "max_cost", amount("max_cost", self.max_cost, above=0))

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has the models that the tier names.

        Raises:
            ConfigurationError: a name is unknown, or the floor lies above the ceiling.
        """
        for name in (*(self.allowed or ()), self.floor, self.ceiling):
            if name is not None:
                model_tiers.rank(name)
        if (
            self.floor
            and self.ceiling
            and model_tiers.rank(self.floor) > model_tiers.rank(self.ceiling)
        ):
            raise ConfigurationError(
                f"the tier's floor {self.floor} is stronger than its ceiling {self.ceiling}"
            )

    def objections(self, model_tiers: ModelTiers) -> dict[str, str]:
        """Return the models this tier may not use, each with the reason."""
        found: dict[str, str] = {}
        for name, rank in model_tiers.ranks.items():
            if self.allowed is not None and name not in self.allowed:
                found[name] = "not among the models of the user's tier"
            elif self.floor is not None and rank < model_tiers.ranks[self.floor]:
                found[name] = f"below the user's floor {self.floor}"
            elif self.ceiling is not None and rank > model_tiers.ranks[self.ceiling]:
                found[name] = f"above the user's ceiling {self.ceiling}"
        return found


NO_BOUNDS = UserTier()
"""The tier of users without one."""
