"""JSON without blanks: where it is minified, and that its value is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts import ContextBudget, RequestOptimizer, TokenCounter
from llm_optimizers.prompts.lossless import minified, shorten
from llm_optimizers.types import ChatRequest, Message, Part, ToolCall

DATA = '{\n  "city": "Bergen  (old town)",\n  "open": [ 8, 18 ]\n}'
SHORT = '{"city":"Bergen  (old town)","open":[8,18]}'
LINES = '{"a": 1, "b": "x  y"}\n{"a": 2, "b": ""}'
SHORT_LINES = '{"a":1,"b":"x  y"}\n{"a":2,"b":""}'

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
blanks = st.text(alphabet=" \t\r\n", max_size=3)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """Write a value as JSON with blanks wherever JSON allows them."""
    if isinstance(value, dict):
        pairs = [f"{draw(blanks)}{json.dumps(k)}{draw(blanks)}:{draw(written(v))}"
                 for k, v in value.items()]  # fmt: skip
        inside = "{" + ",".join(pairs) + "}"
    elif isinstance(value, list):
        inside = "[" + ",".join(draw(written(item)) for item in value) + "]"
    else:
        inside = json.dumps(value, ensure_ascii=draw(st.booleans()))
    return draw(blanks) + inside + draw(blanks)


@given(values.flatmap(written))
def test_what_parses_before_parses_after_to_the_same_value(text: str) -> None:
    shorter = shorten(text)
    assert repr(json.loads(shorter)) == repr(json.loads(text))
    assert shorten(shorter) == shorter
    assert len(shorter) <= len(text)
    assert repr(json.loads(minified(text))) == repr(json.loads(text))


@given(st.text(alphabet='{}[]",:\\ \n\t01ae-.', max_size=30))
def test_only_what_parses_is_changed(text: str) -> None:
    shorter = shorten(text)
    if shorter != text:
        try:
            assert json.loads(shorter) == json.loads(text)
        except ValueError:
            lines = [json.loads(line) for line in text.strip().split("\n")]
            assert lines == [json.loads(line) for line in shorter.strip().split("\n")]


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        (DATA, SHORT),
        (f"\n{DATA}\n\n", f"\n{SHORT}\n\n"),
        (LINES, SHORT_LINES),
        (f"{LINES}\n", f"{SHORT_LINES}\n"),
        (LINES.replace("\n", "\r\n"), SHORT_LINES),
        (f"[{DATA}]", f"[{SHORT}]"),
        ('{"n": 1.10, "n": 1e400, "z": -0}', '{"n":1.10,"n":1e400,"z":-0}'),
        (f'{{"a": {"9" * 5_000}, "b": 0.1e-7}}', f'{{"a":{"9" * 5_000},"b":0.1e-7}}'),
        (r'{"a": "\u00e9\ud800 \" \\", "b": "\/"}', r'{"a":"\u00e9\ud800 \" \\","b":"\/"}'),
        ('{"\u00a0": "\u2028", "\ud800": 1}', '{"\u00a0":"\u2028","\ud800":1}'),
    ],
)
def test_data_loses_the_blanks_between_its_tokens_and_nothing_else(text: str, shorter: str) -> None:
    assert shorten(text) == shorter
    assert shorten(shorter) == shorter


@pytest.mark.parametrize(
    "text",
    [
        f"Found: {DATA}",
        f"{DATA}\nDone.",
        f"```json\n{DATA}\n```",
        f"{DATA}\n{DATA}",
        f"{LINES}\n\n{LINES}",
        f"{LINES}\nnull",
        "\u00a0" + DATA,
        "\ufeff" + DATA,
        '{"a": 01, "b": 1}',
        '{"a": +1, "b": .5}',
        "{'a': 1, 'b': 2}",
    ],
)
def test_a_text_that_is_not_data_as_a_whole_stays(text: str) -> None:
    assert shorten(text) == text


def messages_sent(*messages: Message, **settings: Any) -> tuple[Message, ...]:
    request = ChatRequest(model="gpt-4o", messages=messages)
    return RequestOptimizer(provider_cache=False, **settings).optimize(request).request.messages


def test_a_tool_s_output_is_minified_part_by_part_and_keeps_its_fields() -> None:
    call = ToolCall(id="c1", name="look", arguments='{"a":  1,  "b": 2}')
    image = Part(kind="image_url", data={"image_url": {"url": "https://example.org/a.png"}})
    parts = (
        Part(kind="text", text=DATA, data={"cache_control": {"type": "ephemeral"}}),
        image,
        Part(kind="text", text=f"Found: {DATA}"),
    )
    asked = Message(role="user", content="Look.  At   it.")
    answer = Message(role="assistant", content=DATA, tool_calls=(call,))
    result = Message(role="tool", content=parts, tool_call_id="c1", name="look")
    sent = messages_sent(asked, answer, result)
    assert sent[:2] == (asked, answer)
    assert (sent[2].tool_call_id, sent[2].name) == ("c1", "look")
    assert isinstance(sent[2].content, tuple)
    first, second, third = sent[2].content
    assert (first.text, first.data) == (SHORT, parts[0].data)
    assert (second, third) == parts[1:]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<context>\n", "\n</context>\n\nWhich city?"),
        ("<documents>\n<document id='1'>\n", "\n</document>\n</documents>\nWhich city?"),
        ("Context information is below.\n-----\n", "\n-----\nQuery: which city?"),
        ("Context:\n", "\n\nQuestion: which   city?"),
        (
            "<documents>\n<document index='1'>\n<source>a.json</source>\n<document_content>\n",
            "\n</document_content>\n</document>\n</documents>\nWhich city?",
        ),
        (
            "<docs><doc_1>Bergen is wet.</doc_1>\n<doc_2>\n",
            "\n</doc_2></docs>\nWhich city?",
        ),
    ],
)
def test_documents_of_marked_context_are_minified(before: str, after: str) -> None:
    for role in ("user", "system"):
        asked = (
            Message(role=role, content=f"{before}{DATA}{after}"),
            Message(role="user", content="Go"),
        )
        assert messages_sent(*asked)[0].text == f"{before}{SHORT}{after}"


@pytest.mark.parametrize(
    "text",
    [
        f"<context>\nAs it was found:\n{DATA}\n</context>\nWhich   city?",
        f"<context>\n```json\n{DATA}\n```\n</context>\nWhich   city?",
        f"Why does this fail?\n```\n<context>\n{DATA}\n</context>\n```\n",
        f"Is `<context>{DATA}</context>` right?",
        f"<data>\n{DATA}\n</data>\nWhich   city?",
        f"{DATA}\n\nWhich   city?",
        "<context>\ncities:\n  - name:  Bergen\n</context>\nWhich   city?",
        f"<context>\n<document>\nIs it so?\n<a>\n{DATA}\n</a>\n</document>\n</context>\nHm?",
        f"<context>\nAs found:\n<a>\n{DATA}\n</a>\nand later:\n<a>\n{DATA}\n</a>\n</context>\nHm?",
        # Only paragraphs, so the data may be one that the text before it speaks of.
        "<context>\nWe expect these lines.\n\n" + f"{LINES}\n" * 15 + "</context>\nWhich   city?",
        f"<context>\nThe file holds two cities, Bergen and Oslo.\n\n{DATA}\n</context>\nWhich one?",
        f"<context>\n# Cities\n\n{DATA}\n\n# Others\n\n{DATA}\n</context>\nWhich one?",
        f"<context>\n1. {DATA}\n2. {DATA}\n</context>\nWhich one?",
        f"<context>\nExplain this file:\n<file>\n{DATA}\n</file>\nThanks.\n</context>\nWhich one?",
        f"<context>\n<document>Is this right?\n<example>{DATA}</example>\n"
        f"<example>{DATA}</example>\n</document>\n</context>\nWhich one?",
        f"<context>\n<example>{DATA}</example>\n<example>{DATA}</example>\n</context>\nWhich one?",
        f"Context:\nAs found.\n\n{DATA}\n\nAs told.\n\n{DATA}\n\nQuestion: which one?",
    ],
)
def test_other_context_and_what_a_person_typed_stay(text: str) -> None:
    assert messages_sent(Message(role="user", content=text))[0].text == text


DOCUMENTS = [
    {"title": town, "text": f"{town}  lies on a river. Its market is open on Friday, from nine."}
    for town in ("Bergen", "Turku", "Mo i Rana")
]


@pytest.mark.parametrize(
    "value", [DOCUMENTS, {"documents": DOCUMENTS}, [{"document": each} for each in DOCUMENTS]]
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<context>\n", "\n</context>\n\nWhich   city?"),
        ("<context>\n<documents>\n", "\n</documents>\n</context>\nWhich   city?"),
        ("Context:\n", "\n\nQuestion: which   city?"),
    ],
)
def test_documents_in_json_are_minified_together(value: Any, before: str, after: str) -> None:
    written = json.dumps(value, indent=2)
    sent = messages_sent(Message(role="user", content=before + written + after))
    shorter = json.dumps(value, separators=(",", ":"))
    assert sent[0].text == before + shorter + after


def test_documents_in_lines_of_json_are_minified_and_those_in_python_stay() -> None:
    lines = "\n".join(json.dumps(each) for each in DOCUMENTS)
    shorter = "\n".join(json.dumps(each, separators=(",", ":")) for each in DOCUMENTS)
    python = "[" + ", ".join(f"Document(page_content={each['text']!r})" for each in DOCUMENTS) + "]"
    for body, expected in ((lines, shorter), (python, python)):
        sent = messages_sent(Message(role="user", content=f"<context>\n{body}\n</context>\nHm?"))
        assert sent[0].text == f"<context>\n{expected}\n</context>\nHm?"


def test_context_is_cut_first_then_minified() -> None:
    rows = json.dumps([{"town": f"Town {n}", "mayor": f"Person {n}"} for n in range(40)], indent=4)
    text = f"<context>\n<document>\n{rows}\n</document>\n</context>\nWho is the mayor of Town 7?"
    counter = TokenCounter()
    whole = messages_sent(
        Message(role="user", content=text), context=ContextBudget(max_tokens=5_000)
    )
    assert json.dumps(json.loads(rows), separators=(",", ":")) in whole[0].text
    cut = messages_sent(Message(role="user", content=text), context=ContextBudget(max_tokens=60))
    assert counter.count(cut[0].text, "gpt-4o").tokens < 160


def test_without_passes_nothing_is_shortened() -> None:
    asked = Message(role="user", content=f"<context>{DATA}</context> Which city?")
    call = Message(role="assistant", tool_calls=(ToolCall(id="c", name="f", arguments="{}"),))
    result = Message(role="tool", content=DATA, tool_call_id="c")
    assert messages_sent(asked, call, result, passes=frozenset()) == (asked, call, result)


@pytest.mark.parametrize(
    "text",
    ["", " \n", "{" * 40_000, "[" * 40_000, '{"a":' * 20_000, '{"a": 1,\n' * 10_000,
     '{"a": 1}\n' * 10_000 + "{", '["' * 20_000, "<document>" * 10_000, "<context>" * 10_000,
     "context:\n" * 10_000, "[\n" * 900 + "1,\n" * 20_000],
)  # fmt: skip
def test_malformed_data_stays(text: str) -> None:
    assert shorten(text) == text
    assert messages_sent(Message(role="user", content=text))[0].text == text


def test_a_text_too_long_for_any_model_stays() -> None:
    text = json.dumps([{"a": n, "b": n} for n in range(160_000)])
    assert len(text) > 2_000_000
    assert shorten(text) is text
