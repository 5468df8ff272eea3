"""Split a prompt into its question and the text around it, which belongs to the scope."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_optimizers.caching.keys.templates.forms import question_spans
from llm_optimizers.caching.keys.templates.marks import Span

__all__ = ["SplitPrompt", "split_question"]

_MAY_BE_FORMED = re.compile(r"[:\uff1a#*]|</")
"""What every known form has; most messages have none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPrompt:
    """A prompt: `question.join(around)` is its text, character by character.

    `around` are the texts before, between and after the places of the question; only an empty one
    before and after it if the whole prompt is the question. It is not `certain` if the prompt has
    questions or context and it is not known which question is asked.
    """

    question: str
    around: tuple[str, ...] = ("", "")
    certain: bool = True

    @property
    def framed(self) -> bool:
        """Whether there is anything around the question."""
        return any(self.around)


def split_question(text: str) -> SplitPrompt:
    """Return a prompt split at its question if it has one of the known forms for certain.

    Retrieval prompts hold documents besides the question, and an instruction or a cue to answer
    after it. All of that belongs to the scope: the same question over other documents has another
    answer.
    """
    spans = question_spans(text) if _MAY_BE_FORMED.search(text) else []
    return _split(text, spans) if spans else SplitPrompt(question=text, certain=spans is not None)


def _split(text: str, spans: Sequence[Span]) -> SplitPrompt:
    starts = [end for _, end in spans]
    ends = [start for start, _ in spans]
    around = [text[s:e] for s, e in zip([0, *starts], [*ends, len(text)], strict=True)]
    return SplitPrompt(question=text[slice(*spans[0])], around=tuple(around))
