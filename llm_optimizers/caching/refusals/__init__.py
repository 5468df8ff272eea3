"""Refused answers: what a parser or schema did not accept is never served again.

given.py     the answers that a cache gave, and the refused ones among them
held.py      answers that are stored only once they were accepted
run_tree.py  which answers a framework's failed runs refuse
"""

from llm_optimizers.caching.refusals.given import (
    GivenAnswer,
    RefusedAnswers,
    Refusing,
    answers_given,
    collected_answers,
    digest_of,
    refuse_all,
)
from llm_optimizers.caching.refusals.held import (
    HeldAnswers,
    answers_held,
    held_answers,
)

__all__ = [
    "GivenAnswer",
    "HeldAnswers",
    "RefusedAnswers",
    "Refusing",
    "answers_given",
    "answers_held",
    "collected_answers",
    "digest_of",
    "held_answers",
    "refuse_all",
]
