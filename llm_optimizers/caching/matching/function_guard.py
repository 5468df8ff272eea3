"""Compare the function words of two texts: which differences are shown to be harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from llm_optimizers.caching.matching.function_words import FunctionWords
from llm_optimizers.caching.matching.text_features import TextFeatures

__all__ = ["function_words_differ"]


def function_words_differ(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two texts differ in a function word that may be what is asked.

    Two texts are built alike if they are of one kind and have the same content words in the same
    order. Then every function word must be the same, but for harmless ones. Otherwise function
    words follow the construction ("bitcoin's value", "the value of bitcoin"): then a word may be
    in one text only, but none may stand for another of its role.
    """
    x, y = a.functions, b.functions
    strong = a.vocabulary.functions.strong
    strict = x.strict or y.strict
    alike = strict or (a.kind == b.kind and a.concepts == b.concepts)
    if a.light != b.light and (alike or _replaced(a.light, b.light, strong)):
        return True
    if strict and a.kind != b.kind:
        return True
    if _idle_replaced(x, y, alike):
        return True
    persons = Counter(x.persons), Counter(y.persons)
    if x.persons != y.persons and (
        alike or persons[0] == persons[1] or _replaced(*persons, strong)
    ):
        return True
    if len(x.amounts) > 1 and x.amounts != y.amounts:
        return True
    if _moods_differ(a, b, alike) or _owners_differ(a, b):
        return True
    if x.relations != y.relations:
        relations = _words(x.relations), _words(y.relations)
        if relations[0] == relations[1]:
            if len(relations[0]) > 1 and alike:
                return True
        elif alike or _replaced(*relations, strong):
            return True
    if x.origins.total() == y.origins.total() > 1 and x.origins != y.origins and alike:
        return True
    if x.counted != y.counted and (alike or _replaced(x.counted, y.counted, strong)):
        return True
    # "Of" says the same as an "'s" where the words have changed places.
    ties = ("of", "to", "me") if a.concepts == b.concepts else ("to", "me")
    left, right = _marks(x, ties), _marks(y, ties)
    return (left - right).total() == (right - left).total() == 1


def _marks(found: FunctionWords, ties: Iterable[str]) -> Counter[str]:
    """Return the words that may not stand for one another, whatever their roles."""
    joined = _words(found.relations) + found.counted + Counter(found.persons)
    for word in ties:
        joined[word] += found.idle[word]
    return joined


def _idle_replaced(x: FunctionWords, y: FunctionWords, alike: bool) -> bool:
    """Return whether an idle word stands for another: "to" for "of", "is" for "does"."""
    left, right = x.idle - y.idle, y.idle - x.idle
    if alike and left and right:
        return True
    ties = frozenset(["of", "to"])
    more, less = (
        _words(x.relations) - _words(y.relations),
        _words(y.relations) - _words(x.relations),
    )
    return alike and bool(
        (more and not ties.isdisjoint(right)) or (less and not ties.isdisjoint(left))
    )


def _words(bound: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter(word for word, _ in bound.elements())


def _replaced(x: Counter[str], y: Counter[str], strong: Set[str]) -> bool:
    """Return whether a word of one text stands for one of the other, or a strong one is missing."""
    more, less = x - y, y - x
    return bool(more and less) or not strong.isdisjoint(more | less)


def _owners_differ(a: TextFeatures, b: TextFeatures) -> bool:
    x, y = a.functions.owners, b.functions.owners
    if x == y:
        return False
    left, right = _words(x), _words(y)
    if left == right:
        return len(left) > 1
    if a.functions.defines or b.functions.defines:
        return True
    more, less = left - right, right - left
    if more and less:
        return True
    # Whose it is may go unsaid if it is the asker's own.
    return not (set(more) | set(less)) <= a.vocabulary.functions.near


def _moods_differ(a: TextFeatures, b: TextFeatures, alike: bool) -> bool:
    x, y = a.functions.moods, b.functions.moods
    if x == y:
        return False
    more, less = set(x - y), set(y - x)
    if more and less:
        return more | less != {"past", "have"}
    if not alike:
        return False
    if more | less == {"past"}:
        return (b if more else a).functions.finite
    if more | less <= {"will", "would"}:
        return not a.amounts.dates
    return True
