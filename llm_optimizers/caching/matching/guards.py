"""Veto matches of questions that look alike and ask different things.

Embeddings put "increase my limit" next to "decrease my limit" and "order 1234" next to
"order 1243". Each guard finds one kind of difference and forbids the match. A pair that passes
all guards is still scored.
"""

from __future__ import annotations

from llm_optimizers.caching.matching.text_features import TextFeatures, extract_features

__all__ = ["fired_guards", "vetoes"]

_SHUFFLE_LIMIT = 40
"""Words in the longest text whose word order is compared pair by pair."""


def vetoes(a: str, b: str) -> tuple[str, ...]:
    """Return the names of the guards that forbid a match of two texts.

    Never raises; linear in the lengths of the texts.
    """
    return fired_guards(extract_features(a), extract_features(b))


def fired_guards(a: TextFeatures, b: TextFeatures) -> tuple[str, ...]:
    """Return the names of the guards that forbid a match of two texts."""
    fired = []
    if a.amounts.numbers != b.amounts.numbers or (
        a.amounts.units != b.amounts.units and a.amounts.units and b.amounts.units
    ):
        fired.append("number")
    if a.amounts.currencies != b.amounts.currencies:
        fired.append("currency")
    if a.amounts.dates != b.amounts.dates:
        fired.append("date")
    if a.amounts.codes != b.amounts.codes:
        fired.append("code")
    if not (_contains(b.lowercase, a.quotations) and _contains(a.lowercase, b.quotations)):
        fired.append("quotation")
    if _negations_differ(a, b):
        fired.append("negation")
    if _opposed(a.opposites, b.opposites):
        fired.append("opposite")
    if a.formats != b.formats:
        fired.append("format")
    if _unknown_name(a, b) or _unknown_name(b, a):
        fired.append("name")
    if _reversed(a, b):
        fired.append("direction")
    if a.kind and b.kind and a.kind != b.kind and not _compatible_kinds(a, b):
        fired.append("question")
    return tuple(fired)


def _contains(text: str, quotations: list[str]) -> bool:
    return all(quotation in text for quotation in quotations)


def _negations_differ(a: TextFeatures, b: TextFeatures) -> bool:
    if a.negated != b.negated and not (a.mentions_failure or b.mentions_failure):
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
    """Return whether questions of two kinds may ask the same; a statement fits every kind."""
    kinds = {a.kind, b.kind}
    return kinds in a.vocabulary.compatible_kinds or kinds in b.vocabulary.compatible_kinds


def _opposed(a: dict[str, set[str]], b: dict[str, set[str]]) -> bool:
    for group, sides in a.items():
        others = b.get(group)
        if others is not None and not (sides <= others or others <= sides):
            return True
    return False


def _unknown_name(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether `a` has a name that `b` does not mention."""
    for name in a.names:
        if name not in b.lowercase and not _abbreviated(name, b) and not _spelled_out(a, b):
            return True
    return False


def _abbreviated(name: str, other: TextFeatures) -> bool:
    """Return whether a name is a form of the other's ("Indian", "India") or of its initials."""
    if any(len(word) > 3 and name.startswith(word) for word in other.names):
        return True
    return 1 < len(name) < 6 and name in _initials(other)


def _spelled_out(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether a name of `b` is made of the initials of words next to each other in `a`."""
    initials = _initials(a)
    return any(1 < len(name) < 6 and name in initials for name in b.names)


def _initials(found: TextFeatures) -> str:
    return "".join(word[0] for word in found.words if word not in found.vocabulary.grammar.silent)


def _reversed(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two things changed places: "from A to B", or "does A cause B"."""
    for connector, ends in a.after_connector.items():
        others = b.after_connector.get(connector)
        if others is not None and ends != others:
            moved = (ends - others) & set(b.concepts)
            if moved and (others - ends) & set(a.concepts):
                return True
    if len(a.concepts) != len(b.concepts) or a.concepts == b.concepts:
        return False
    if _shuffled(a, b):
        return True
    # Neighbours may change places ("the review's tone"), words on two sides of a verb may not.
    swapped = [
        (place, x, y)
        for place, (x, y) in enumerate(zip(a.concepts, b.concepts, strict=True))
        if x != y
    ]
    return (
        len(swapped) == 2
        and swapped[0][1:] == swapped[1][:0:-1]
        and swapped[1][0] - swapped[0][0] > 1
        and not _symmetric(a)
        and not _symmetric(b)
    )


def _symmetric(found: TextFeatures) -> bool:
    """Return whether a text joins things that may change places, as "and" does."""
    return not found.vocabulary.grammar.symmetric.isdisjoint(found.words)


def _shuffled(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether most pairs of the same words are in another order, within one clause."""
    if len(a.concepts) < 4 or "," in a.lowercase or "," in b.lowercase:
        return False
    if len(set(a.concepts)) < len(a.concepts) or set(a.concepts) != set(b.concepts):
        return False
    places = {concept: place for place, concept in enumerate(b.concepts)}
    row = [places[concept] for concept in a.concepts]
    if len(row) > _SHUFFLE_LIMIT:
        return False
    if _symmetric(a) and _symmetric(b):
        return False
    inversions = sum(x > y for place, x in enumerate(row) for y in row[place + 1 :])
    return inversions * 4 > len(row) * (len(row) - 1)
