"""A question with retrieved documents, one or more of which hold the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_optimizers.prompts import Passage

__all__ = ["Prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question and documents; each group of `answers` stands in its own document of `gold`."""

    question: str
    documents: tuple[Passage, ...]
    gold: tuple[int, ...]
    answers: tuple[tuple[str, ...], ...]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Prompt:
        """Read a row of a data set, whose one answer is in one document."""
        return cls(
            question=row["question"],
            documents=tuple(Passage(title=d.get("title", ""), text=d["text"]) for d in row["docs"]),
            gold=(row["gold"],),
            answers=(tuple(row["answers"]),),
        )

    def untitled(self) -> Prompt:
        """Return the prompt without the documents' titles."""
        return replace(self, documents=tuple(replace(each, title="") for each in self.documents))

    def answered_by(self, left: Mapping[int, str]) -> bool:
        """Return whether every answer is in what is left of its document."""
        texts = [left.get(at, "").lower() for at in self.gold]
        return all(_holds(text, group) for text, group in zip(texts, self.answers, strict=True))

    def answered_anywhere(self, text: str) -> bool:
        """Return whether every answer is in a text."""
        return all(_holds(text.lower(), group) for group in self.answers)


def _holds(text: str, answers: tuple[str, ...]) -> bool:
    return any(answer.lower() in text for answer in answers)
