"""Lossless passes: what they shorten and what they keep."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_optimizers.prompts import TokenCounter
from llm_optimizers.prompts.lossless import LOSSLESS, minified, shorten, to_table
from llm_optimizers.text import blocks, protected_spans, sentences
from support.prompt_texts import PROSE

counter = TokenCounter()
everything = LOSSLESS | {"tables"}


@given(PROSE, st.booleans(), st.sampled_from([LOSSLESS, everything]))
def test_shortening_is_idempotent_and_deterministic(
    text: str, instructions: bool, passes: Any
) -> None:
    once = shorten(text, passes=passes, instructions=instructions).text
    assert shorten(once, passes=passes, instructions=instructions).text == once
    assert shorten(text, passes=passes, instructions=instructions).text == once
    assert len(once) <= len(text)


@given(PROSE)
@example("\u200b```\nopen\n```\nopen   it\n\n\n\n\nx")
@example("`\u200b``\nopen\n```\nopen   it")
@example("<!-- aside -->```\nopen\n```\nopen   it")
@example("\u00a0 ```\nopen  it\n```\nopen   it")
@example("- \u200b~~~\n\u2060~~~\na  b\n```\nopen   it\n")
def test_placeholders_and_code_are_unchanged(text: str) -> None:
    shorter = shorten(text, passes=LOSSLESS - {"repeats"}).text
    for slot in ("{name}", "{{slot}}"):
        assert shorter.count(slot) == text.count(slot)
    for block in blocks(text):
        if block.kind == "code":
            assert block.whole in shorter


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(values)
def test_minified_json_parses_equal(value: Any) -> None:
    for indent in (None, 2, "\t"):
        written = json.dumps(value, indent=indent, ensure_ascii=False)
        assert json.loads(minified(written)) == value


def read_table(table: str) -> list[dict[str, Any]]:
    """Parse a table; a cell that is not JSON is a plain string."""

    def value(cell: str) -> Any:
        try:
            return json.loads(cell)
        except ValueError:
            return cell

    header, *rows = table.split("\n")
    keys = header.split("|")
    return [dict(zip(keys, map(value, row.split("|")), strict=True)) for row in rows]


@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
    st.data(),
    st.integers(2, 5),
)
def test_a_table_reads_back_equal(keys: list[str], data: st.DataObject, rows: int) -> None:
    records = [{key: data.draw(scalars) for key in keys} for _ in range(rows)]
    table = to_table(json.dumps(records, ensure_ascii=False))
    if table is not None:
        assert read_table(table) == records


def test_a_table_halves_uniform_records() -> None:
    records = [
        {"id": n, "name": f"Person {n}", "city": "Lisbon", "age": 20 + n, "paid": n % 2 == 0}
        for n in range(30)
    ]
    written = json.dumps(records, indent=2)
    plain, table = (shorten(written, passes=passes).text for passes in (LOSSLESS, everything))
    tokens = [counter.count(text, "gpt-4o").tokens for text in (written, plain, table)]
    assert tokens[1] < 0.75 * tokens[0]
    assert tokens[2] < 0.5 * tokens[0]
    assert read_table(table) == records


@pytest.mark.parametrize(
    "text", ['[{"a":1},{"b":2}]', '[{"a":[1]},{"a":[2]}]', '[{"a":1}]', "[]", "{", "[{},{}]", "7"]
)
def test_records_with_different_keys_make_no_table(text: str) -> None:
    assert to_table(text) is None


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        (
            "Be helpful and accurate. Always be helpful and accurate. "
            "Please make sure to be accurate and helpful.",
            "Be helpful and accurate.",
        ),
        ("- Cite sources.\n- You must cite sources.\n- Be brief.", "- Cite sources.\n- Be brief."),
        (
            "Translate French to English. Translate English to French.",
            "Translate French to English. Translate English to French.",
        ),
        ("Do answer. Do not answer.", "Do answer. Do not answer."),
        (
            "You must be as helpful and accurate as possible.\n"
            "Be accurate and helpful at all times\n"
            "Your answers should be helpful and accurate\n\nEnd.",
            "You must be as helpful and accurate as possible.\n\nEnd.",
        ),
        ("Input: hi\nOutput: hello\n\nInput: bye\nOutput: hello",) * 2,
        ("Output:\nIt was sent.\n\nOutput:\nIt was sent.",) * 2,
        ("<output>It was sent.</output>\n<output>It was sent.</output>",) * 2,
        ("paid 10\npaid 10\n| a | b |\n| a | b |\n- tea\n- tea",) * 2,
        ("Use 3 steps. Use 4 steps.", "Use 3 steps. Use 4 steps."),
    ],
)
def test_repeated_instructions_are_removed(text: str, shorter: str) -> None:
    assert shorten(text, instructions=True).text == shorter


def test_short_repeats_in_a_users_text_stay() -> None:
    song = "Row, row, row your boat\nGently down the stream\n" * 3
    log = "2024-01-01 the service was restarted by the operator on duty today.\n" * 3
    assert shorten(song).text == song
    assert shorten(log).text == log
    document = " ".join(f"Fact {n} is that thing {n} matters a lot to us." for n in range(9))
    twice = f"{document}\n\nAnd again:\n\n{document}\n\nWhat matters?"
    assert shorten(twice).text == f"{document}\n\nAnd again:\n\nWhat matters?"


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("a   b  c   \n", "a b c\n"),
        ("a\r\n\r\n\r\n\r\n\r\n\r\nb", "a\n\n\nb"),
        ("name    age    city\n", "name    age    city\n"),  # columns
        ("    indented   code\n", "    indented   code\n"),
        ("say `a   b` and   go", "say `a   b` and go"),
        ('say "a   b" and   go', 'say "a   b" and go'),
        ("a<!-- no -->b", "ab"),
        ("a<!-- never closed", "a<!-- never closed"),
        ("Title\n==========\n", "Title\n===\n"),
        ("|a|b|\n| --- | :-----: |\n", "|a|b|\n|-|:-:|\n"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
    ],
)
def test_noise_is_removed_and_layout_stays(text: str, shorter: str) -> None:
    assert shorten(text).text == shorter


def test_numbers_urls_ids_and_placeholders_are_unchanged() -> None:
    text = (
        "Pay   $1,299.50 at https://x.org/a?b=1  for JIRA-123, by 12:30  to a.b@c.org, {amount} of "
        "10 km,  123e4567-e89b-12d3-a456-426614174000  and %(name)s for ${HOME} or {{ user.name }}"
    )
    assert shorten(text).text.split() == text.split()
    assert "{{ user.name }}" in shorten(text).text


def test_quotations_are_unchanged() -> None:
    text = 'He wrote "Stop here.  Then go.  Wait." and left.   So did `a   b` and {a  b}.'
    assert [text[a:b] for a, b in protected_spans(text)] == [
        '"Stop here.  Then go.  Wait."',
        "`a   b`",
        "{a  b}",
    ]
    assert len(sentences(text)) == 2
    for span in ('"Stop here.  Then go.  Wait."', "`a   b`", "{a  b}"):
        assert span in shorten(text).text


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00\x01\xff" * 50, "\ud800", "```", "{" * 2_000, "[" * 200_000, "<!--" * 2_000,
     '"' * 5_000, "| - " * 3_000, "{{" * 3_000, " \t" * 200_000, "." * 100_000, "~~~\n```\n~~~"],
)  # fmt: skip
def test_malformed_input_never_gets_longer(text: str) -> None:
    assert len(shorten(text).text) <= len(text)


def test_a_text_too_long_for_any_model_is_unchanged() -> None:
    text = "a  b\n" * 2_100_000
    assert shorten(text).text is text


WORDS = [
    "order",
    "invoice",
    "customer",
    "refund",
    "policy",
    "shipping",
    "account",
    "payment",
    "review",
    "status",
]


def typical_prompts() -> list[str]:
    """Return twenty typical prompts, each with a few wasted tokens."""
    draw = random.Random(4)
    lines = [" ".join(draw.choices(WORDS, k=9)).capitalize() + "." for _ in range(60)]
    records = [{"id": n, "sku": f"A-{n}", "price": n * 1.5, "tags": ["x", None]} for n in range(8)]
    data = json.dumps(records, indent=4)
    code = "def total(rows):\n    out  =  0\n\n\n\n    for r in rows:\n        out += r\n"
    fenced = f"```python\n{code}```\n"
    nested = json.dumps({"user": {"name": "A  B", "n": 1e-7}, "list": [[1], [2]]}, indent=2)
    rules = "You are an assistant.   Be kind and clear.\nPlease be clear and kind.\n" * 2
    doc = " ".join(lines[:9])
    return [
        f"{rules}\nAnswer from:\n{data}\n",
        f"{rules}\n{fenced}\nExplain   the function.",
        f"Fix this:\n\n{fenced}\n\n\n\n\nThanks   a lot",
        f"```json\n{data}\n```\nSummarise.",
        f"{doc}\n\n{doc}\n\nWhat is the policy?",
        f"<!-- v2 -->\n# Task\n{'=' * 30}\n{doc}",
        f"| a | b |\n|------|------|\n| 1 | 2 |\n\n{doc}",
        nested,
        f"Schema: {nested}\n\nFill it for   {{customer}}.",
        f"Context:\n{doc}   \n\nQuestion:   {{question}}",
        f'{rules}Use `a  b`   and "x  y".',
        f"Log:\n{data}\n\n\n\n\n{nested}",
        f"SELECT  *\nFROM orders\nWHERE id  = 3;\n\n{rules}",
        f"Step 1.   {lines[0]}\nStep 2.   {lines[1]}\n",
        f"{lines[3]}\u200b   {lines[4]}\u00a0{lines[5]}",
        f"~~~\n{code}~~~\n{rules}",
        f"{rules}\n{rules}\n{rules}",
        f"```\n{data}\n```\n\n{fenced}   ",
        f"Tool result:\n{json.dumps({'rows': records}, indent=1)}",
        f"- {lines[0]}\n- {lines[1]}\n- {lines[0]}\n",
    ]


def test_twenty_typical_prompts_lose_tokens_but_no_data() -> None:
    prompts = typical_prompts()
    assert len(prompts) == 20
    before = after = 0
    for prompt in prompts:
        shorter = shorten(prompt, instructions=True).text
        assert data_of(shorter) == data_of(prompt)
        assert code_of(shorter) == code_of(prompt)
        assert set(re.findall(r"\{\w+\}", shorter)) == set(re.findall(r"\{\w+\}", prompt))
        sizes = [counter.count(text, "gpt-4o").tokens for text in (prompt, shorter)]
        assert sizes[1] < sizes[0], prompt
        before, after = before + sizes[0], after + sizes[1]
    assert after < 0.75 * before


def data_of(text: str) -> list[Any]:
    return [json.loads(block.text) for block in blocks(text) if block.kind == "json"]


def code_of(text: str) -> list[str]:
    return [block.whole for block in blocks(text) if block.kind == "code"]
