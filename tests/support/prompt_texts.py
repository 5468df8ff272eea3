"""Texts, passages and conversations that several tests of prompts use."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from hypothesis import strategies as st

from llm_optimizers.prompts import Passage
from llm_optimizers.types import Message, ToolCall

FACTS = [
    Passage(
        title=town,
        text=f"{town} lies on the river {river}. The mayor of {town} is {mayor}. It was founded in "
        f"{year}. Its market sells {goods} every Friday. Visitors like the old walls. The harbour "
        f"was built later. In winter the {river} freezes over.",
    )
    for town, river, mayor, year, goods in [
        ("Aldmere", "Wick", "Jane Hollow", 1203, "cheese"),
        ("Brackford", "Tarn", "Otto Lind", 1377, "wool"),
        ("Carrow", "Esk", "Mina Vale", 1421, "salt"),
        ("Dunmouth", "Roe", "Paul Stark", 1150, "tin"),
        ("Elmstead", "Yar", "Ida Quill", 1299, "apples"),
        ("Farrowby", "Neth", "Tom Arch", 1502, "rope"),
    ]
]

PIECES = [
    "Be helpful and accurate. ", "Please be accurate and helpful.\n", "Use {name} here.\n\n",
    "\n\n\n\n\n", "   ", "\t", "```python\nx  =  1\n\n\n\ny = 2\n```\n", "```\nopen\n",
    '{"a":  1,\n "b": [1,  2]}', "[ {\"k\" : 1 } ]", "<!-- aside -->", "=" * 20 + "\n",
    "| a | b |\n|-----|:---:|\n| 1 | 2 |\n", "`a   b`", '"two  spaces"', "3.14  km ",
    "https://example.com/a?b=c  ", "<doc id=\"1\">", "\u200b", "\u00a0", "中文。字。", "\r\n",
    "{{slot}}  ", "def f(x):\n    return x\n\n", "- item one\n- item two\n", "{", "}", "[", "\"",
    "This very sentence is said twice in here, word for word. ", "~~~\n", "&nbsp;", "\\",
    "\u200b```\n", "<!-- -->", "```\n", "\u00a0 ~~~\n", "`",
]  # fmt: skip
PROSE = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=25).map("".join)
"""Texts made of pieces that the lossless passes recognise."""
NOUNS = "order refund parcel invoice delay customer depot courier label weight route"


def agent_conversation(turns: int, seed: int) -> list[Message]:
    """Return a system prompt and `turns` of user, tool call, indented JSON result and answer."""
    draw = random.Random(seed)
    words = NOUNS.split()

    def text_of(count: int) -> str:
        return " ".join(draw.choices(words, k=count)).capitalize() + "."

    rules = " ".join(text_of(12) for _ in range(draw.randint(2, 120)))
    messages = [Message(role="system", content=f"You help.   {rules}\n\n\n\n\n{text_of(8)}")]
    for turn in range(turns):
        messages.append(Message(role="user", content=f"{text_of(draw.randint(5, 60))}   Please?"))
        call = ToolCall(id=f"c{turn}", name="look_up", arguments=json.dumps({"n": turn}))
        rows = [
            {"id": n, "state": text_of(2), "weight": draw.random()}
            for n in range(draw.randint(0, 14))
        ]
        result = json.dumps({"rows": rows, "turn": turn}, indent=draw.choice([None, 2, 4]))
        messages += [
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=result, tool_call_id=f"c{turn}"),
            Message(role="assistant", content=text_of(draw.randint(5, 80))),
        ]
    return messages


def assert_pairs_are_whole(messages: Sequence[Message]) -> None:
    called = {call.id for m in messages for call in m.tool_calls}
    answered = {m.tool_call_id for m in messages if m.role == "tool"}
    assert called - answered <= {messages[-1].tool_call_id} or called == answered
