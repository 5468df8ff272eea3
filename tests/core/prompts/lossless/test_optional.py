"""Passes to opt in to: what each takes away, and what it leaves."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_optimizers.prompts.lossless import (
    PassName,
    edited,
    minified,
    optional_edits,
    with_edits,
)
from llm_optimizers.text.word_lists import languages, read_fields
from support.prompt_texts import PROSE

NAMES: tuple[PassName, ...] = ("tables", "embedded_json", "markup", "whitespace", "repeats")
RULE = (
    "Answer in the language of the question, name the page that each fact is from, and say so "
    "openly if nothing in the pages that were found answers what was asked."
)
DATA = {"city": "Bergen  (old town)", "open": [8, 18], "more": {"a": None}}
WRITTEN, SHORT = json.dumps(DATA, indent=2), json.dumps(DATA, separators=(",", ":"))


def after(text: str, name: PassName) -> str:
    return edited(text, frozenset({name}))


@given(PROSE, st.sets(st.sampled_from(NAMES)).map(frozenset))
@example(f"{RULE}\n\n{RULE}\n\n\n\n\n{RULE}", frozenset(NAMES))
@example('<!-- " -->\n\nIt is here now.\n\n<!-- x -->\n\nIt is\u200b here.', frozenset(NAMES))
def test_passes_only_shorten_and_a_second_time_change_nothing(
    text: str, passes: frozenset[PassName]
) -> None:
    once = edited(text, passes)
    assert len(once) <= len(text)
    assert edited(once, passes) == once
    for slot in ("{name}", "{{slot}}", "`a   b`", '"two  spaces"', "中文。字。"):
        assert once.count(slot) == text.count(slot)


@given(PROSE, st.sampled_from(NAMES))
def test_edits_are_in_order_and_apart(text: str, name: PassName) -> None:
    edits = optional_edits(text, name)
    places = [place for edit in edits for place in (edit.start, edit.end)]
    assert places == sorted(places)
    assert with_edits(text, edits) == after(text, name)


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("You help all day.   Be kind to them.", "You help all day. Be kind to them."),
        ('He said "Wait.  Then go."  So they did.', 'He said "Wait.  Then go." So they did.'),
        ("Use {a.  b} for it.  Then go.", "Use {a.  b} for it. Then go."),
        (f"{RULE}\n\n\n\n\n\n{RULE}\n", f"{RULE}\n\n\n{RULE}\n"),
        (f"{RULE}\n\n\n\n\n\n- one\n",) * 2,
        ("How are   all of you?",) * 2,
        ("Name:   Ola.  Then go on.",) * 2,
        ("Which of these has more blanks? This one.  Or this.",) * 2,
        ('"It goes on.\n\nIt still does.  It does.\n\nUntil here."',) * 2,
    ],
)
def test_whitespace_goes_only_after_sentences_and_between_paragraphs(
    text: str, shorter: str
) -> None:
    assert after(text, "whitespace") == shorter


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        (f"<!-- v2 -->\n\n{RULE}\n", f"{RULE}\n"),
        (f"{RULE}\n\n<!-- a\n\nb -->\n\n{RULE}\n", f"{RULE}\n\n{RULE}\n"),
        ("It is pass\u200bword\u00ad here.", "It is password here."),
        (f"{RULE}\n<!-- v2 -->\n",) * 2,
        ("<!-- v2 -->",) * 2,
        (f"<!-- open\n\n{RULE}",) * 2,
        (f"# Task\n\n<!-- v2 -->\n\n{RULE}\n",) * 2,
        (f"```\n\n<!-- v2 -->\n\n```\n\n{RULE}",) * 2,
        (f"Keep each comment.\n\n<!-- v2 -->\n\n{RULE}",) * 2,
        ('The key is "a\u200bb" in this text.',) * 2,
    ],
)
def test_markup_goes_only_between_prose(text: str, shorter: str) -> None:
    assert after(text, "markup") == shorter


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        (f"{RULE}\n\n{RULE}\n\nGo on.", f"{RULE}\n\nGo on."),
        (f"{RULE}\n\n{RULE.replace(' ', chr(10), 3)}\n", f"{RULE}\n\n"),
        (f"{RULE}\n\n{RULE.replace('each', 'every')}\n",) * 2,
        (f"{RULE}\n\n# Refunds\n\n{RULE}\n",) * 2,
        (f"{RULE}\n\n---\n\n{RULE}\n",) * 2,
        (f"{RULE}\n\n<refunds>\n\n{RULE}\n",) * 2,
        (f"{RULE}\n\nREFUNDS\n\n{RULE}\n",) * 2,
        (f"{RULE}\n\nFor refunds we say this.\n\n{RULE}\n",) * 2,
        (f"- {RULE}\n\n- {RULE}\n",) * 2,
        (f"Compare both with care.\n\n{RULE}\n\n{RULE}\n",) * 2,
        ("Be kind to them. Be kind to them.",) * 2,
    ],
)
def test_only_a_long_paragraph_of_the_same_section_is_a_repeat(text: str, shorter: str) -> None:
    assert after(text, "repeats") == shorter


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        (WRITTEN, SHORT),
        (f"Fill this in:\n{WRITTEN}\n\nThanks.", f"Fill this in:\n{SHORT}\n\nThanks."),
        (f"Schema: {WRITTEN}\n\nFill it in.", f"Schema: {SHORT}\n\nFill it in."),
        (f"```json\n{WRITTEN}\n```\n", f"```json\n{SHORT}\n```\n"),
        (f"~~~~\n\n{WRITTEN}\n~~~~", f"~~~~\n\n{SHORT}\n~~~~"),
        (f"```python\n{WRITTEN}\n```\n",) * 2,
        (f"```json\nx = {WRITTEN}\n```\n",) * 2,
        (f"x =\n{WRITTEN}\n",) * 2,
        (f"> It says:\n> {WRITTEN}\n",) * 2,
        (f"{WRITTEN}\nis what I got.",) * 2,
        (f"How is this to be indented?\n\n{WRITTEN}\n",) * 2,
        (f'"""\n\n{WRITTEN}\n\n"""',) * 2,
        ('{"a": 1}',) * 2,
    ],
)
def test_json_in_a_prompt_is_minified_if_it_stands_by_itself(text: str, shorter: str) -> None:
    assert after(text, "embedded_json") == shorter
    assert json.loads(minified(WRITTEN)) == DATA


def test_a_table_never_follows_a_label_or_stands_in_a_fence() -> None:
    records = json.dumps([{"a": n, "b": f"x{n}"} for n in range(9)])
    for text in (f"Rows: {records}\n", f"```json\n{records}\n```\n"):
        assert after(text, "tables") == text
    assert after(f"Rows:\n{records}\n", "tables").startswith("Rows:\na|b\n0|x0\n")


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00\x01\xff" * 50, "\ud800", "```", "{" * 200_000, "[" * 200_000, "<!--" * 50_000,
     '"' * 50_000, "| - " * 30_000, "{{" * 50_000, " \t" * 200_000, "." * 100_000, "[\n" * 100_000,
     '{"a":1}\n\n' * 20_000 + "{", "<pre>" * 50_000, "<pre></pre>\n" * 20_000, "```\n" * 50_001,
     "\n".join("`" * n for n in range(3, 400)), "a\n\n" * 50_000, "\u201c" * 50_000],
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_malformed_input_stays(text: str, name: PassName) -> None:
    assert len(after(text, name)) <= len(text)


@pytest.mark.parametrize(
    "before", ["const x =", "UPDATE t SET j = '", "send(", "[1,", 'a = "', "text = `", "return {"]
)
def test_json_below_the_beginning_of_code_stays(before: str) -> None:
    text = f'{before}\n\n{{\n  "a": 1,\n  "b": 2\n}}\n\nsend(x);\n'
    assert after(text, "embedded_json") == text


LISTS = "llm_optimizers.prompts.lossless"


@pytest.mark.parametrize("language", languages(LISTS))
def test_every_pass_has_words_in_lower_case_by_which_a_text_asks_about_it(language: str) -> None:
    words = read_fields("asked_about", language, LISTS)
    assert set(words) == set(NAMES)
    for name, listed in words.items():
        assert len(set(listed)) == len(listed)
        assert all(word.islower() and word.isalpha() for word in listed)
        assert after(f"{RULE}  {listed[0]}. See.\n\n{RULE}", name).count(RULE) == 2
