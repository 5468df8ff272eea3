"""What is kept of some passages."""

from __future__ import annotations

from dataclasses import dataclass

from llm_optimizers.prompts.context.ranking.analysis import Passage

__all__ = ["KeptPassage", "Selection", "render", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPassage:
    """The kept part of one passage.

    `index` is the passage's position in the input, `probability` that of holding the answer.
    """

    index: int
    text: str
    title: str
    whole: bool
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The kept passages in input order, and the tokens of all before and after.

    `probability` estimates that the answer is in what is kept, `found` that it is in any passage;
    both are 1 if everything fits and nothing had to be ranked.
    """

    kept: tuple[KeptPassage, ...]
    tokens_before: int
    tokens: int
    exact: bool
    probability: float = 1.0
    found: float = 1.0


def render(title: str, text: str) -> str:
    """Return a passage as it is written in a prompt, and counted."""
    return f"{title}\n{text}" if title else text


def whole(index: int, passage: Passage) -> KeptPassage:
    """Return a passage that is kept whole."""
    return KeptPassage(
        index=index, text=passage.text, title=passage.title, whole=True, probability=1.0
    )
