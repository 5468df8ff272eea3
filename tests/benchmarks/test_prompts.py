"""The prompts' benchmark: chunks, documentation, questions and their distractors, forms."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness import Run
from llm_optimizers.prompts import Passage
from prompts import data_sets
from prompts.bm25 import BM25, best_first, character_pairs, words
from prompts.chunks import chunks
from prompts.docs import Chunk, documentation
from prompts.forms import DOCUMENTS, OTHERS, left_by_document, unbalanced
from prompts.prompt import Prompt
from prompts.questions import Library, questions

PARAGRAPH = "The cache keeps an answer for an hour, then asks the model once more. " * 5
CODE = "```python\n" + "\n\n".join(f"value_{at} = {at}" for at in range(80)) + "\n```\n"
TABLE = "| option | default |\n|---|---|\n" + "| `--retries` | 3 |\n" * 60
FILLER = [
    Chunk(package="sample", path="guide.md", text=f"Chapter {at} says how to read page {at}.")
    for at in range(30)
]
GOLD = Chunk(package="sample", path="METADATA", text="A call is tried 3 times, then given up.")
QUESTION = {
    "question": "How often is a call tried?",
    "answers": [["3 times"]],
    "gold": [{"package": "sample", "path": "METADATA", "anchor": "call is tried"}],
}


def documents(*texts: str) -> list[Passage]:
    return [Passage(text=text) for text in texts]


def test_paragraphs_are_joined_up_to_the_size_of_a_chunk():
    cut = chunks("\n\n".join([PARAGRAPH] * 9))
    assert len(cut) == 3
    assert all(chunk.count("The cache") == 15 for chunk in cut)


@pytest.mark.parametrize("block", [CODE, TABLE], ids=["code", "table"])
def test_code_and_tables_stay_whole(block):
    assert 1_000 < len(block) < 1_800
    cut = chunks("\n\n".join([PARAGRAPH, PARAGRAPH, block, PARAGRAPH]))
    assert any(block.strip() in chunk for chunk in cut)


def test_a_table_that_is_too_long_is_cut_between_rows():
    rows = [f"| `--option-{at}` | {at} |" for at in range(200)]
    cut = chunks("\n".join(rows))
    assert len(cut) > 1
    assert [row for chunk in cut for row in chunk.splitlines()] == rows


def test_a_heading_stands_above_its_text():
    cut = chunks("\n\n".join([PARAGRAPH] * 3 + ["## Retries"] + [PARAGRAPH] * 3))
    assert len(cut) == 2
    assert cut[1].startswith("## Retries")


def test_a_short_end_is_no_chunk_of_its_own():
    cut = chunks("\n\n".join([PARAGRAPH] * 3 + ["See the guide."]))
    assert len(cut) == 1
    assert cut[0].endswith("See the guide.")


def test_documentation_is_found_below_fields_and_in_parameters():
    source = '''
"""About the module."""
class Settings:
    """About the class."""
    retries: int = 3
    """How often a call is tried."""
    def read(self, path: Annotated[str, Doc("Where they are.")]):
        """Reads them."""
'''
    assert documentation("sample/settings.py", source) == [
        ("sample/settings.py", "About the module."),
        (
            "sample/settings.py:Settings",
            "About the class.\n\nretries: How often a call is tried.",
        ),
        ("sample/settings.py:Settings.read", "Reads them.\n\npath: Where they are."),
    ]


def test_a_prompt_has_the_gold_chunk_among_the_nearest_others():
    near = Chunk(package="other", path="METADATA", text="A call is tried often by a worker.")
    library = Library([*FILLER, near, GOLD])
    prompt = library.prompt(QUESTION)
    assert prompt is not None
    assert len(prompt.documents) == 15
    assert prompt.documents[prompt.gold[0]].text == GOLD.text
    assert Passage(text=near.text) in prompt.documents
    assert prompt == library.prompt(QUESTION)


def test_another_chunk_with_the_answer_is_left_out():
    same = Chunk(package="other", path="METADATA", text="A call is tried 3 TIMES by a worker.")
    prompt = Library([*FILLER, same, GOLD]).prompt(QUESTION)
    assert prompt is not None
    assert Passage(text=same.text) not in prompt.documents


@pytest.mark.parametrize(
    "there",
    [
        [],
        [Chunk(package="sample", path="METADATA", text="A call is tried 4 times.")],
        [GOLD, Chunk(package="sample", path="METADATA", text="No call is tried 3 times more.")],
    ],
    ids=["no chunk", "no answer", "two chunks"],
)
def test_a_question_is_skipped_if_its_chunk_cannot_be_found(there):
    assert Library([*FILLER, *there]).prompt(QUESTION) is None


def test_a_question_of_two_hops_is_skipped_if_one_chunk_holds_both_facts():
    second = {"package": "sample", "path": "METADATA", "anchor": "then given up"}
    both = QUESTION | {"answers": [["3 times"], ["given up"]], "gold": [*QUESTION["gold"], second]}
    assert Library([*FILLER, GOLD]).prompt(both) is None


def test_too_few_questions_are_an_error(monkeypatch):
    monkeypatch.setattr(data_sets, "Library", lambda: Library([*FILLER, GOLD]))
    monkeypatch.setattr(data_sets, "questions", lambda: [{"kind": "docs", **QUESTION}])
    options = argparse.Namespace(data=Path())
    run = Run(options=options, seed=1, section="entrance", shared={})
    with pytest.raises(SystemExit, match="1 questions are left, fewer than 60"):
        data_sets.own_questions(run)


def test_our_questions_are_well_formed():
    asked = questions()
    assert len({each["question"] for each in asked}) == len(asked)
    for each in asked:
        assert each["kind"] in data_sets.KINDS.values()
        assert len(each["answers"]) == len(each["gold"]) == 1 + (each["kind"] == "two_hop")
        assert all(len(place["anchor"]) <= 60 for place in each["gold"])
        answers = [answer for group in each["answers"] for answer in group]
        assert not [answer for answer in answers if answer.lower() in each["question"].lower()]


def test_every_answer_must_be_left_in_its_own_document():
    prompt = Prompt(
        question="Who, and where?",
        documents=(*documents("Anna did.", "In Rome.", "Anna was in Rome."),),
        gold=(0, 1),
        answers=(("anna",), ("rome", "italy")),
    )
    assert prompt.answered_by({0: "Anna did.", 1: "It was in Italy."})
    assert not prompt.answered_by({0: "Anna did.", 2: "Anna was in Rome."})
    assert prompt.answered_anywhere("Anna was in Rome.")


@pytest.mark.parametrize("form", [DOCUMENTS, *OTHERS], ids=lambda form: form.name)
def test_a_form_finds_its_section_again(form):
    written = form.write("Why?", documents("Because.", "No {question} here."))
    section = form.section("Why?", written)
    assert section is not None
    assert "Because." in section
    assert "No {question} here." in section
    assert "Why?" not in section
    assert not unbalanced(written, form.tags)
    assert form.section("Why not?", written) is None


def test_what_is_left_is_read_by_document():
    section = '<document index="2">\nTwo lines\nof text\n</document>\n<document index="7">\nSeven'
    assert left_by_document(section) == {1: "Two lines\nof text", 6: "Seven"}


@pytest.mark.parametrize(
    "sent",
    [
        '<documents>\n<document index="1">\nA\n</documents>',
        '<documents>\n<document index="1">\nA\n</documents>\n</document>',
        "<documents>\nA\n</document>\n</documents>",
    ],
    ids=["not closed", "out of order", "not opened"],
)
def test_unbalanced_tags_are_noticed(sent):
    assert unbalanced(sent, DOCUMENTS.tags)


def test_bm25_ranks_rare_terms_of_short_texts_first():
    texts = ["the cat sat", "the dog sat and sat and sat", "the cat and the dog", "the end"]
    assert best_first(BM25(texts, words).scores(words("The end")))[0] == 3
    assert best_first(BM25(texts, words).scores(words("cat")))[:2] == [0, 2]
    assert character_pairs("東京 都") == ["東京", "京都"]
