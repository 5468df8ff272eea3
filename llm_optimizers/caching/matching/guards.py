"""Veto matches of questions that look alike and ask different things.

Embeddings put "increase my limit" next to "decrease my limit" and "order 1234" next to
"order 1243". Each guard finds one kind of difference and forbids the match. A pair that passes
all guards is still scored.
"""

from __future__ import annotations

from llm_optimizers.caching.matching.function_guard import function_words_differ
from llm_optimizers.caching.matching.order import changed_places
from llm_optimizers.caching.matching.text_features import TextFeatures, extract_features
from llm_optimizers.caching.matching.tokens import raw_words

__all__ = ["fired_guards", "vetoes"]


def vetoes(a: str, b: str) -> tuple[str, ...]:
    """Return the names of the guards that forbid a match of two texts.

    Never raises; linear in the lengths of the texts.
    """
    return fired_guards(extract_features(a), extract_features(b))


def fired_guards(a: TextFeatures, b: TextFeatures) -> tuple[str, ...]:
    """Return the names of the guards that forbid a match of two texts."""
    fired = []
    if (
        a.amounts.order != b.amounts.order
        or a.amounts.numbers != b.amounts.numbers
        or (a.amounts.units != b.amounts.units and a.amounts.units and b.amounts.units)
    ):
        fired.append("number")
    if a.amounts.currencies != b.amounts.currencies:
        fired.append("currency")
    if a.amounts.dates != b.amounts.dates:
        fired.append("date")
    if a.amounts.codes != b.amounts.codes:
        fired.append("code")
    if not (_quotes(b, a.quotations) and _quotes(a, b.quotations)):
        fired.append("quotation")
    if _negations_differ(a, b):
        fired.append("negation")
    if _opposed(a.opposites, b.opposites):
        fired.append("opposite")
    if a.formats != b.formats:
        fired.append("format")
    if _unknown_name(a, b) or _unknown_name(b, a):
        fired.append("name")
    if changed_places(a, b):
        fired.append("direction")
    if (a.kind != b.kind and not _compatible_kinds(a, b)) or (
        a.asks_object != b.asks_object and a.kind == b.kind and a.concepts != b.concepts
    ):
        fired.append("question")
    if function_words_differ(a, b):
        fired.append("word")
    return tuple(fired)


def _quotes(text: TextFeatures, quotations: list[str]) -> bool:
    """Return whether a text has all quotations, in quotation marks or as whole words."""
    padded = f" {' '.join(text.raw)} "
    return all(
        quotation in text.quotations or f" {' '.join(raw_words(quotation))} " in padded
        for quotation in quotations
    )


def _negations_differ(a: TextFeatures, b: TextFeatures) -> bool:
    if a.negations != b.negations and not (
        a.mentions_failure != b.mentions_failure and bool(a.negations) != bool(b.negations)
    ):
        return True
    return a.stems != b.stems and (_negates(a, b) or _negates(b, a))


def _negates(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether a word of `a` is a word of `b` with a prefix that reverses its meaning."""
    prefixes = a.vocabulary.prefixes
    for word in a.stems - b.stems:
        if word.startswith(prefixes):
            for prefix in prefixes:
                rest = word[len(prefix) :]
                if len(rest) > 2 and rest in b.stems and word.startswith(prefix):
                    return True
    return False


def _compatible_kinds(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether questions of two kinds may ask the same."""
    kinds = {a.kind, b.kind}
    if "howmuch" in kinds and kinds & {"what", ""}:
        # "What is the fee" asks for an amount, "what is bitcoin" does not.
        return not a.vocabulary.amount_stems.isdisjoint(a.stems & b.stems)
    if kinds == {"", "why"} and ("i" in a.functions.persons or "i" in b.functions.persons):
        return False
    if a.kind and b.kind and _without_kind(a) == _without_kind(b):
        return False
    return kinds in a.vocabulary.compatible_kinds or kinds in b.vocabulary.compatible_kinds


def _without_kind(found: TextFeatures) -> list[str]:
    """Return the words but for the one that says the kind of question."""
    return [word for place, word in enumerate(found.words) if place != found.kind_at]


def _opposed(a: dict[str, set[str]], b: dict[str, set[str]]) -> bool:
    for group, sides in a.items():
        others = b.get(group)
        if others is not None and not (sides <= others or others <= sides):
            return True
    return False


def _unknown_name(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether `a` has a name that `b` does not mention."""
    if not a.names:
        return False
    known = set(b.raw).union(b.words)
    return any(name not in known and not _same_name(name, a, b) for name in a.names)


def _same_name(name: str, a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether `b` has another form of a name of `a`: a synonym or initials."""
    synonyms = a.vocabulary.synonyms
    meant = synonyms.get(a.vocabulary.stem(name))
    if meant is not None and meant in b.concepts:
        return True
    if 1 < len(name) < 6 and name in _initials(b):
        return True
    return any(1 < len(other) < 6 and _spells(a, other, name) for other in b.names)


def _spells(found: TextFeatures, initials: str, name: str) -> bool:
    """Return whether words next to each other have these initials, the name among them."""
    words = [word for word in found.words if word not in found.vocabulary.grammar.silent]
    row = "".join(word[0] for word in words)
    at = row.find(initials)
    while at >= 0:
        if name in words[at : at + len(initials)]:
            return True
        at = row.find(initials, at + 1)
    return False


def _initials(found: TextFeatures) -> str:
    return "".join(word[0] for word in found.words if word not in found.vocabulary.grammar.silent)
