"""LangChain's own templates: which may be served the answer to a question in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name

import pytest
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate

from llm_optimizers.caching.keys import Unmatched
from llm_optimizers.types import Message
from tests.support.question_templates import only_exact, only_the_question_may_differ

ROLES = {"human": "user", "ai": "assistant", "system": "system"}
CHAINS = "langchain_classic.chains."

MATCHED = {
    # the question is in a last line, with another cue after it
    "retrieval_qa.prompt:PROMPT",
    "question_answering.stuff_prompt:PROMPT",
    "conversational_retrieval.prompts:QA_PROMPT",
    "question_answering.map_reduce_prompt:QUESTION_PROMPT",
    "qa_with_sources.map_reduce_prompt:QUESTION_PROMPT",
    "question_answering.map_rerank_prompt:PROMPT",
    # the question ends a sentence of the last line
    "question_answering.refine_prompts:DEFAULT_TEXT_QA_PROMPT",
    "qa_with_sources.refine_prompts:DEFAULT_TEXT_QA_PROMPT",
    # the question is before the context, after examples of the same form
    "question_answering.map_reduce_prompt:COMBINE_PROMPT",
    "qa_with_sources.map_reduce_prompt:COMBINE_PROMPT",
    "qa_with_sources.stuff_prompt:PROMPT",
    # the question is in the first line; the answer to refine belongs to the scope
    "question_answering.refine_prompts:DEFAULT_REFINE_PROMPT",
    "qa_with_sources.refine_prompts:DEFAULT_REFINE_PROMPT",
    # the context is in the system message, the question is the whole last message
    "question_answering.stuff_prompt:CHAT_PROMPT",
    "question_answering.map_reduce_prompt:CHAT_QUESTION_PROMPT",
    "question_answering.map_reduce_prompt:CHAT_COMBINE_PROMPT",
    "question_answering.refine_prompts:CHAT_QUESTION_PROMPT",
}
EXACT = {
    # the question is written again, as its history asks
    "conversational_retrieval.prompts:CONDENSE_QUESTION_PROMPT": Unmatched.SECTIONS,
    # the last message holds context; the question is in an earlier one
    "question_answering.refine_prompts:CHAT_REFINE_PROMPT": Unmatched.TEXT_TASK,
    # what is wanted is a passage to search with, not an answer
    "hyde.prompts:web_search": Unmatched.SECTIONS,
    # a message and an unfinished answer in sections of their own
    "flare.prompts:PROMPT": Unmatched.TEXT_TASK,
    "flare.prompts:QUESTION_GENERATOR_PROMPT": Unmatched.TEXT_TASK,
}


def render(template: BasePromptTemplate, values: Mapping[str, str]) -> Sequence[Message]:
    messages = template.invoke(dict(values)).to_messages()
    return [Message(role=ROLES[each.type], content=each.text) for each in messages]


@pytest.mark.parametrize("name", sorted(MATCHED))
def test_templates_in_which_only_the_question_may_differ(name: str) -> None:
    template = resolve_name(CHAINS + name)
    only_the_question_may_differ(partial(render, template), template.input_variables)


@pytest.mark.parametrize(("name", "reason"), sorted(EXACT.items()))
def test_templates_that_are_matched_word_for_word(name: str, reason: Unmatched) -> None:
    template = resolve_name(CHAINS + name)
    assert only_exact(partial(render, template), template.input_variables) == reason


@pytest.mark.parametrize(
    "system",
    [
        "You are an assistant for question-answering tasks. Answer the user's question from the "
        "retrieved context below. Keep the answer short.\n\n{context}",
        "You answer questions about our product. Use this context only:\n<context>\n{context}\n"
        "</context>",
    ],
)
def test_a_chain_with_its_context_in_the_system_message(system: str) -> None:
    template = ChatPromptTemplate.from_messages([("system", system), ("human", "{input}")])
    only_the_question_may_differ(partial(render, template), template.input_variables)
