"""Ways in which apps write retrieved documents into a prompt, and what is left after a cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_optimizers.prompts import Passage
from llm_optimizers.prompts.context import render

__all__ = ["DOCUMENTS", "OTHERS", "Form", "left_by_document", "unbalanced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A prompt's text: `{question}` in what is around the documents, `{k}` and `{text}` in each.

    `tags` are the names of the tags it writes.
    """

    name: str
    opening: str
    document: str = "{text}"
    between: str = "\n\n"
    closing: str
    tags: tuple[str, ...] = ()

    def write(self, question: str, documents: Sequence[Passage]) -> str:
        """Return the prompt; a title is the first line of its document."""
        parts = [
            self.document.replace("{k}", str(k)).replace("{text}", render(each.title, each.text))
            for k, each in enumerate(documents, 1)
        ]
        around = [part.replace("{question}", question) for part in (self.opening, self.closing)]
        return around[0] + self.between.join(parts) + around[1]

    def section(self, question: str, sent: str) -> str | None:
        """Return the part of a prompt that holds the documents; None if the rest has changed."""
        before = self.opening.replace("{question}", question)
        after = self.closing.replace("{question}", question)
        if not sent.startswith(before) or not sent.endswith(after):
            return None
        return sent[len(before) : len(sent) - len(after)]


DOCUMENTS = Form(
    name="documents",
    opening="<documents>\n",
    document='<document index="{k}">\n{text}\n</document>',
    between="\n",
    closing="\n</documents>\n\n{question}",
    tags=("documents", "document"),
)
OTHERS = (
    Form(
        name="document_content",
        opening="<documents>\n",
        document='<document index="{k}">\n<source>{k}.md</source>\n<document_content>\n{text}\n'
        "</document_content>\n</document>",
        between="\n",
        closing="\n</documents>\n\n{question}",
        tags=("documents", "document", "source", "document_content"),
    ),
    Form(
        name="langchain",
        opening="Answer the question based only on the following context:\n",
        closing="\n\nQuestion: {question}\n",
    ),
    Form(
        name="langchain_tags",
        opening="Answer from the context.\n\n<context>\n",
        closing="\n</context>\n\nQuestion: {question}",
        tags=("context",),
    ),
    Form(
        name="llama_index",
        opening="Context information is below.\n---------------------\n",
        closing="\n---------------------\nGiven the context information and not prior knowledge, "
        "answer the query.\nQuery: {question}\nAnswer: ",
    ),
    Form(
        name="numbered",
        opening="Sources:\n",
        document="[{k}] {text}",
        closing="\n\nQuestion: {question}",
    ),
    Form(
        name="headings",
        opening="Context:\n\n",
        document="## Document {k}\n\n{text}",
        closing="\n\nQuestion: {question}",
    ),
    Form(
        name="rules",
        opening="Context:\n\n",
        between="\n\n---\n\n",
        closing="\n\nQuestion: {question}",
    ),
)


def left_by_document(section: str) -> dict[int, str]:
    """Return what is left of each document of `DOCUMENTS`, also where tags are missing."""
    _, *parts = re.split(r'<document index="(\d+)">\n?', section)
    return {
        int(k) - 1: text.split("</document>")[0].removesuffix("\n")
        for k, text in zip(parts[::2], parts[1::2], strict=True)
    }


def unbalanced(sent: str, tags: Sequence[str]) -> bool:
    """Return whether some opening tag is not closed, or not in order."""
    open_tags: list[str] = []
    for tag in re.finditer(rf'<(/?)({"|".join(tags)})(?: index="\d+")?>', sent):
        if not tag[1]:
            open_tags.append(tag[2])
        elif not open_tags or open_tags.pop() != tag[2]:
            return True
    return bool(open_tags)
