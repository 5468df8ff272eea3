"""Text within a token budget: retrieved context by what answers the question, and a last resort.

sections.py     retrieved context found inside a message, and cut
selection.py    PassageSelector: what is kept of passages within a budget
ranking.py      how likely each passage and sentence holds the answer; weights in ranking.json
features.py     what the ranking measures
reading.py      question and passages as words; misspellings, shapes of answers
filling.py      a budget filled with sentences by worth against cost
trimming.py     a hard bound kept by leaving out the middle of the longest messages
"""

from __future__ import annotations

from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.ranking import RankingWeights
from llm_optimizers.prompts.context.sections import ContextBudget, cut_context
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
    "render",
    "trimmed",
]
