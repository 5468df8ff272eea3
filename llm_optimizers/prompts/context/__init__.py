"""Cut text to a token budget: retrieved context by relevance, anything else as a last resort.

in_messages.py  the context in a request: cut, and what of it is sent
cutting.py      the context inside a message, cut to a budget document by document
sections.py     where retrieved context lies in a message
asking.py       the question among the text around it
documents.py    the documents of a section, divided and written back; in the order tried:
                tagged.py, literals.py, marked.py (fields, numbers, rules, headings),
                paragraphs.py; titles.py their titles
places.py       where a document lies; code, data and elements inside which none starts
tags.py         tags with and without a partner
selection.py    PassageSelector: selects passages and their parts within a budget
keeping.py      how far a context is cut: to its budget, less, or not at all
tasks.py        questions told from tasks that need all of the documents
kept.py         what is kept of some passages
report.py       the report of a cut: documents kept, cut and dropped
chunks.py       the parts of a document in chunks that are ranked as passages
pieces.py       splits a document into the smallest parts that may be kept alone
fences.py       the fenced blocks of a text
code_parts.py   code: statements, prompts with their output
data_parts.py   YAML, TOML, INI: entries with what is nested in them
json_parts.py   JSON: the members of a value
prose_parts.py  sentences over wrapped lines, list items
table_parts.py  the rows of a table with their header
parts.py        a part, what it needs around it, and the text of those that are kept
ranking.py      the probability that a passage or sentence contains the answer
features.py     the features that the ranking weighs; its weights are in ranking.json
analysis.py     question and passages as terms; misspellings, types of answer
knapsack.py     fills a budget with parts by value against cost
trimming.py     a hard limit, kept by removing the middle of the longest messages
"""

from __future__ import annotations

from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.cutting import ContextBudget, cut_context, document_spans
from llm_optimizers.prompts.context.in_messages import cut_messages, sent_cuts, with_text
from llm_optimizers.prompts.context.keeping import MIN_PROBABILITY
from llm_optimizers.prompts.context.kept import KeptPassage, Selection, render
from llm_optimizers.prompts.context.ranking import RankingWeights
from llm_optimizers.prompts.context.report import ContextCut, DocumentCut, ReportCut, log_cut
from llm_optimizers.prompts.context.selection import PassageSelector
from llm_optimizers.prompts.context.trimming import trimmed

__all__ = [
    "MIN_PROBABILITY",
    "ContextBudget",
    "ContextCut",
    "DocumentCut",
    "KeptPassage",
    "Passage",
    "PassageSelector",
    "RankingWeights",
    "ReportCut",
    "Selection",
    "cut_context",
    "cut_messages",
    "document_spans",
    "log_cut",
    "render",
    "sent_cuts",
    "trimmed",
    "with_text",
]
