"""What a query engine's answer depends on: its question, nodes, prompts, LLM and synthesizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate, SelectorPromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import BaseComponent, MetadataMode, NodeWithScore, QueryBundle

from llama_index_llm_optimizers.call import CompletionCall
from llama_index_llm_optimizers.identity import identity_of_component, identity_of_llm, sampled
from llama_index_llm_optimizers.wrappers import run_settings, underlying_models
from llm_optimizers.fingerprint import digest_of_read
from llm_optimizers.settings.provider_state import state_settings
from llm_optimizers.types import ChatRequest, Message

__all__ = ["request_of_query", "text_asked"]

_OTHERWISE_KEYED = frozenset(
    {"_llm", "_callback_manager", "callback_manager", "_streaming", "_use_async", "_verbose"}
)
"""A synthesizer's attributes that are in the key already, or that change no answer."""
_ASKING = ("text_qa_template", "summary_template")
"""The prompts that hold the nodes' texts and the question."""


def request_of_query(
    engine: RetrieverQueryEngine,
    synthesizer: BaseSynthesizer,
    query: QueryBundle,
    nodes: Sequence[NodeWithScore],
) -> ChatRequest | None:
    """Return the question, with its nodes as the history; None if the answer would be an object.

    The order of the nodes is ignored, since another wording of the question may swap nodes with
    similar scores.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    llm = synthesizer._llm
    if synthesizer._output_cls is not None or isinstance(llm, StructuredLLM):
        return None
    prompts = {name: _prompt_settings(prompt, llm) for name, prompt in engine.get_prompts().items()}
    return ChatRequest(
        messages=(
            Message(role="system", content="\n".join(sorted(map(_digest, nodes)))),
            Message(role="user", content=query.query_str),
        ),
        params={
            "synthesizer": _synthesizer_settings(synthesizer),
            "image": query.image_path,
            "llm": digest_of_read(identity_of_llm(llm)),
            "prompts": prompts,
            **state_settings(*underlying_models(llm)),
            "run": run_settings(llm, CompletionCall(prompt=query.query_str)),
        },
        completion=True,
        sampled=sampled(llm, {}),
    )


def text_asked(
    synthesizer: BaseSynthesizer, query: QueryBundle, nodes: Sequence[NodeWithScore]
) -> str:
    """Return about what an LLM is asked with these nodes, to count its tokens.

    A synthesizer that makes several calls asks for more.
    """
    shown = [node.node.get_content(metadata_mode=MetadataMode.LLM) for node in nodes]
    context = "\n\n".join(shown)
    prompts = synthesizer.get_prompts()
    prompt = next((prompts[name] for name in _ASKING if name in prompts), None)
    if prompt is None:
        return f"{context}\n{query.query_str}"
    return prompt.format(llm=synthesizer._llm, context_str=context, query_str=query.query_str)


def _prompt_settings(prompt: BasePromptTemplate, llm: LLM) -> dict[str, Any]:
    """Return what a prompt writes, and the functions that write parts of it."""
    chosen = prompt.select(llm) if isinstance(prompt, SelectorPromptTemplate) else prompt
    return {
        "template": prompt.get_template(llm),
        "messages": getattr(chosen, "message_templates", None),
        "filled": [prompt.kwargs, chosen.kwargs],
        "names": [prompt.template_var_mappings, chosen.template_var_mappings],
        "functions": [prompt.function_mappings, chosen.function_mappings],
        "parser": chosen.output_parser,
    }


def _synthesizer_settings(synthesizer: BaseSynthesizer) -> dict[str, Any]:
    """Return the settings of a synthesizer beside its LLM and its prompts."""
    settings: dict[str, Any] = {"class": type(synthesizer)}
    for name, value in vars(synthesizer).items():
        own = getattr(value, "__self__", None) is synthesizer
        if name in _OTHERWISE_KEYED or own or isinstance(value, BasePromptTemplate):
            continue
        component = isinstance(value, BaseComponent)
        settings[name] = digest_of_read(identity_of_component(value)) if component else value
    return settings


def _digest(node: NodeWithScore) -> str:
    """Return the digest of a node's content and of what the LLM sees of it."""
    shown = node.node.get_content(metadata_mode=MetadataMode.LLM)
    return hashlib.sha256(f"{node.node.hash}\n{shown}".encode()).hexdigest()
