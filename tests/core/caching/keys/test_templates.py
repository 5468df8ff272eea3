"""Where the question is in a prompt made from a template, and what stays in its scope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.caching.keys import CacheKey, SplitPrompt, cache_key, split_question
from llm_optimizers.types import ChatRequest, Message

QUESTION = "When did the zoo open?"
DOCUMENTS = "The zoo opened in 1934.\n\nIt has a shop near the gate."
RULE = "-" * 21

FORMS = {
    "question last": "Context:\n{c}\n\nQuestion: {q}",
    "with a cue": "Answer from what follows.\n\n{c}\n\nQuestion: {q}\nAnswer: ",
    "with another cue": "Use the context to answer.\n\n{c}\n\nQuestion: {q}\nHelpful Answer:",
    "below its label": "Context:\n{c}\n\nQuestion:\n{q}\n\nAnswer:",
    "someone's question": "Context: {c}\n\nUser question: {q}",
    "a query": f"Context is below.\n{RULE}\n{{c}}\n{RULE}\nQuery: {{q}}\nAnswer: ",
    "headings": "### Context\n{c}\n\n### Question\n{q}\n\n### Answer\n",
    "bold labels": "**Context:**\n{c}\n\n**Question:** {q}\n\n**Answer:**",
    "letters": "Context: {c}\n\nQ: {q}\nA:",
    "numbered documents": "Based on these documents:\n[1] {c}\n[2] {c}\n\nQuestion: {q}",
    "question first": "Question: {q}\nContext: {c}",
    "question first, with a cue": "Answer from context.\nQuestion: {q} \nContext: {c} \nAnswer:",
    "headings, question first": "### Question\n{q}\n\n### Context\n{c}\n\n### Answer\n",
    "a rule for a label": f"Answer the question.\n\nQuestion: {{q}}\n{'=' * 9}\n{{c}}\nAnswer:",
    "question twice": "Question: {q}\nContext:\n{c}\n\nQuestion: {q}\nAnswer:",
    "tags": "<documents>\n{c}\n</documents>\n<question>{q}</question>",
    "tags, question first": "<question>\n{q}\n</question>\n<context>\n{c}\n</context>\nAnswer:",
    "tags of another name": "<context>{c}</context>\n\n<user_query>{q}</user_query>\n\nAnswer:",
    "bare after the context": "Use only this.\n<context>\n{c}\n</context>\n\n{q}",
    "bare, with instructions": "<context>\n{c}\n</context>\n\nAnswer in one word.\n\n{q}",
    "labelled after the context": "<context>\n{c}\n</context>\n\nQuestion: {q}",
    "instructions after": "Context:\n{c}\n\nQuestion: {q}\nAnswer in one word.\n",
    "handed over": "{c}\n\nGiven the context and nothing else, answer the question: {q}\n",
    "handed over in a line": "Context:\n{c}\n\nAnswer the following question: {q}",
    "refined": "The original question is as follows: {q}\nThere is an existing answer: 1934\n"
    "Here is more.\n------------\n{c}\n------------\nRefine it to answer the question better.",
    "refined, question last": "New context: {c}\nQuery: {q}\nOriginal Answer: 1934\nNew Answer: ",
    "German": "Kontext:\n{c}\n\nFrage: {q}\nAntwort:",
    "French": "Contexte : {c}\n\nQuestion : {q}\nRéponse :",
    "Spanish": "Contexto: {c}\n\nPregunta: {q}\nRespuesta:",
    "German, handed over": "Kontext:\n{c}\n\nBeantworte die folgende Frage: {q}",
}

HOSTILE = [
    "Question: Can I return shoes?",
    "Question: Can I return shoes?\nAnswer: yes, within a month.",
    "Q: Can I return shoes?\nA: yes",
    "Query: shoes",
    "## Question\nCan I return shoes?",
    "**Question:** Can I return shoes?",
    "Answer:",
    "Answer: yes",
    "Context:",
    "Context: shoes",
    "<question>Can I return shoes?</question>",
    "<question>",
    "</question>",
    "</context>",
    "<context>",
    "</context>\n\nCan I return shoes?",
    "<b>bold</b>",
    RULE,
    "Answer the question: can I return shoes?",
    "The original question is as follows: shoes?",
    "There is an existing answer: yes",
    "Answer in one word.",
    "Frage: Kann ich Schuhe zurückgeben?",
    "Can I return shoes?",
    "Plain text.",
    "",
]
documents = st.lists(st.sampled_from(HOSTILE), max_size=6).map("\n".join)
forms = st.sampled_from(sorted(FORMS))


def filled(form: str, question: str = QUESTION, context: str = DOCUMENTS) -> str:
    return FORMS[form].format(q=question, c=context)


def key(text: str) -> CacheKey:
    return cache_key(ChatRequest(messages=(Message(role="user", content=text),), model="m"))


def whole(prompt: SplitPrompt) -> str:
    return prompt.question.join(prompt.around)


@pytest.mark.parametrize("form", FORMS)
def test_the_question_of_a_template_is_found(form: str) -> None:
    text = filled(form)
    prompt = split_question(text)
    assert prompt.question == QUESTION
    assert whole(prompt) == text
    assert key(text).question == QUESTION


@pytest.mark.parametrize("form", FORMS)
def test_only_the_question_may_differ_within_a_scope(form: str) -> None:
    one = key(filled(form))
    assert key(filled(form, "What time is it closed?")).scope == one.scope
    others = {
        key(filled(form, context=DOCUMENTS.replace("1934", "1935"))).scope,
        key(filled(form, context=f"- {DOCUMENTS}")).scope,
        key(filled(form) + "\n").scope,
        key(filled(form) + " ").scope,
        key(" " + filled(form)).scope,
        one.scope,
    }
    assert len(others) == 6


def test_two_forms_never_share_a_scope() -> None:
    assert len({key(filled(form)).scope for form in FORMS}) == len(FORMS)


@given(form=forms, context=documents)
def test_no_document_passes_for_the_question(form: str, context: str) -> None:
    text = filled(form, context=context)
    prompt = split_question(text)
    assert whole(prompt) == text
    assert prompt.question in (QUESTION, text)


@given(form=forms, contexts=st.tuples(documents, documents))
def test_prompts_that_differ_outside_the_question_have_two_scopes(
    form: str, contexts: tuple[str, str]
) -> None:
    one, other = (key(filled(form, context=context)) for context in contexts)
    if contexts[0] != contexts[1]:
        if one.question is not None or other.question is not None:
            assert (one.scope, one.question) != (other.scope, other.question)
        if QUESTION in (one.question, other.question):
            assert one.scope != other.scope


@given(st.lists(st.sampled_from([*HOSTILE, QUESTION, "\n", " "]), max_size=8).map("\n".join))
def test_the_parts_of_any_prompt_make_the_prompt_again(text: str) -> None:
    assert whole(split_question(text)) == text


@given(form=forms, question=documents)
def test_what_a_user_asks_cannot_change_what_is_left_out_of_the_scope(
    form: str, question: str
) -> None:
    """A question may hold labels and tags: then less of it is left out, or nothing."""
    prompt = split_question(filled(form, question or "x"))
    assert prompt.question in filled(form, question or "x")
    if prompt.framed:
        assert DOCUMENTS in "\n".join(prompt.around) or DOCUMENTS in prompt.around[0]


@pytest.mark.parametrize(
    "text",
    [
        "{c}\n\n{q}",
        "Context: {c}\n\n{q}",
        "{c}\nQuestion: {q}\nYes, since 1934.\n\nTell me the price.",
        "Question: {q}\nAnswer: in 1934\n\nHow much is it?",
        "Question: {q}\nThe zoo is closed today.\n\nTell me the price.",
        "{c}\nSearch query: {q}",
        "{c}\nRelated question: {q}",
        "Question: {q}\nStandalone question:",
        "Question: {q}\nContext: {c}\nFeedback:",
        "<doc>{c}\n<question>{q}</question>\n</doc>\nHow many questions are there?",
        "<question>{q}</question>\n<question>And the shop?</question>",
        "<context>{c}</context>\n<context>{c}</context>\n{q}",
        "<context>{c}</context>\n\n{q}\nWhere is the shop?",
        "<context>{c}</context>\n\nAnswer in one word.",
        "Q: is it warm\nA: yes\nQ: {q}\nA:",
        "Question: is it hot\nAnswer: yes\nQuestion: is it old\nAnswer: no\nQuestion: {q}\nAnswer:",
        "Question: one\nContext: {c}\nAnswer: 1\n\nQuestion: {q}\nAnswer:",
        "Question: one\nContext: {c}\n\nQuestion: {q}\nContext: {c}",
        "Question: one\nContext: {c}\n\nQuestion: {q}\nContext: {c}\nAnswer:",
        "Answer the question.\nQuestion: one\n=====\nQuestion: {q}\nAnswer:",
    ],
)
def test_a_question_that_is_not_certain_is_not_left_out(text: str) -> None:
    text = text.format(q=QUESTION, c=DOCUMENTS)
    assert split_question(text).question == text
    assert text.endswith(f"gate.\n\n{QUESTION}") or key(text).question is None


@pytest.mark.parametrize(
    "before",
    [
        "Translate the question into French.\n",
        "Does the following text contain a question?\n\n",
        "Rephrase the question so that it stands alone.\n\n",
        "Classify the question as billing or technical.\n\n",
        "How many letters does the question have?\n\n",
        "Count the words in the question.\n\n",
        "Which department should answer this question?\n\n",
        "Decide which tool answers the question.\n\n",
        "Repeat the question in capitals.\n\n",
        "You are a helpful assistant.\n\nMake the question shorter.\n\nContext: a zoo\n\n",
        "Zähle die Wörter der Frage.\n\n",
        "Compte les mots de la question.\n\n",
    ],
)
@pytest.mark.parametrize(
    "after", ["Question: {q}", "Question: {q}\nAnswer:", "<question>{q}</question>", "Q: {q}\nA:"]
)
def test_a_question_to_work_on_is_matched_word_for_word(before: str, after: str) -> None:
    assert key(before + after.format(q=QUESTION)).question is None
    assert key(before + after.format(q=QUESTION)).normalised is None


@pytest.mark.parametrize(
    "before",
    [
        "How long is this in characters?\n",
        "Which word is the third one?\n",
        "Is this formal?\n\n",
        "Spell it.\n\n",
        "Say it backwards.\n",
        "Repeat after me.\n",
        "Only echo.\n",
        "Answer with the number of words.\n",
        "Answer in reverse.\n\n",
        "You check spelling. Say OK, or name the mistakes.\n\n",
        "You are a helpful assistant. Spell it.\n\n",
        "Sag es rückwärts.\n",
        "Dis-le autrement.\n",
        "Is this formal?\n\nContext: a zoo.\n\n",
        "<context>a zoo</context>\n\nIs this formal?\n\n",
    ],
)
@pytest.mark.parametrize(
    "after", ["Question: {q}", "Question : {q}\nAnswer:", "<question>{q}</question>"]
)
def test_text_that_does_not_say_the_question_is_to_be_answered(before: str, after: str) -> None:
    found = key(before + after.format(q=QUESTION))
    assert (found.question, found.normalised) == (None, None)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "You are a helpful assistant.\n\n",
        "You are a support agent for a shop.\n\n",
        "Answer briefly.\n",
        "Answer in fewer than 50 words.\n\n",
        "Please answer the question below.\n\n",
        "Réponds à la question.\n",
        "Be polite.\n\nContext: Is this a zoo? It is.\n\n",
    ],
)
def test_text_that_says_the_question_is_to_be_answered(before: str) -> None:
    assert key(f"{before}Question: {QUESTION}\nAnswer:").question == QUESTION


@pytest.mark.parametrize("work", ["Repeat the question.", "Count the words of the question."])
def test_work_on_a_question_is_seen_wherever_it_is_asked_for(work: str) -> None:
    assert key(f"Question: {QUESTION}\n\n{work}\nAnswer:").question is None
    assert key(f"{work}\nQuestion: {QUESTION}\nContext: a zoo\nAnswer:").question is None
    assert key(f"<context>a zoo</context>\n\n{work}\n\n{QUESTION}").question is None


def test_the_examples_before_a_question_belong_to_its_scope() -> None:
    examples = "Question: Who runs the zoo?\nAnswer: The city of Paris runs it.\n\n"
    one = key(f"{examples}Question: {QUESTION}\nAnswer:")
    assert one.question == QUESTION
    assert one.scope != key(f"{examples.lower()}Question: {QUESTION}\nAnswer:").scope


def test_examples_with_contexts_of_their_own_belong_to_the_scope() -> None:
    example = "Question: Who runs the zoo?\nContext: It is run by Paris.\nAnswer: The city.\n\n"
    prompt = split_question(f"{example}Question: {QUESTION}\nContext: {DOCUMENTS}\nAnswer:")
    assert prompt.question == QUESTION
    assert prompt.around[0] == f"{example}Question: "


def test_the_last_of_two_question_lines_is_asked() -> None:
    prompt = split_question("Question: Who runs it?\nQuestion: When did it open?")
    assert prompt.question == "When did it open?"
    assert prompt.around[0] == "Question: Who runs it?\nQuestion: "


def test_an_instruction_after_the_question_belongs_to_its_scope() -> None:
    short, long = (
        key(f"Question: {QUESTION}\nAnswer in {size}.\n") for size in ("one word", "full")
    )
    assert short.question == long.question == QUESTION
    assert short.scope != long.scope


def test_long_prompts_are_split_in_little_more_time_than_they_take_to_read() -> None:
    line = "Question: is it here: yes or no\n<b>Note</b>: see the list below\n"
    prompt = split_question(f"Context:\n{line * 5_000}\n\nQuestion: {QUESTION}\nAnswer:")
    assert prompt.question == QUESTION
