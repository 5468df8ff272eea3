"""The optimizer of a component, from the arguments that the components of both frameworks take."""

from __future__ import annotations

from llm_optimizers.arguments import instance, whole
from llm_optimizers.embeddings import passage_embed
from llm_optimizers.embeddings.embedders import check_embeddings
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts.context import ContextBudget
from llm_optimizers.prompts.optimizer import RequestOptimizer

__all__ = ["build_optimizer"]


def build_optimizer(
    context_tokens: int | None,
    optimizer: RequestOptimizer | None,
    embeddings: object | None,
    *,
    argument: str = "embeddings",
) -> RequestOptimizer:
    """Return the given optimizer, or a new one with this budget for retrieved context.

    `argument` is the name by which the embeddings were given.

    Raises:
        ConfigurationError: `context_tokens` is below one, or both an optimizer and settings for
            one are given.
    """
    if optimizer is not None:
        give = "a RequestOptimizer(…)"
        instance("optimizer", optimizer, RequestOptimizer, give=give)
        if context_tokens is not None or embeddings is not None:
            raise ConfigurationError(
                f"`context_tokens` and `{argument}` cannot be combined with `optimizer`: give "
                "`context` and `embed` to the RequestOptimizer instead"
            )
        return optimizer
    check_embeddings(argument, embeddings)
    if context_tokens is None:
        return RequestOptimizer()
    budget = ContextBudget(max_tokens=whole("context_tokens", context_tokens, least=1))
    return RequestOptimizer(context=budget, embed=passage_embed(embeddings))
