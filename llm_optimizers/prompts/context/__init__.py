"""Cut text to a token budget: retrieved context by relevance, anything else as a last resort.

sections.py     retrieved context inside a message: found and cut
selection.py    PassageSelector: selects passages and sentences within a budget
ranking.py      the probability that a passage or sentence contains the answer
features.py     the features that the ranking weighs; its weights are in ranking.json
analysis.py     question and passages as terms; misspellings, types of answer
knapsack.py     fills a budget with sentences by value against cost
trimming.py     a hard limit, kept by removing the middle of the longest messages
"""

from __future__ import annotations

from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.cutting import ContextBudget, cut_context, document_spans
from llm_optimizers.prompts.context.ranking import RankingWeights
from llm_optimizers.prompts.context.selection import (
    KeptPassage,
    PassageSelector,
    Selection,
    render,
)
from llm_optimizers.prompts.context.trimming import trimmed

__all__ = [
    "ContextBudget",
    "KeptPassage",
    "Passage",
    "PassageSelector",
    "RankingWeights",
    "Selection",
    "cut_context",
    "document_spans",
    "render",
    "trimmed",
]
