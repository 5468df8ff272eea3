"""Passages within a budget: the ones that answer the question are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.embeddings import StaticEmbedder, Vectors, passage_embed
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import (
    ContextBudget,
    Passage,
    PassageSelector,
    TokenCounter,
)
from llm_optimizers.prompts.context import KeptPassage, render
from llm_optimizers.prompts.context.parts.part import GAP
from llm_optimizers.prompts.context.ranking.model import rank
from support.prompt_texts import FACTS

counter = TokenCounter()
selector = PassageSelector(counter=counter)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who is the mayor of Carrow?", "Mina Vale"),
        ("When was Dunmouth founded?", "1150"),
        ("what does the market in elmstead sell", "apples"),
        ("Which river freezes over at Farrowby?", "Neth"),
        ("who is the mayor of Carow", "Mina Vale"),  # misspelt
    ],
)
def test_the_answer_is_kept_at_a_tenth_of_the_tokens(question: str, answer: str) -> None:
    total = sum(counter.count(render(p.title, p.text), "gpt-4o").tokens for p in FACTS)
    chosen = selector.select(question, FACTS, max_tokens=total // 8)
    assert chosen.tokens <= total // 8
    assert any(answer in kept.text for kept in chosen.kept)
    assert chosen.tokens_before == total


texts = st.text(
    alphabet=st.sampled_from(list("abcde .!?\n\t中文é0123\"'{}`")), max_size=300
) | st.text(max_size=60)


@given(
    st.text(max_size=60),
    st.lists(st.builds(Passage, title=st.text(max_size=12), text=texts), max_size=8),
    st.integers(1, 200),
)
def test_selection_keeps_budget_and_order_and_is_deterministic(
    question: str, passages: list[Passage], budget: int
) -> None:
    chosen = selector.select(question, passages, max_tokens=budget)
    assert chosen.tokens <= max(budget, 0)
    places = [kept.index for kept in chosen.kept]
    assert places == sorted(set(places))
    assert PassageSelector().select(question, passages, max_tokens=budget) == chosen
    for kept in chosen.kept:
        for part in kept.text.split(GAP.strip()):
            assert part.strip() in passages[kept.index].text
        if kept.whole:
            assert kept.text == passages[kept.index].text


def test_passages_that_fit_are_unchanged() -> None:
    chosen = selector.select("Who?", FACTS, max_tokens=100_000)
    assert [kept.text for kept in chosen.kept] == [p.text for p in FACTS]
    assert all(kept.whole for kept in chosen.kept)


def test_a_gap_between_kept_sentences_is_marked() -> None:
    question = "Who is the mayor of Carrow and what freezes over in winter?"
    chosen = selector.select(question, FACTS[2:3], max_tokens=30)
    kept = chosen.kept[0]
    assert GAP in kept.text
    assert not kept.whole


def test_what_is_left_out_at_the_start_and_at_the_end_is_marked() -> None:
    text = "The moon is far. The vault code of Harlow is 7731. The sea is deep and wide and blue."
    kept = selector.select("What is the vault code?", [Passage(text=text)], max_tokens=16).kept[0]
    assert kept.text == "\u2026 The vault code of Harlow is 7731. \u2026"


def test_a_title_that_others_lack_is_ranked_as_text() -> None:
    texts = [passage.text for passage in FACTS]
    others = [Passage(text=text) for text in texts[1:]]
    asked = "Who is the mayor of Carrow?"
    titled, joined = (
        sum(kept.probability for kept in chosen.kept if kept.index == 0)
        for first in (
            Passage(title="The mayor of Carrow", text=texts[0]),
            Passage(text=f"The mayor of Carrow\n{texts[0]}"),
        )
        for chosen in [selector.select(asked, [first, *others], max_tokens=70)]
    )
    assert titled == pytest.approx(joined, abs=0.2)


def test_a_row_is_kept_with_its_header() -> None:
    rows = "".join(f"| option_{n} | {n * 7} | does thing {n} |\n" for n in range(60))
    text = f"| name | default | meaning |\n|---|---|---|\n{rows}"
    kept = selector.select("default of option_31?", [Passage(text=text)], max_tokens=60).kept[0]
    assert kept.text.startswith("| name | default | meaning |\n|---|---|---|\n")
    assert "| option_31 | 217 |" in kept.text


def test_a_member_is_kept_in_its_brackets() -> None:
    users = [{"name": f"user {n}", "city": f"town {n}", "age": n} for n in range(80)]
    text = json.dumps({"version": 3, "users": users}, indent=1)
    kept = selector.select("age of user 41?", [Passage(text=text)], max_tokens=90).kept[0]
    assert users[41] in json.loads(kept.text.removesuffix("\n\n\u2026"))["users"]


HALVES = [
    "The retry limit of the Ado client is set by max_tries. Each try waits for a second.",
    "The retry limit of the Ado client was raised in its second year. Users had asked for that.",
    "How the Ado client counts tries against its retry limit is told in a talk by its authors.",
    "The Ado client and its retry limit have a page of their own in the manual of Ado.",
    "Bel is a parser. It was first written by Mina Vale.",
    "The client of Ado tries until the limit of the retry is reached, and then it stops.",
]


def test_both_halves_of_a_question_are_kept_though_one_has_more_words() -> None:
    asked = "Which setting holds the retry limit of the Ado client, and who wrote the Bel parser?"
    passages = [Passage(text=text) for text in HALVES]
    chosen = selector.select(asked, passages, max_tokens=34)
    text = " ".join(kept.text for kept in chosen.kept)
    assert "max_tries" in text
    assert "Mina Vale" in text
    one = selector.select("Which setting holds the retry limit?", passages, max_tokens=34)
    assert "Mina Vale" not in " ".join(kept.text for kept in one.kept)


def test_half_an_answer_is_no_answer() -> None:
    """What is kept must hold both answers, so it is as likely as the less likely of them."""
    asked = "Which setting holds the retry limit of the Ado client, and who wrote the Bel parser?"
    first = [Passage(text=text) for text in HALVES if "Bel" not in text]
    both, half = (
        selector.select(asked, passages, max_tokens=34)
        for passages in ([Passage(text=text) for text in HALVES], first)
    )
    assert half.probability < both.probability / 2
    assert half.found < both.found
    assert both.probability <= both.found


def test_a_question_with_clauses_embeds_each_text_once() -> None:
    seen: list[str] = []

    def embed(texts: Sequence[str]) -> Vectors:
        seen.extend(texts)
        return StaticEmbedder().embed(texts)

    asked = "Which setting holds the retry limit of the Ado client, and who wrote the Bel parser?"
    rank(asked, [Passage(text=text) for text in HALVES], embed=embed)
    assert len(seen) == len(set(seen))
    assert asked in seen


def test_what_says_nothing_is_not_bought() -> None:
    text = "---\n\nThe vault code of Harlow is 7731.\n\n---\n\nThe sea is deep and wide and blue.\n"
    kept = selector.select("What is the vault code?", [Passage(text=text)], max_tokens=20).kept[0]
    assert "7731" in kept.text
    assert "---" not in kept.text


documents = st.lists(
    st.sampled_from(
        [
            "One sentence about rivers. Another about the sea and its fish.\n\n",
            "## A heading\n",
            "- an item about boats\n- another about harbours\n\n",
            "```python\ndef sail(boat):\n    return boat.go()\n\n\nsize = 3\n```\n",
            "| port | depth |\n|---|---|\n| Neth | 12 |\n| Carrow | 7 |\n\n",
            '{"ports": [{"name": "Neth"}, {"name": "Carrow"}], "open": true}\n',
            "a,b,c\n1,2,3\n4,5,6\n7,8,9\n\n",
            "\u6c34\u6df1\u4e03\u7c73\u3002\u6e2f\u53e3\u5f88\u5927\u3002\n",
            "Here is how:\n\n    $ sail --fast\n    done\n\n",
        ]
    ),
    max_size=12,
).map("".join)


@given(st.lists(documents, min_size=1, max_size=4), st.integers(1, 150))
def test_documents_of_every_kind_stay_within_the_budget(texts: list[str], budget: int) -> None:
    passages = [Passage(text=text) for text in texts]
    chosen = selector.select("How deep is Neth?", passages, max_tokens=budget)
    assert sum(counter.count(kept.text, "gpt-4o").tokens for kept in chosen.kept) <= budget
    for kept in chosen.kept:
        cut = kept.text.strip() != passages[kept.index].text.strip()
        assert kept.whole is not cut
        assert ("\u2026" in kept.text) is cut
        assert kept.text.count("```") % 2 == 0


def test_a_sentence_in_two_passages_is_kept_once() -> None:
    copies = [Passage(title=f"Copy {n}", text=FACTS[0].text) for n in range(3)]
    chosen = selector.select("Who is the mayor of Aldmere?", [*copies, *FACTS[1:]], max_tokens=60)
    assert " ".join(k.text for k in chosen.kept).count("Jane Hollow") == 1


def test_a_long_document_is_ranked_piece_by_piece() -> None:
    filler = " ".join(
        f"Paragraph {n} speaks of the weather and of nothing else." for n in range(900)
    )
    needle = "The vault code of Harlow is 7731."
    document = Passage(title="Diary", text=f"{filler} {needle} {filler}")
    chosen = selector.select("What is the vault code of Harlow?", [document], max_tokens=120)
    assert needle in chosen.kept[0].text
    assert chosen.tokens <= 120


def test_a_budget_below_one_token_is_rejected() -> None:
    for bad in (0, -5):
        with pytest.raises(ConfigurationError):
            selector.select("q", FACTS, max_tokens=bad)
        with pytest.raises(ConfigurationError):
            ContextBudget(max_tokens=bad)


def test_empty_passages_and_an_empty_question_are_accepted() -> None:
    assert selector.select("", [], max_tokens=5).kept == ()
    assert selector.select("", FACTS, max_tokens=60).tokens <= 60


def test_an_embedder_ranks_passages_without_shared_words() -> None:
    """An embedder that knows that a physician is a doctor."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float("doctor" in t or "physician" in t), 0.1] for t in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    passages = [
        Passage(text="The baker opens at nine. He sells bread."),
        Passage(text="The physician opens at ten. She heals people."),
        Passage(text="The tailor opens at two. He mends coats."),
    ]
    ranking = rank("doctor?", passages, embed=embed)
    assert int(ranking.passages.argmax()) == 1
    plain = rank("doctor?", passages)
    assert ranking.passages.sum() == pytest.approx(plain.passages.sum())
    assert plain.passages.max() - plain.passages.min() < 0.05


def test_texts_without_words_are_not_embedded() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return np.ones((len(texts), 2), np.float32) / np.sqrt(2).astype(np.float32)

    rank("who?", [Passage(text="--- ***"), Passage(text="A word. ---")], embed=embed)
    assert all(any(map(str.isalnum, text)) for text in asked)
    assert rank("?", [Passage(text="...")], embed=embed).passages.shape == (1,)


def test_the_budget_can_count_what_the_framework_adds() -> None:
    def shown(kept: Sequence[KeptPassage]) -> int:
        return sum(counter.count(k.text, "gpt-4o").tokens + 9 for k in kept)

    question = "Who is the mayor of Carrow?"
    kept = selector.keep(question, FACTS, max_tokens=40, shown=shown)
    assert kept is not None
    assert shown(kept) <= 40
    assert "Mina Vale" in " ".join(k.text for k in kept)
    assert [FACTS[k.index].title for k in kept] == [k.title for k in kept]
    without_shown = selector.keep(question, FACTS, max_tokens=40)
    assert without_shown is not None
    assert sum(counter.count(k.text, "gpt-4o").tokens for k in without_shown) > 40 - 9


@pytest.mark.parametrize(
    ("question", "budget"), [("Mayor?", 10_000), ("?!", 20), ("", 20), ("Mayor?", 1)]
)
def test_everything_stays_if_nothing_can_be_chosen(question: str, budget: int) -> None:
    assert selector.keep(question, FACTS, max_tokens=budget) is None
    assert selector.keep(question, [], max_tokens=budget) is None


def test_passages_without_text_always_stay() -> None:
    picture = Passage(text=" ", title="picture.png")
    passages = [picture, *FACTS, picture]
    kept = selector.keep("Who is the mayor of Carrow?", passages, max_tokens=30)
    assert kept is not None
    indices = [k.index for k in kept]
    assert indices == sorted(indices)
    assert {0, len(passages) - 1} < set(indices)
    assert selector.keep("Who is it?", [picture], max_tokens=1) is None


def test_a_failing_embedder_leaves_the_passages_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    def down(texts: Sequence[str]) -> Vectors:
        raise OSError(f"no answer for {texts}")

    failing = PassageSelector(counter=counter, embed=down)
    assert failing.keep("Who is the mayor of Carrow?", FACTS, max_tokens=30) is None
    assert "OSError" in caplog.text
    assert "Carrow" not in caplog.text


def test_passages_in_a_script_unknown_to_the_bundled_model_are_cut() -> None:
    thai = [
        Passage(text="\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e \u0e21\u0e35 12. " * 20),
        Passage(text="\u0e44\u0e17\u0e22 \u0e21\u0e35 7. " * 20),
    ]
    choosing = PassageSelector(counter=counter, embed=passage_embed(None))
    kept = choosing.keep("\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e", thai, max_tokens=30)
    assert kept is not None
    assert kept[0].index == 0


def test_a_model_without_words_of_a_script_leaves_the_ranking_by_words() -> None:
    passages = [Passage(text="กรุงเทพ มี 12. " * 20), Passage(text="ไทย มี 7. " * 20)]
    by_words = rank("ไทย", passages)
    known = rank("ไทย", passages, embed=StaticEmbedder().embed)
    assert known.passages.tolist() == by_words.passages.tolist()
    assert int(by_words.passages.argmax()) == 1


@pytest.mark.parametrize(
    ("question", "gold", "other"),
    [
        (
            "苹果公司在2019年卖了什么？",
            "Apple公司的历史很长。苹果公司在2019年卖了许多耳机。",
            "这家公司卖许多东西。2018年它卖了什么呢？没有人知道。",
        ),
        (
            "นักบินลงจอดที่เมืองใด",
            "เช้าวันนั้นอากาศดีมากและไม่มีเมฆเลยสักก้อนเดียวบนฟ้า นักบินลงจอดที่เมืองคาร์โรว์ก่อนเที่ยง",
            "เมืองนี้มีตลาดใหญ่ที่คนทั้งเมืองมาซื้อของทุกวันเสาร์ คนขับรถมาถึงตอนเย็น",
        ),
        (
            "नाविक किस द्वीप पर उतरा",
            "सुबह हवा तेज थी। नाविक कैरो द्वीप पर उतरा।फिर बारिश हुई।",
            "द्वीप पर बहुत पेड़ हैं। किसान सुबह खेत में उतरा।",
        ),
    ],
)
def test_other_scripts_are_cut_to_the_sentence_with_the_answer(
    question: str, gold: str, other: str
) -> None:
    passages = [Passage(text=other), Passage(text=gold)]
    ranking = rank(question, passages)
    assert int(ranking.passages.argmax()) == 1
    assert len(ranking.sentences[1]) > 1
    assert int(ranking.sentences[1].argmax()) == 1
