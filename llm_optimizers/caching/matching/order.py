"""Find out whether two things changed places: "from A to B", "does A cause B", "who sold B"."""

from __future__ import annotations

from collections import Counter

from llm_optimizers.caching.matching.text_features import TextFeatures

__all__ = ["changed_places"]

_LONGEST = 40
"""Words in the longest stretch in which runs may change places."""


def changed_places(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether the same words stand in another relation to each other."""
    for connector, ends in a.after_connector.items():
        others = b.after_connector.get(connector)
        if others is not None and ends != others:
            moved = (ends - others) & set(b.concepts)
            if moved and (others - ends) & set(a.concepts):
                return True
    left, right = _joined_sorted(a), _joined_sorted(b)
    if left == right:
        return False
    shared = set(left) & set(right)
    if len(shared) == len(set(left)) == len(set(right)):
        if Counter(left) != Counter(right):
            return True
    else:
        left = list(dict.fromkeys(each for each in left if each in shared))
        right = list(dict.fromkeys(each for each in right if each in shared))
    return _exchanged(a, b) or (left != right and not _blocks_moved(left, right))


def _joined_sorted(found: TextFeatures) -> list[str]:
    """Return the concepts in order; those that "and" joins, which may change places, sorted."""
    row: list[str] = []
    joins = found.vocabulary.grammar.symmetric
    group: list[str] = []
    last = -9
    for concept, place in zip(found.concepts, found.places, strict=True):
        if place - last == 2 and found.words[place - 1] in joins:
            group.append(concept)
        else:
            row.extend(sorted(group))
            group = [concept]
        last = place
    row.extend(sorted(group))
    return row


def _exchanged(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two content words changed places and nothing else differs."""
    if len(a.raw) != len(b.raw):
        return False
    places = [place for place, (x, y) in enumerate(zip(a.raw, b.raw, strict=True)) if x != y]
    if len(places) != 2:
        return False
    first, second = places
    if a.raw[first] != b.raw[second] or a.raw[second] != b.raw[first]:
        return False
    return not (second - first == 2 and a.raw[first + 1] in a.vocabulary.grammar.symmetric)


def _blocks_moved(a: list[str], b: list[str]) -> bool:
    """Return whether two neighbouring runs of words changed places, as in "the review's tone"."""
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    end = len(a)
    while end > start and a[end - 1] == b[end - 1]:
        end -= 1
    x, y = a[start:end], b[start:end]
    turned = y + y
    return len(x) <= _LONGEST and any(turned[at : at + len(x)] == x for at in range(1, len(x)))
