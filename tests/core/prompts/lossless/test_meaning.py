"""What a parser reads before the lossless passes, it reads after them, wherever the text stands."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.prompts.lossless import PassName, from_table
from prompts.corpus import Library, Text, build
from prompts.judges import is_readable, is_table_of, kind_of_output, read_json, same_meaning
from prompts.places import PLACES, Place, asking, left_of
from support.texts_of_kinds import KINDS, UNIFORM_RECORDS

MODELS = ("gpt-4o", "claude-sonnet-4-5")
COUNTER = TokenCounter()
OPTIMIZERS = [RequestOptimizer(provider_cache=on, counter=COUNTER) for on in (True, False)]
PASSES: frozenset[PassName] = frozenset(get_args(PassName))
TABLES = RequestOptimizer(passes=frozenset({"json", "tables"}), counter=COUNTER)
EVERYTHING = RequestOptimizer(passes=PASSES, counter=COUNTER)
REWRITING = RequestOptimizer(passes=PASSES - {"json", "tables"}, counter=COUNTER)
FEW = settings(max_examples=settings().max_examples // 5)
"""For a property that is tried on every kind."""
PUT = {
    "alone": "{}",
    "before a question": "{}\n\nWhat does it say?",
    "after a question": "What does it say?\n\n{}",
    "in a fence": "Look:\n\n```\n{}\n```\n",
    "in a tag": "<file>\n{}\n</file>",
    "twice": "{0}\n\nand\n\n{0}",
}


def sent(text: str, place: Place, model: str, optimizer: RequestOptimizer) -> str:
    request = asking(text, place, model)
    left = left_of(optimizer.optimize(request).request, request, place)
    assert left is not None, "what stands around the text has changed"
    return left


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(st.data(), st.sampled_from(MODELS), st.sampled_from(OPTIMIZERS))
def test_what_parses_parses_to_the_same_value(
    kind: str, place: Place, data: st.DataObject, model: str, optimizer: RequestOptimizer
) -> None:
    text = data.draw(KINDS[kind])
    assume(is_readable(kind, text))
    left = sent(text, place, model, optimizer)
    event("as it was" if left == text else "shorter")
    # Markdown reads any text, so one that is data as a whole may be judged as data.
    judges = {kind, kind_of_output(text)}
    assert any(same_meaning(judge, text, left) for judge in judges)
    if place in ("user", "system"):
        assert left == text  # what a person typed


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(st.data(), st.sampled_from(PLACES), st.sampled_from(sorted(PUT.keys() - {"alone"})))
def test_a_text_among_others_is_sent_as_it_is(
    kind: str, data: st.DataObject, place: Place, put: str
) -> None:
    # In marked context a tag is that of a document, which is whole.
    assume(not (put == "in a tag" and place in ("context", "ruled")))
    text = PUT[put].format(data.draw(KINDS[kind]))
    assert sent(text, place, "gpt-4o", OPTIMIZERS[1]) == text


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(st.data(), st.sampled_from(PLACES), st.sampled_from([2, "\t"]))
def test_a_text_inside_json_keeps_every_byte(
    kind: str, data: st.DataObject, place: Place, indent: int | str
) -> None:
    inside = data.draw(KINDS[kind])
    text = json.dumps({"path": "x", "text": inside}, indent=indent, ensure_ascii=False)
    left = sent(text, place, "gpt-4o", OPTIMIZERS[1])
    assert json.loads(left) == {"path": "x", "text": inside}
    if place == "tool":
        assert len(left) < len(text)


@given(UNIFORM_RECORDS, st.sampled_from(PLACES))
def test_a_table_is_read_back_to_the_same_records(text: str, place: Place) -> None:
    left = sent(text, place, "gpt-4o", TABLES)
    if same_meaning("json", text, left):
        event("no table")
        return
    event("a table")
    assert repr(from_table(left)) == repr(json.loads(text))
    _, *rows = left.split("\n")
    for row, (_, pairs) in zip(rows, read_json(text), strict=True):
        for cell, (_, value) in zip(row.split("|"), pairs, strict=True):
            assert not isinstance(value, tuple) or cell == value[1]  # a number as it is written


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"markdown"}))
@FEW
@given(st.data(), st.sampled_from(["user", "system"]))
def test_every_pass_together_keeps_code_and_data(
    kind: str, data: st.DataObject, place: Place
) -> None:
    text = data.draw(KINDS[kind])
    left = sent(text, place, "gpt-4o", EVERYTHING)
    assert same_meaning(kind, text, left) or is_table_of(text, left)


def test_passes_that_rewrite_prose_leave_tool_outputs_alone(sample: list[Text]) -> None:
    changed = [
        (text.kind, text.source)
        for text in sample
        if sent(text.text, "tool", "gpt-4o", REWRITING) != text.text
    ]
    assert changed == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "text", ["", "\n\n", "  ", "# \u3000", "{}\n{}", "<documents></documents>"]
)
def test_a_text_without_words_is_sent_as_it_is(place: Place, text: str) -> None:
    assert sent(text, place, "gpt-4o", OPTIMIZERS[1]) == text


@pytest.fixture(scope="module")
def sample() -> list[Text]:
    """Texts of every kind from the project and the standard library."""
    return build(Library.standard(), seed=3, share=0.13)


@pytest.mark.parametrize("place", PLACES)
def test_real_texts_mean_the_same(sample: list[Text], place: Place) -> None:
    assert len(sample) > 250
    wrong = [text for text in sample if not means_the_same(text, place)]
    assert [(text.kind, text.source) for text in wrong] == []


def means_the_same(text: Text, place: Place) -> bool:
    ways = [(model, optimizer) for model in MODELS for optimizer in OPTIMIZERS]
    return all(
        same_meaning(text.kind, text.text, sent(text.text, place, model, optimizer))
        for model, optimizer in ways
    )
