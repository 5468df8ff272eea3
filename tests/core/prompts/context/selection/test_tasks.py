"""Questions with an answer in one place are not taken for tasks on all of the documents."""

from __future__ import annotations

import unicodedata

import pytest

from llm_optimizers.prompts.context.selection.tasks import read_request
from llm_optimizers.text.word_lists import languages, read_fields

PACKAGE = "llm_optimizers.prompts.context.selection"


@pytest.mark.parametrize(
    "question",
    [
        "How many files may be open at once?",
        "What is the difference between a mutex and a semaphore?",
        "Which setting lists every source that was loaded?",
        "who wrote the first summary of the treaty",
        "where can i get a state report",
        "Is the context manager closed after an error?",
        "What does the list method return?",
        "In which text did Ovid describe the flood?",
        "The buyers are waiting: do we call them, mail them or text them?",
        "Wie viele Einwohner hat Bremen?",
        "¿Cuál es la diferencia entre un puma y un lince?",
        "Сколько жителей в Перми?",
        "ما هي عاصمة المغرب؟",
        "भारत की राजधानी क्या है?",
        "เมืองหลวงของลาวคืออะไร",
        "老挝的首都是哪里?",
    ],
)
def test_a_question_is_no_task(question: str) -> None:
    read = read_request(question)
    assert not read.needs_all
    assert not read.names_nothing
    assert read.question == question


@pytest.mark.parametrize(
    "question",
    [
        "According to the documents above, how many harbours does Carrow have?",
        "Based only on the sources provided, which town has the longest bridge?",
        "Using the following passages, who mentioned the flood first?",
        "How many students attend the school? Use only the context below.",
        "Laut den obigen Dokumenten: wie viele Einwohner hat Bremen?",
        "Wie viele Häfen hat Carrow dem Text zufolge?",
        "Según los documentos anteriores, ¿cuántos puertos tiene Carrow?",
        "Согласно документам выше, сколько жителей в Перми?",
        "وفقا للوثائق أعلاه، كم عدد سكان فاس؟",
        "दस्तावेज़ों के अनुसार, पटना में कितने स्कूल हैं?",
        "根据以上文件，长沙有多少所学校？",
    ],
)
def test_documents_that_are_only_cited_make_no_task(question: str) -> None:
    assert not read_request(question).needs_all


@pytest.mark.parametrize(
    "request_",
    [
        "Based on the documents above, list all mayors.",
        "According to the passages, what are the main points?",
        "How many of the documents mention a harbour?",
        "Find every date.",
        "Now describe each of them.",
        "Please identify the main claim of each passage.",
        "Any discrepancies between these?",
        "Transform the text into a dialogue.",
        "Pros and cons?",
        "Analysiere die Texte.",
        "Ordena los documentos por fecha.",
        "Проанализируй эти тексты.",
        "分析以上文件的异同。",
    ],
)
def test_a_task_is_known_by_its_verb_its_scope_or_its_words(request_: str) -> None:
    read = read_request(request_)
    assert read.needs_all or read.names_nothing


def test_only_the_sentences_that_ask_are_read_as_a_task() -> None:
    assert not read_request("Who is the mayor of Carrow? Translate your answer.").needs_all
    assert read_request("Translate the documents. Use plain words.").needs_all


def test_a_letter_is_also_read_by_its_last_paragraph_and_its_questions() -> None:
    letter = "The parcel with the blue tent came on Monday, and we were glad of it. " * 3
    read = read_request(f"{letter}\n\nAnswer in one line. Who is the mayor of Carrow?")
    assert read.shorter == (
        "Answer in one line. Who is the mayor of Carrow?",
        "Who is the mayor of Carrow?",
    )
    assert read_request("Who is the mayor of Carrow?").shorter == ()


def test_what_a_question_is_about_is_not_left_out_of_it() -> None:
    read = read_request("Order from Belfast, 6 gas cartridges. Are we allowed to ship that?")
    assert read.shorter == ()


@pytest.mark.parametrize("language", languages(PACKAGE))
def test_the_word_lists_are_complete_and_composed(language: str) -> None:
    fields = read_fields("requests", language, PACKAGE, separator=",")
    assert {"starts", "work", "text", "empty"} <= set(fields) <= {
        "starts", "verbs", "scopes", "polite", "citing", "cited", "work", "text", "empty",
    }  # fmt: skip
    for entries in fields.values():
        assert all(entries)
        assert len(set(entries)) == len(entries)
        assert all(unicodedata.is_normalized("NFC", entry) for entry in entries)
        assert all(entry == entry.lower() for entry in entries)
