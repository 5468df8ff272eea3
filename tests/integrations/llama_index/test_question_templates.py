"""LlamaIndex's own templates: which may be served the answer to a question in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine import condense_plus_context, context
from llama_index.core.chat_engine.utils import get_prefix_messages_with_context
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptTemplate

from llm_optimizers.caching.keys import Unmatched
from llm_optimizers.types import Message
from tests.support.question_templates import only_exact, only_the_question_may_differ

CORE = "llama_index.core."

MATCHED = {
    # the question is in a last line
    "prompts.default_prompts:DEFAULT_TEXT_QA_PROMPT",
    "prompts.default_prompts:DEFAULT_TREE_SUMMARIZE_PROMPT",
    "prompts.chat_prompts:CHAT_TEXT_QA_PROMPT",
    "prompts.chat_prompts:CHAT_TREE_SUMMARIZE_PROMPT",
    "query_engine.citation_query_engine:CITATION_QA_TEMPLATE",
    "indices.struct_store.json_query:DEFAULT_RESPONSE_SYNTHESIS_PROMPT",
    "prompts.default_prompts:DEFAULT_CHOICE_SELECT_PROMPT",
    "prompts.default_prompts:STRUCTURED_CHOICE_SELECT_PROMPT",
    # the answer to refine belongs to the scope
    "prompts.default_prompts:DEFAULT_REFINE_PROMPT",
    "prompts.chat_prompts:CHAT_REFINE_PROMPT",
    "query_engine.citation_query_engine:CITATION_REFINE_TEMPLATE",
    # nothing but the question
    "prompts.default_prompts:DEFAULT_SIMPLE_INPUT_PROMPT",
    "prompts.chat_prompts:CHAT_SIMPLE_INPUT_PROMPT",
}
EXACT = {
    # the question is written again, as its history asks
    "chat_engine.condense_question:DEFAULT_PROMPT": Unmatched.TEXT_TASK,
    "indices.query.query_transform.prompts:DEFAULT_DECOMPOSE_QUERY_TRANSFORM_PROMPT": (
        Unmatched.SECTIONS
    ),
    "indices.query.query_transform.prompts:DEFAULT_STEP_DECOMPOSE_QUERY_TRANSFORM_PROMPT": (
        Unmatched.SECTIONS
    ),
    "query_engine.sql_join_query_engine:DEFAULT_SQL_AUGMENT_TRANSFORM_PROMPT": Unmatched.SECTIONS,
    # one of several choices is selected, or keywords, or a query in another language is written
    "selectors.prompts:DEFAULT_SINGLE_SELECT_PROMPT": Unmatched.TEXT_TASK,
    "selectors.prompts:DEFAULT_MULTIPLE_SELECT_PROMPT": Unmatched.TEXT_TASK,
    "prompts.default_prompts:DEFAULT_QUERY_PROMPT": Unmatched.TEXT_TASK,
    "prompts.default_prompts:DEFAULT_QUERY_KEYWORD_EXTRACT_TEMPLATE": Unmatched.TEXT_TASK,
    "prompts.default_prompts:DEFAULT_TEXT_TO_SQL_PROMPT": Unmatched.SECTIONS,
    "prompts.default_prompts:DEFAULT_JSON_PATH_PROMPT": Unmatched.TEXT_TASK,
    # the next part of an unfinished answer, with calls of a search
    "query_engine.flare.base:DEFAULT_INSTRUCT_PROMPT": Unmatched.TEXT_TASK,
    # a table and a task
    "prompts.default_prompts:DEFAULT_TABLE_CONTEXT_PROMPT": Unmatched.TEXT_TASK,
    # a judge's prompt: what it grades is a text
    "evaluation.faithfulness:DEFAULT_EVAL_TEMPLATE": Unmatched.SECTIONS,
    "evaluation.relevancy:DEFAULT_EVAL_TEMPLATE": Unmatched.SECTIONS,
    "evaluation.context_relevancy:DEFAULT_EVAL_TEMPLATE": Unmatched.SECTIONS,
    "evaluation.correctness:DEFAULT_EVAL_TEMPLATE": Unmatched.SECTIONS,
    "evaluation.pairwise:DEFAULT_EVAL_TEMPLATE": Unmatched.SECTIONS,
    # summaries and triplets of texts
    "prompts.default_prompts:DEFAULT_SUMMARY_PROMPT": Unmatched.TEXT_TASK,
    "prompts.default_prompts:DEFAULT_KG_TRIPLET_EXTRACT_PROMPT": Unmatched.TEXT_TASK,
}


def render(template: BasePromptTemplate, values: Mapping[str, str]) -> Sequence[Message]:
    messages = template.format_messages(**values)
    return [Message(role=each.role.value, content=each.content or "") for each in messages]


@pytest.mark.parametrize("name", sorted(MATCHED))
def test_templates_in_which_only_the_question_may_differ(name: str) -> None:
    template = resolve_name(CORE + name)
    only_the_question_may_differ(partial(render, template), template.template_vars)


@pytest.mark.parametrize(("name", "reason"), sorted(EXACT.items()))
def test_templates_that_are_matched_word_for_word(name: str, reason: Unmatched) -> None:
    template = resolve_name(CORE + name)
    assert only_exact(partial(render, template), template.template_vars) == reason


@pytest.mark.parametrize(
    "written",
    [context.DEFAULT_CONTEXT_TEMPLATE, condense_plus_context.DEFAULT_CONTEXT_PROMPT_TEMPLATE],
)
def test_chat_engines_have_the_context_in_the_system_message(written: str) -> None:
    messages = get_prefix_messages_with_context(
        PromptTemplate(written), "You answer questions of customers.", [], [], MessageRole.SYSTEM
    )
    template = ChatPromptTemplate(message_templates=messages)
    only_the_question_may_differ(partial(render, template), template.template_vars)


def test_the_history_of_a_chat_engine_belongs_to_the_scope() -> None:
    history = [
        ChatMessage(role=MessageRole.USER, content="{earlier}"),
        ChatMessage(role=MessageRole.ASSISTANT, content="{answer}"),
    ]
    messages = get_prefix_messages_with_context(
        PromptTemplate(context.DEFAULT_CONTEXT_TEMPLATE), "", [], history, MessageRole.SYSTEM
    )
    template = ChatPromptTemplate(message_templates=messages)
    only_the_question_may_differ(partial(render, template), template.template_vars)
