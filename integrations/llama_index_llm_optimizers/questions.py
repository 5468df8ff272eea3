"""A question about retrieved documents, as the cache knows it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from llama_index_llm_optimizers.answers import Answered
from llama_index_llm_optimizers.identity import identity_of_llm
from llama_index_llm_optimizers.metering import Reading
from llm_optimizers.caching.visible import visible
from llm_optimizers.types import ChatRequest, Message

__all__ = ["answer_of", "request_of_query"]

_NO_ANSWERS = frozenset({"", "None", "Empty Response"})
"""What the framework says where there is no answer; not worth keeping."""


def request_of_query(
    engine: RetrieverQueryEngine,
    synthesizer: BaseSynthesizer,
    query: QueryBundle,
    nodes: Sequence[NodeWithScore],
) -> ChatRequest | None:
    """The question with its documents as the history; None where the answer would be an object.

    The documents' order is left out: near-equal scores swap places from one question to another
    that means the same.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be seen.
    """
    llm = synthesizer._llm
    if synthesizer._output_cls is not None or isinstance(llm, StructuredLLM):
        return None
    prompts = {
        name: [prompt.get_template(llm), visible(prompt.kwargs)]
        for name, prompt in engine.get_prompts().items()
    }
    return ChatRequest(
        messages=(
            Message(role="system", content="\n".join(sorted(map(_digest, nodes)))),
            Message(role="user", content=query.query_str),
        ),
        params={
            "synthesizer": type(synthesizer).__qualname__,
            "image": query.image_path,
            "llm": identity_of_llm(llm),
            "prompts": prompts,
        },
    )


def answer_of(text: str, reading: Reading) -> Answered:
    """The answer as it is kept, with what the calls for it consumed together."""
    kept = "" if text.strip() in _NO_ANSWERS else text
    return Answered(reply=CompletionResponse(text=kept), model=reading.model, usage=reading.usage)


def _digest(node: NodeWithScore) -> str:
    """A node by its content and by what the LLM sees of it."""
    shown = node.node.get_content(metadata_mode=MetadataMode.LLM)
    return hashlib.sha256(f"{node.node.hash}\n{shown}".encode()).hexdigest()
