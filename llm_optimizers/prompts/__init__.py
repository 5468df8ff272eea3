"""Prompts that cost less and answer the same.

    optimizer.py     RequestOptimizer: a chat request in, a cheaper one and a record out
    planning.py      which changes go out, with the history's summaries put in
    replay.py        the break-even rule: never break a provider's cache that is worth more
    lossless.py      blanks, markup noise, JSON's layout, repeats; on by default
    records.py       JSON minified, or as a table
    repeats.py       what is said twice
    protected.py     what nothing may cut: code, numbers, URLs, ids, placeholders, quotes
    selection.py     PassageSelector: retrieved context within a token budget
    ranking.py       the model behind it: reading.py, features.py, cues.py, terms.py, spelling.py,
                     sentences.py; filling.py fills the budget
    context.py       retrieved context found inside a message
    examples.py      few-shot examples: which, and how many are enough
    history.py       long conversations, folded at frozen checkpoints
    outputs.py       learned caps, stop sequences, schemas
    layout.py        prefix, history, tail: lints and cache marks
    models.py        what each provider's cache takes and charges
    trim.py          head and tail, the last resort
    audit.py         token bloat in a prompt, line by line
    counting.py      TokenCounter, exact or marked as an estimate; vocabularies.py, images.py

Start with `RequestOptimizer` for whole requests, `PassageSelector` for retrieved documents.
"""

from __future__ import annotations

from llm_optimizers.prompts.context.finding import ContextBudget
from llm_optimizers.prompts.context.reading import Passage
from llm_optimizers.prompts.context.selection import PassageSelector, Selection
from llm_optimizers.prompts.counting.tokens import TokenCount, TokenCounter
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
