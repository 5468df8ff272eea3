"""Cut text to a token budget: retrieved context by relevance, anything else as a last resort.

    message → documents of its sections → parts of each → ranking → selection → message

Words, each with one meaning here:

    section     the retrieved context in a message: one or more documents
    document    one retrieved text in a section, with its tags, number and title
    passage     a title and a text, as they are ranked and selected: a document's, or a chunk's
    part        the least of a passage that can be kept alone: a sentence, row, statement, member
    block       parts side by side of one table, fence or JSON value, with no mark between them
    chunk       parts side by side of a long passage, ranked together

Files:

in_messages.py  the context in a request's messages: cut, and what of it is sent
cutting.py      the context in one message, cut to a budget document by document
documents/      the sections of a message and the documents in them, in the forms apps write
parts/          the parts of a document
ranking/        the probability that a passage or a part of it contains the answer
selection/      PassageSelector: what to keep within a budget, and when to keep more
report.py       the report of a cut: documents kept, cut and dropped
trimming.py     a hard limit, kept by removing the middle of the longest messages
"""

from __future__ import annotations

from llm_optimizers.prompts.context.cutting import ContextBudget, cut_context
from llm_optimizers.prompts.context.documents.own_texts import document_spans
from llm_optimizers.prompts.context.in_messages import cut_messages, sent_cuts, with_text
from llm_optimizers.prompts.context.ranking.analysis import Passage
from llm_optimizers.prompts.context.ranking.model import RankingWeights
from llm_optimizers.prompts.context.report import ContextCut, DocumentCut, ReportCut, log_cut
from llm_optimizers.prompts.context.selection.keeping import MIN_PROBABILITY
from llm_optimizers.prompts.context.selection.kept import KeptPassage, Selection, render
from llm_optimizers.prompts.context.selection.selector import PassageSelector
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
