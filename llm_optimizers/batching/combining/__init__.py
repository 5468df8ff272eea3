"""Several questions in one prompt, behind a gate.

calls.py      CombinedCalls: which calls of a model share a prompt; what adapters use
prompts.py    how questions are put together and answers taken apart; which may be
ask.py        CombinedAsk: a group's call and what has to be asked again
shares.py     what each question is billed, and what a call of its own would have used
caller.py     CombinedCall: one caller's end of it, and how it ended
gate.py       compare_combined: a sample must show that the answers agree
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
    choices_of,
    combination_key,
    combined_format,
    raised_limits,
)

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
