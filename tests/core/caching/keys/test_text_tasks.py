"""Requests to work on a text are told from questions, in every language that has word lists."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.keys import cache_key
from llm_optimizers.caching.keys.text_tasks.detection import works_on_text
from llm_optimizers.caching.keys.text_tasks.reading import DATA_PACKAGE
from llm_optimizers.text import word_lists
from llm_optimizers.types import ChatRequest, Message

LISTS = word_lists.languages(DATA_PACKAGE)
NEEDED = {
    "task", "agent", "possible", "text", "code", "question", "pointing", "attached", "inline",
    "opener", "polite", "asking", "interrogative", "label", "answering", "role", "output",
    "unless", "able", "own",
}  # fmt: skip
OPTIONAL = {
    "acting",
    "certain",
    "input",
    "message",
    "object",
    "placing",
    "form",
    "helper",
    "helping",
    "people",
    "request",
}
DATA = Path(__file__).parent / "data" / "text_tasks.txt"


def examples(section: str) -> list[tuple[str, str]]:
    text = DATA.read_text(encoding="utf-8").partition(f"[{section}]\n")[2].partition("\n[")[0]
    rows = [line.split(" | ", 1) for line in text.splitlines() if line]
    return [(place, example.replace("\\n", "\n")) for place, example in rows]


def chat(*turns: tuple[str, str], **params: object) -> ChatRequest:
    return ChatRequest.from_openai(
        {"model": "m", "messages": [{"role": r, "content": c} for r, c in turns], **params}
    )


def request(place: str, example: str) -> ChatRequest:
    if place == "message":
        return chat(("user", example))
    return chat(("system", example), ("user", "My card was swallowed by the machine"))


@pytest.mark.parametrize(("place", "example"), examples("work on a text"), ids=lambda t: t[:60])
def test_work_on_a_text_is_matched_exactly_only(place: str, example: str) -> None:
    key = cache_key(request(place, example))
    assert key.question is None
    assert key.normalised is None


@pytest.mark.parametrize(("place", "example"), examples("question"), ids=lambda t: t[:60])
def test_a_question_is_still_matched_by_meaning(place: str, example: str) -> None:
    assert cache_key(request(place, example)).question is not None


def test_there_are_examples_enough_of_both() -> None:
    assert len(examples("work on a text")) >= 150
    assert len(examples("question")) >= 100


def test_two_texts_never_share_an_answer_by_meaning_or_case() -> None:
    cache: ResponseCache[str] = ResponseCache()
    system = ("system", "Summarise the message in five words.")
    swallowed = "My card was swallowed by the machine"
    cache.update(chat(system, ("user", swallowed)), "a summary")
    assert cache.lookup(chat(system, ("user", "The machine swallowed my card"))) is None
    assert cache.lookup(chat(system, ("user", swallowed.lower()))) is None
    hit = cache.lookup(chat(system, ("user", swallowed)))
    assert hit is not None
    assert hit.tier == "exact"


@pytest.mark.parametrize(
    "turns",
    [
        (("user", "Translate: good night"), ("assistant", "Gute Nacht."), ("user", "good day")),
        (("user", "Translate all that I send you."), ("assistant", "Yes!"), ("user", "good day")),
        (("user", "Summarise the next message."), ("user", "my card was swallowed")),
        (
            ("user", "I love it"), ("assistant", "positive"),
            ("user", "how dull"), ("assistant", "negative"), ("user", "my card was swallowed"),
        ),
    ],
    ids=["translated before", "told before", "in two messages", "examples"],
)  # fmt: skip
def test_the_instruction_may_be_in_an_earlier_message(turns: tuple[tuple[str, str], ...]) -> None:
    assert cache_key(chat(*turns)).question is None


def test_a_conversation_is_matched_by_meaning() -> None:
    turns = ("user", "Hello, is the shop open?"), ("assistant", "Yes, until six.")
    assert cache_key(chat(*turns, ("user", "Where is it?"))).question is not None


def test_the_instruction_may_be_a_setting() -> None:
    assert cache_key(chat(("user", "Hi there"), instructions="You are a pirate.")).question
    assert (
        cache_key(chat(("user", "Hi there"), instructions="Translate to French.")).question is None
    )


@pytest.mark.parametrize(
    "instruction",
    ["Classify the question: billing or delivery.", "Rewrite the question in formal English."],
)
def test_a_question_line_is_a_text_where_the_prompt_says_so(instruction: str) -> None:
    assert cache_key(chat(("user", f"{instruction}\n\nQuestion: where is it?"))).question is None


def test_documents_before_a_question_line_are_no_instructions() -> None:
    documents = "Translate the text, says the manual.\n\n" * 20
    prompt = f"Answer the question from these documents.\n\n{documents}\n\nQuestion: where is it?"
    assert cache_key(chat(("user", prompt))).question == "where is it?"


def test_a_long_prompt_is_read_at_both_ends() -> None:
    filler = "\nThe shop is open on Mondays. " * 2_000
    for prompt in (f"Summarise the message.{filler}", f"{filler}\nSummarise the message."):
        assert works_on_text([Message(role="system", content=prompt)], "I lost my card")
        assert works_on_text([], prompt)


@pytest.mark.parametrize("text", ["", "\n", ":", " - ", "\uff1a", "\ud83d:", "é: é", "A\n" * 5_000])
def test_any_text_can_be_read(text: str) -> None:
    assert works_on_text([Message(role="system", content=text)], text, (text, text)) in (
        True,
        False,
    )


@pytest.mark.parametrize("language", LISTS)
def test_a_language_has_the_roles_it_needs_in_lower_case_and_once(language: str) -> None:
    roles = word_lists.read_fields("words", language, DATA_PACKAGE, separator=",")
    assert roles.keys() >= NEEDED
    assert roles.keys() <= NEEDED | OPTIONAL
    for words in roles.values():
        assert all(words)
        assert len(set(words)) == len(words)
    text = "\n".join(word_lists.read_lines("words", language, DATA_PACKAGE))
    assert text == text.lower()
    assert unicodedata.is_normalized("NFC", text)


def test_every_language_with_stopwords_has_these_words() -> None:
    assert word_lists.languages() == LISTS
