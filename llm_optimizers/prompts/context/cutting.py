"""Cut the retrieved context inside a message to a budget, document by document.

The question is in the rest of the message, unless the caller gives one. What is not a document's
own text stays as it is: everything outside the sections, the tags and labels of what is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.documents.asking import question_in
from llm_optimizers.prompts.context.documents.division import Documents, documents
from llm_optimizers.prompts.context.documents.sections import sections
from llm_optimizers.prompts.context.documents.tags import Span
from llm_optimizers.prompts.context.selection.keeping import MIN_PROBABILITY
from llm_optimizers.prompts.context.selection.kept import KeptPassage
from llm_optimizers.prompts.context.selection.selector import PassageSelector

__all__ = ["ContextBudget", "cut_context", "document_spans"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBudget:
    """The maximum number of tokens of retrieved context in a message.

    The documents' titles and texts count, the tags, labels and blank lines around them do not.

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
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise ConfigurationError(
                f"`min_probability` is {self.min_probability}; give a number from 0 to 1, or None"
            )
        if self.max_tokens < 1:
            raise ConfigurationError(
                f"a context budget of {self.max_tokens} tokens keeps nothing; give 1 or more"
            )


def cut_context(
    text: str, budget: ContextBudget, selector: PassageSelector, *, question: str | None = None
) -> str:
    """Return the text with its context sections cut to the budget; unchanged if it has none.

    Several sections share the budget. Give `question` if another message asks it. Without a
    question nothing can be selected, so the text is returned unchanged.
    """
    with FailOpen(_log, "Retrieved context could not be read; it is sent unchanged"):
        bodies = sections(text, asked=question is not None)
        outside = _outside(text, bodies)
        found = [documents(text[slice(*body)]) for body in bodies]
        passages = [each.passage for section in found for each in section.documents]
        asked = question_in("\n\n".join(outside)) if question is None else question
        kept = selector.keep(asked, passages, max_tokens=budget.max_tokens) if passages else None
        return text if kept is None else _written(outside, found, kept)
    return text


def document_spans(text: str, *, asked: bool = False) -> list[Span]:
    """Return start and end of each document's own text in the context sections of a message.

    `asked` says that the question is in another message. A document that is a JSON value is
    returned whole; other literals, such as Python strings, are left out. If the text cannot be
    read, there are none, with a warning.
    """
    with FailOpen(_log, "Retrieved context could not be read; it is not shortened"):
        bodies = sections(text, asked=asked)
        return [span for start, end in bodies for span in _own_texts(text[start:end], start)]
    return []


def _own_texts(body: str, at: int) -> Iterator[Span]:
    section = documents(body)
    at += len(section.opening)
    # A section without documents has no separator either.
    for each, separator in zip(section.documents, (*section.separators, ""), strict=False):
        end = at + len(str(each))
        own = at + len(each.before)
        if each.quoting == "json":
            yield at, end
        elif not each.quoting:
            yield own, own + len(each.text)
        at = end + len(separator)


def _outside(text: str, bodies: Sequence[Span]) -> list[str]:
    """Return the text before, between and after the sections' bodies."""
    edges = [0, *(at for body in bodies for at in body), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _written(
    outside: Sequence[str], found: Sequence[Documents], kept: Sequence[KeptPassage]
) -> str:
    """Return the text with only the kept passages of all sections."""
    passages = {each.index: each for each in kept}
    parts = [outside[0]]
    first = 0
    for section, after in zip(found, outside[1:], strict=True):
        parts.append(
            section.written(
                {
                    at: str(each) if passage.whole else each.cut_to(passage.text)
                    for at, each in enumerate(section.documents)
                    if (passage := passages.get(first + at)) is not None
                }
            )
        )
        parts.append(after)
        first += len(section.documents)
    return "".join(parts)
