"""Compare the function words of two texts: which differences are shown to be harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from llm_optimizers.caching.matching.function_words import FunctionWords
from llm_optimizers.caching.matching.text_features import TextFeatures

__all__ = ["function_words_differ"]


def function_words_differ(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two texts differ in a function word that may be what is asked.

    A text that speaks about words must have the same ones. In any other a small word may be missing
    ("learn about physics", "learn physics"), but not a strong one ("only", "else", "before"), and
    none may stand for another: in texts that are built alike, of one kind and with the same content
    words in the same order, none at all, and time and mood must be the same; otherwise ("bitcoin's
    value", "the value of bitcoin") none of its role, and not one for the only other.
    """
    x, y = a.functions, b.functions
    strict = x.strict or y.strict
    alike = strict or (a.kind == b.kind and a.concepts == b.concepts)
    roles = a.vocabulary.functions
    marks = _all_marks(a), _all_marks(b)
    if strict and (a.kind != b.kind or marks[0] != marks[1]):
        return True
    if alike and (_replaced(*marks) or _lost(*marks, roles.fixed)):
        return True
    persons = Counter(x.persons), Counter(y.persons)
    if x.persons != y.persons and persons[0] == persons[1]:
        return True
    tables = (
        (a.light, b.light),
        persons,
        (_words(x.relations), _words(y.relations)),
        (x.counted, y.counted),
    )
    if any(_replaced(*table) or _lost(*table, roles.strong) for table in tables):
        return True
    if _bound_elsewhere(x, y, alike) or _moods_differ(a, b, alike) or _owners_differ(a, b):
        return True
    # "Of" says the same as an "'s" where the words have changed places.
    ties = ("of", "to", "me") if a.concepts == b.concepts else ("to", "me")
    left, right = _marks(x, ties), _marks(y, ties)
    return (left - right).total() == (right - left).total() == 1


def _bound_elsewhere(x: FunctionWords, y: FunctionWords, alike: bool) -> bool:
    """Return whether the same words belong to other concepts: "from a to b", "from b to a"."""
    if max(len(x.amounts), len(y.amounts)) > 1 and x.amounts != y.amounts:
        return True
    if not alike:
        return False
    relations, others = _words(x.relations), _words(y.relations)
    if x.relations != y.relations and relations == others and len(relations) > 1:
        return True
    return x.origins != y.origins and x.origins.total() == y.origins.total() > 1


def _all_marks(found: TextFeatures) -> Counter[str]:
    """Return every small word that was counted, and the light verbs."""
    x = found.functions
    return _words(x.relations) + x.counted + Counter(x.persons) + x.idle + found.light


def _marks(found: FunctionWords, ties: Iterable[str]) -> Counter[str]:
    """Return the words that may not stand for one another, whatever their roles."""
    joined = _words(found.relations) + found.counted + Counter(found.persons)
    for word in ties:
        joined[word] += found.idle[word]
    return joined


def _words(bound: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter(word for word, _ in bound.elements())


def _replaced(x: Counter[str], y: Counter[str]) -> bool:
    """Return whether a word of one text stands for one of the other."""
    return bool(x - y and y - x)


def _lost(x: Counter[str], y: Counter[str], strong: Set[str]) -> bool:
    """Return whether a strong word is in one text only."""
    return not strong.isdisjoint((x - y) | (y - x))


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
        return not (a.amounts.dates and b.amounts.dates)
    return True
