"""What a cut of retrieved context kept, and what it left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llm_optimizers.shown import safe_logger

__all__ = ["ContextCut", "DocumentCut", "ReportCut", "log_cut"]

_log = safe_logger(__name__)

Kept: TypeAlias = Literal["whole", "cut", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCut:
    """One document of a context: its number from 1, its title, and its tokens before and after."""

    number: int
    title: str
    kept: Kept
    tokens_before: int
    tokens: int

    def __str__(self) -> str:
        """Return the document's number and title, and what was kept of it."""
        name = f"{self.number} {self.title}".rstrip()
        if self.kept == "cut":
            return f"{name}: cut, {self.tokens_before:,} -> {self.tokens:,} tokens"
        return f"{name}: {self.kept}, {self.tokens_before:,} tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCut:
    """What was kept of a context that is over its budget.

    Tokens are those of the documents' titles and texts, as they were selected. `probability`
    estimates that the answer is in what is left, None where nothing was ranked. `reason` says why
    less was cut than the budget asks for, and is empty if the budget was kept. `message` is the
    message's index in the original request, None outside a request. `trimmed` says that the
    message was then cut to the limit of the whole request, so that less than `tokens` was sent.
    """

    documents: tuple[DocumentCut, ...]
    budget: int
    probability: float | None
    reason: str = ""
    message: int | None = None
    trimmed: bool = False

    @property
    def tokens_before(self) -> int:
        """The tokens of all documents."""
        return sum(each.tokens_before for each in self.documents)

    @property
    def tokens(self) -> int:
        """The tokens of what is left of them."""
        return sum(each.tokens for each in self.documents)

    @property
    def whole(self) -> tuple[DocumentCut, ...]:
        """The documents that were kept whole."""
        return self._kept("whole")

    @property
    def cut(self) -> tuple[DocumentCut, ...]:
        """The documents of which a part was kept."""
        return self._kept("cut")

    @property
    def dropped(self) -> tuple[DocumentCut, ...]:
        """The documents of which nothing was kept."""
        return self._kept("dropped")

    @property
    def changed(self) -> bool:
        """Whether anything was left out."""
        return len(self.whole) < len(self.documents)

    def __str__(self) -> str:
        """Return one line without titles, for a log: tokens, and how many documents are left."""
        where = "context" if self.message is None else f"message {self.message}: context"
        if not self.changed:
            said = f"{where} of {self.tokens_before:,} tokens not cut to {self.budget:,}"
        else:
            said = (
                f"{where} {self.tokens_before:,} -> {self.tokens:,} tokens; {len(self.whole)} of "
                f"{len(self.documents)} documents whole, {len(self.cut)} cut, "
                f"{len(self.dropped)} dropped"
            )
        return f"{said}: {self.reason}" if self.reason else said

    def details(self) -> str:
        """Return that line, and one for each document with its title."""
        return "\n".join([str(self), *(f"  {each}" for each in self.documents)])

    def _kept(self, kept: Kept) -> tuple[DocumentCut, ...]:
        return tuple(each for each in self.documents if each.kept == kept)


ReportCut: TypeAlias = Callable[[ContextCut], None]
"""Gets what was done with a context that was over its budget."""


def log_cut(cut: ContextCut) -> None:
    """Log a cut, without titles: at level INFO if the budget was not kept, else DEBUG."""
    _log.log(logging.INFO if cut.reason else logging.DEBUG, "%s", cut)
