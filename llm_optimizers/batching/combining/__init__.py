"""Several questions in one prompt.

calls.py           CombinedCalls: which calls of a model share a prompt; used by adapters
prompts.py         combines questions into a prompt and splits the answers
ask.py             CombinedAsk: makes a group's call, and retries questions left unanswered
shares.py          what each question is billed, and what a separate call would have used
combined_call.py   CombinedCall: one caller's handle of a combined call, and its outcome
agreement.py       compare_combined: whether combined and separate answers to a sample agree
"""

from __future__ import annotations

from llm_optimizers.batching.combining.agreement import AgreementReport, compare_combined
from llm_optimizers.batching.combining.ask import (
    AskModel,
    BilledAnswer,
    CombinedAsk,
    Question,
    QuestionOutcome,
    SharedAnswer,
)
from llm_optimizers.batching.combining.calls import BoundCalls, CombinedCalls
from llm_optimizers.batching.combining.combined_call import CombinedCall
from llm_optimizers.batching.combining.prompts import (
    combination_key,
    combined_format,
    raised_limits,
)
from llm_optimizers.settings.choices import choices_of

__all__ = [
    "AgreementReport",
    "AskModel",
    "BilledAnswer",
    "BoundCalls",
    "CombinedAsk",
    "CombinedCall",
    "CombinedCalls",
    "Question",
    "QuestionOutcome",
    "SharedAnswer",
    "choices_of",
    "combination_key",
    "combined_format",
    "compare_combined",
    "raised_limits",
]
