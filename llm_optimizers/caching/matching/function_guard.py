"""Compare the function words of two texts: which differences are shown to be harmless."""

from __future__ import annotations

from collections import Counter

from llm_optimizers.caching.matching.text_features import TextFeatures

__all__ = ["function_words_differ"]


def function_words_differ(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two texts differ in a function word that may be what is asked."""
    x, y = a.functions, b.functions
    return (
        x.counted != y.counted
        or x.persons != y.persons
        or _moods_differ(a, b)
        or _bound_differ(x.relations, y.relations)
        or _owners_differ(a, b)
        or (x.origins.total() == y.origins.total() > 1 and x.origins != y.origins)
    )


def _bound_differ(x: Counter[tuple[str, str]], y: Counter[tuple[str, str]]) -> bool:
    """Compare words bound to concepts; to which they are bound counts if there are several."""
    if x == y:
        return False
    left, right = Counter(w for w, _ in x.elements()), Counter(w for w, _ in y.elements())
    return left != right or len(left) > 1


def _owners_differ(a: TextFeatures, b: TextFeatures) -> bool:
    x, y = a.functions.owners, b.functions.owners
    if x == y:
        return False
    left, right = Counter(w for w, _ in x.elements()), Counter(w for w, _ in y.elements())
    if left == right:
        return len(left) > 1
    more, less = left - right, right - left
    if more and less:
        return True
    # Whose it is may go unsaid if it is the asker's own.
    return not (set(more) | set(less)) <= a.vocabulary.functions.near


def _moods_differ(a: TextFeatures, b: TextFeatures) -> bool:
    x, y = a.functions.moods, b.functions.moods
    if x == y:
        return False
    more, less = set(x - y), set(y - x)
    if more and less:
        return more | less != {"past", "have"}
    if more | less == {"past"}:
        return (b if more else a).functions.finite
    if more | less <= {"will", "would"}:
        return not a.amounts.dates
    return True
