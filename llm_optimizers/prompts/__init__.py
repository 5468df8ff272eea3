"""Shorten prompts and answers without changing what is asked.

    optimizer.py      RequestOptimizer: returns a cheaper chat request and what it changed
    building.py       the optimizer of a component, from its arguments
    counting/         TokenCounter: tokens of texts and requests, exact or marked as an estimate
    lossless/         data in fewer characters, proven equal; passes for prompts, opt-in by name
    context/          retrieved context cut to a token budget, and a hard limit as a last resort
    history.py        summaries of long conversations
    examples.py       few-shot examples: which ones, and how many are enough
    outputs.py        learned caps, stop sequences, schemas
    provider_cache/   the provider's prompt cache: when to change a cached prefix, breakpoints
    shortening.py     what the passes change in a message, by its role
    audit.py          wasted tokens in a prompt, line by line; templates.py: those of a log

Start with `RequestOptimizer` for whole requests, `PassageSelector` for retrieved documents.
"""

from __future__ import annotations

from llm_optimizers.prompts.context import (
    ContextBudget,
    ContextCut,
    DocumentCut,
    Passage,
    PassageSelector,
    Selection,
)
from llm_optimizers.prompts.counting import TokenCount, TokenCounter
from llm_optimizers.prompts.examples import Example, ExampleSelector, enough_examples
from llm_optimizers.prompts.history import History, Summariser
from llm_optimizers.prompts.optimizer import Optimized, RequestOptimizer
from llm_optimizers.prompts.outputs import OutputLimits

__all__ = [
    "ContextBudget",
    "ContextCut",
    "DocumentCut",
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
