"""What a provider reports with an answer, read from the objects that a framework passes on.

The frameworks keep the provider's own object, or parts of it, in different places, and translate
some of its counts; a stream comes in chunks. An adapter hands all of it to a `Report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_optimizers.costs.answers import Reported
from llm_optimizers.costs.prices.tiers import service_tier, stated_tier
from llm_optimizers.costs.usage import Usage
from llm_optimizers.costs.usage.billed import Billed, cost_of_answer, cost_of_counts
from llm_optimizers.costs.usage.pieces import Pieces, counts_pieces
from llm_optimizers.costs.usage.places import as_fields, there
from llm_optimizers.costs.usage.reading import Counts, read_counts
from llm_optimizers.costs.usage.shapes import shape_of
from llm_optimizers.shown import safe_logger

__all__ = ["Report", "used_in"]

logger = safe_logger("llm_optimizers.costs")

# Where the counts stand in an answer, or in an event of a stream.
_COUNTS = (
    "usage",
    "token_usage",
    "usage_metadata",
    "usageMetadata",
    "response.usage",  # the events of OpenAI's Responses
    "message.usage",  # the first event of Anthropic's streams
    "metadata.usage",  # the last event of Bedrock's streams
    "amazon-bedrock-invocationMetrics",
    "x_groq.usage",
    "meta",  # Cohere's first version
)
_MODELS = ("model_name", "model", "model_version", "message.model", "response.model")


@dataclass(slots=True)
class Report:
    """Collects what a provider reports of one call, in one object or in the chunks of a stream.

    `adds_up`: the framework may have added up the numbers of a stream's chunks, and joined the
    texts, as LangChain does. Counts of the provider's own that are more than the framework's are
    then such a sum, and are not used, nor is a cost beside them.
    """

    adds_up: bool = False
    _model: str = ""
    _tier: str = ""
    _own: dict[str, Any] = field(default_factory=dict)
    _translated: dict[int, dict[str, Any]] = field(default_factory=dict)
    _billed: Billed = field(default_factory=Billed)
    _pieces: Pieces = field(default_factory=Pieces)
    _broken: bool = False

    def add(self, answer: object, *translated: object) -> Report:
        """Add an answer of the provider's, or a chunk, and what the framework made of its counts.

        Of counts that are reported several times the last counts: Anthropic reports the input in
        the first event and the output in the last, Gemini adds up itself.
        """
        try:
            self._add(answer, translated)
        except Exception as error:  # noqa: BLE001 - another package's object may raise anything
            logger.debug("could not read an answer's usage: %s", type(error).__name__)
            self._broken = True
        return self

    def _add(self, answer: object, translated: Sequence[object]) -> None:
        given = as_fields(answer)
        self._model = _model_in(given) or self._model
        self._tier = stated_tier(given) or self._tier
        self._pieces.add(given)
        _merge(self._own, _counts_in(given))
        billed = cost_of_answer(answer)
        if billed != Billed():
            self._billed = billed
        for number, each in enumerate(translated):
            fields = as_fields(each)
            self._pieces.add(fields)
            _merge(self._translated.setdefault(number, {}), _counts_in(fields))

    def add_tier(self, word: str) -> Report:
        """Add a tier that stands in none of the provider's places."""
        self._tier = word or self._tier
        return self

    def reported(self) -> Reported:
        """Return what was reported so far; more may be added. It is suspicious if it broke."""
        try:
            reported = self._reported()
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("could not read an answer's usage: %s", type(error).__name__)
            return Reported(model=self._model, suspicious=True)
        return replace(reported, suspicious=True) if self._broken else reported

    def _reported(self) -> Reported:
        read = [read_counts(counts) for counts in (self._own, *self._translated.values())]
        billed = self._billed if self._billed != Billed() else cost_of_counts(self._own)
        own, *translated = read
        if self.adds_up and own and any(t and own.total > t.total > 0 for t in translated):
            read, billed = translated, Billed()
        known = [each for each in read if each is not None]
        counts = _chosen(known)
        if not counts_pieces(self._own):
            for name, number in self._pieces.counts().items():
                counts[name] = counts.get(name, 0) or number
        return Reported(
            model=_unjoined(self._model) if self.adds_up else self._model,
            usage=Usage(**counts) if any(counts.values()) else None,
            tier=service_tier(self._tier),
            cost=billed.cost,
            suspicious=billed.suspicious or any(each.suspicious for each in known),
        )


def used_in(answer: object) -> Usage:
    """Return what a whole answer of the provider's says was used, zero if it says nothing."""
    return Report().add(answer).reported().usage or Usage()


def _chosen(read: Sequence[Counts]) -> dict[str, int]:
    """Return the counts with the most tokens, with those that it lacks from the others.

    The first are the provider's own: of a translation only what it names is more than they say.
    """
    if not read:
        return {}
    most = max(read, key=lambda each: each.tokens - (0 if each is read[0] else each.added))
    counts = dict(most.counts)
    for each in read:
        for name, number in each.counts.items():
            counts[name] = counts.get(name, 0) or number
    return counts


def _counts_in(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of an answer that has its counts; empty if there is none."""
    found = [each for _, value in there(given, _COUNTS) if (each := as_fields(value))]
    known = next((each for each in (*found, given) if shape_of(each) is not None), None)
    if known is not None:
        return known
    return next((each for each in found if counts_pieces(each)), {})


def _merge(into: dict[str, Any], later: Mapping[str, Any]) -> None:
    for name, value in later.items():
        if value or name not in into:
            into[name] = value


def _model_in(given: Mapping[str, Any]) -> str:
    for _, named in there(given, _MODELS):
        if isinstance(named, str) and named:
            return named
    return ""


def _unjoined(text: str) -> str:
    """Return the text that was joined to itself, else the text."""
    length = (text + text).find(text, 1)
    return text[:length] if 0 < length < len(text) else text
