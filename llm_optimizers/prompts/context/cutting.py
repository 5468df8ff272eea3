"""Cut the retrieved context inside a message to a budget, document by document.

The question is in the rest of the message, unless the caller gives one. What is not a document's
own text stays as it is: everything outside the sections, the tags and labels of what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_optimizers.arguments import keep, optional, share, whole
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.documents.asking import asks, question_in
from llm_optimizers.prompts.context.documents.division import Documents, documents
from llm_optimizers.prompts.context.documents.sections import sections
from llm_optimizers.prompts.context.documents.tags import Span, gaps
from llm_optimizers.prompts.context.selection.keeping import MIN_PROBABILITY
from llm_optimizers.prompts.context.selection.kept import KeptPassage
from llm_optimizers.prompts.context.selection.selector import PassageSelector

__all__ = ["ContextBudget", "cut_context", "cut_contexts", "outside"]

_UNREAD = "Retrieved context could not be read; it is sent unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBudget:
    """The maximum number of tokens of retrieved context in a message.

    All text parts of a message share it. The documents' titles and texts count, the tags, labels
    and blank lines around them do not.

    Less is cut, or nothing, where what is left would hold the answer with a probability below
    `min_probability`, by the selection's own estimate: the request is unlike every document, asks
    for work on all of them ("summarise", "list all"), names nothing to look for ("and the second
    one?"), or is answered equally well by many. `benchmarks/prompts.py --only declined` measures
    how often, and how well the estimate holds. None always cuts to `max_tokens`.

    Raises:
        ConfigurationError: the budget is below one token, or the probability not from 0 to 1.
    """

    max_tokens: int
    min_probability: float | None = MIN_PROBABILITY

    def __post_init__(self) -> None:
        keep(self, "max_tokens", whole("max_tokens", self.max_tokens, least=1))
        lowest = optional(share, "min_probability", self.min_probability)
        keep(self, "min_probability", lowest)


def cut_context(
    text: str, budget: ContextBudget, selector: PassageSelector, *, question: str | None = None
) -> str:
    """Return the text with its context sections cut to the budget; unchanged if it has none.

    Several sections share the budget. Give `question` if another message asks it. Without a
    question nothing can be selected, so the text is returned unchanged.
    """
    return cut_contexts([text], budget, selector, question=question)[0]


def cut_contexts(
    texts: Sequence[str],
    budget: ContextBudget,
    selector: PassageSelector,
    *,
    question: str | None = None,
    nearby: str = "",
) -> list[str]:
    """Like `cut_context`, for the texts of one message: they share the budget and the question.

    `nearby` is a question beside the message, if that asks none.
    """
    with FailOpen(__name__, _UNREAD):
        bodies = _sections(texts, asked=question is not None or asks(nearby))
        around = [gaps(*each) for each in zip(texts, bodies, strict=True)]
        found = [
            [documents(text[slice(*body)]) for body in own]
            for text, own in zip(texts, bodies, strict=True)
        ]
        passages = [d.passage for own in found for section in own for d in section.documents]
        if not passages:
            return list(texts)
        if question is None:
            question = nearby or question_in(_joined(around))
        kept = selector.keep(question, passages, max_tokens=budget.max_tokens)
        return list(texts) if kept is None else _written(around, found, kept)
    return list(texts)


def outside(texts: Sequence[str]) -> str:
    """Return the texts of one message without their context sections; empty if that fails."""
    with FailOpen(__name__, _UNREAD):
        bodies = _sections(texts, asked=False)
        return _joined([gaps(*each) for each in zip(texts, bodies, strict=True)])
    return ""


def _sections(texts: Sequence[str], *, asked: bool) -> list[list[Span]]:
    """Return the sections of each text, whose question may be in another of the texts."""
    asking = [] if asked or len(texts) == 1 else [at for at, text in enumerate(texts) if asks(text)]
    return [
        sections(text, asked=asked or any(other != at for other in asking[:2]))
        for at, text in enumerate(texts)
    ]


def _joined(around: Sequence[Sequence[str]]) -> str:
    return "\n\n".join(part for each in around for part in each)


def _written(
    around: Sequence[Sequence[str]],
    found: Sequence[Sequence[Documents]],
    kept: Sequence[KeptPassage],
) -> list[str]:
    """Return the texts with only the kept passages of all sections."""
    passages = {each.index: each for each in kept}
    texts = []
    first = 0
    for before, own in zip(around, found, strict=True):
        parts = [before[0]]
        for section, after in zip(own, before[1:], strict=True):
            parts += [_cut(section, passages, first), after]
            first += len(section.documents)
        texts.append("".join(parts))
    return texts


def _cut(section: Documents, passages: Mapping[int, KeptPassage], first: int) -> str:
    """Return a section with only its kept passages; `first` is the index of its first one."""
    return section.written(
        {
            at: str(each) if passage.whole else each.cut_to(passage.text)
            for at, each in enumerate(section.documents)
            if (passage := passages.get(first + at)) is not None
        }
    )
