"""Prompts that cost less and answer the same.

    optimizer.py      RequestOptimizer: a chat request in, a cheaper one and a record out
    counting/         TokenCounter: tokens of texts and requests, exact or marked as an estimate
    lossless/         blanks, markup noise, JSON's layout, repeats; on by default
    context/          retrieved context within a token budget, and a hard bound as a last resort
    history.py        long conversations, folded at frozen checkpoints
    examples.py       few-shot examples: which, and how many are enough
    outputs.py        learned caps, stop sequences, schemas
    provider_cache/   never break a provider's cache that is worth more; its layout and marks
    audit.py          token bloat in a prompt, line by line

Start with `RequestOptimizer` for whole requests, `PassageSelector` for retrieved documents.
"""

from __future__ import annotations

from llm_optimizers.prompts.context import ContextBudget, Passage, PassageSelector, Selection
from llm_optimizers.prompts.counting import TokenCount, TokenCounter
from llm_optimizers.prompts.examples import Example, ExampleSelector, enough_examples
from llm_optimizers.prompts.history import History, Summariser
from llm_optimizers.prompts.optimizer import Optimized, RequestOptimizer
from llm_optimizers.prompts.outputs import OutputLimits

__all__ = [
    "ContextBudget",
    "Example",
    "ExampleSelector",
    "History",
    "Optimized",
    "OutputLimits",
    "Passage",
    "PassageSelector",
    "RequestOptimizer",
    "Selection",
    "Summariser",
    "TokenCount",
    "TokenCounter",
    "enough_examples",
]
