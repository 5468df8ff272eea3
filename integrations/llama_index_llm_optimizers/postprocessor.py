"""`PromptCompressor`: cut retrieved nodes to a token budget, keeping what answers the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic import ConfigDict, Field, PrivateAttr

from llama_index_llm_optimizers.pickling import WholeComponent
from llm_optimizers.arguments import field, function, instance, share, text, whole
from llm_optimizers.embeddings import passage_embed
from llm_optimizers.holdout import is_held_out
from llm_optimizers.prompts import Passage, PassageSelector, TokenCounter
from llm_optimizers.prompts.context import MIN_PROBABILITY, KeptPassage, ReportCut, log_cut

__all__ = ["PromptCompressor"]


class PromptCompressor(WholeComponent, BaseNodePostprocessor):
    """Cuts retrieved nodes to a token budget, whole nodes first, then sentences.

    Example:
        ```python
        index.as_query_engine(node_postprocessors=[PromptCompressor(max_tokens=1_000)])
        ```

    The budget counts what the LLM sees of a node: text and metadata, without the keys in
    `excluded_llm_metadata_keys`. Nodes keep their order. One that is kept whole is the same object;
    one that is cut is a copy with its id, metadata and relationships. Nodes without text are not
    changed. More is kept than the budget, or everything, where less is unlikely to hold the answer
    (`min_probability`, see `ContextBudget`). `report` gets what was done with nodes over the
    budget; by default it is logged.
    """

    model_config = ConfigDict(extra="forbid")

    max_tokens: Annotated[int, field(whole, least=1)] = Field(
        description="Tokens of all nodes together, as the LLM sees them."
    )
    model: Annotated[str, field(text)] = Field(
        default="gpt-4o", description="The model whose tokens are counted."
    )
    embed_model: Annotated[BaseEmbedding | None, field(instance, BaseEmbedding, none=True)] = Field(
        default=None, description="Compares meaning; the bundled static model by default."
    )
    min_probability: Annotated[float | None, field(share, none=True)] = Field(
        default=MIN_PROBABILITY, description="Of the answer in what is kept."
    )
    report: Annotated[ReportCut, field(function)] = Field(
        default=log_cut, exclude=True, description="Gets what was kept, cut and dropped."
    )
    _counter: TokenCounter = PrivateAttr(default_factory=TokenCounter)
    _selector: PassageSelector = PrivateAttr(default=None)  # type: ignore[assignment]
    left_behind: ClassVar[frozenset[str]] = frozenset({"_selector"})

    def model_post_init(self, context: Any, /) -> None:
        """Create the selector once; threads can share it."""
        super().model_post_init(context)
        embed = passage_embed(self.embed_model)
        self._selector = PassageSelector(
            model=self.model,
            counter=self._counter,
            embed=embed,
            min_probability=self.min_probability,
            report=self.report,
        )

    def _complete(self) -> None:
        self.model_post_init(None)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "PromptCompressor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or is_held_out():
            return nodes
        passages = [Passage(title=_metadata(node.node), text=_text(node.node)) for node in nodes]
        chosen = self._selector.keep(
            query_bundle.query_str,
            passages,
            max_tokens=self.max_tokens,
            shown=lambda kept: sum(self._tokens(node.node) for node in _cut(nodes, kept)),
        )
        return nodes if chosen is None else _cut(nodes, chosen)

    def _tokens(self, node: BaseNode) -> int:
        """Return the tokens of a node as the LLM sees it."""
        text = node.get_content(metadata_mode=MetadataMode.LLM)
        return self._counter.count(text, self.model).tokens


def _metadata(node: BaseNode) -> str:
    """Return the metadata that the LLM sees."""
    return node.get_metadata_str(mode=MetadataMode.LLM).strip()


def _text(node: BaseNode) -> str:
    return node.get_content(metadata_mode=MetadataMode.NONE)


def _cut(nodes: Sequence[NodeWithScore], kept: Sequence[KeptPassage]) -> list[NodeWithScore]:
    """Return the kept nodes: the same objects if they are whole, else copies with less text."""
    found: list[NodeWithScore] = []
    for part in kept:
        node = nodes[part.index]
        if not part.whole:
            copy = node.node.model_copy()
            copy.set_content(part.text)
            node = NodeWithScore(node=copy, score=node.score)
        found.append(node)
    return found
