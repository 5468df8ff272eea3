"""The corpus of real texts: the same each time, with texts of every kind."""

from __future__ import annotations

from collections import Counter

from prompts.corpus import COUNTS, Library, build
from prompts.judges import READERS, is_readable
from prompts.places import PLACES, asking, left_of


def test_the_same_seed_gives_the_same_texts_and_another_seed_others() -> None:
    once, again, other = (build(Library.standard(), seed=n, share=0.02) for n in (1, 1, 2))
    assert once == again
    assert once != other


def test_a_tenth_of_it_has_different_texts_of_every_kind() -> None:
    texts = build(Library.standard(), share=0.1)
    assert len({(each.kind, each.text) for each in texts}) == len(texts)
    kinds = Counter(each.kind for each in texts)
    # The standard library has neither prompts nor headers.
    assert kinds.keys() | {"prompt", "c"} == COUNTS.keys()
    readable = Counter(each.kind for each in texts if is_readable(each.kind, each.text))
    for kind in READERS:
        # A third of the diffs are drawn in a form without a reader, and few texts vary by chance.
        assert readable[kind] >= kinds[kind] / 4, kind


def test_a_text_is_found_again_where_it_was_put() -> None:
    for place in PLACES:
        request = asking("<document>a  b\n", place, "gpt-4o")
        assert left_of(request, request, place) == "<document>a  b\n"


def test_a_change_around_a_text_is_noticed() -> None:
    asked = asking("the text", "context", "gpt-4o")
    assert left_of(asking("the text", "user", "gpt-4o"), asked, "context") is None
    asked = asking("the text", "tool", "gpt-4o")
    other = asking("the text", "user", "gpt-4o")
    assert left_of(other, asked, "tool") is None
