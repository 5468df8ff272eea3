"""A prompt with documents, and requests that no part of these can answer."""

from __future__ import annotations

from support.prompt_texts import FACTS

BUDGET = 60
ANSWERED = "Who is the mayor of Carrow?"
DECLINED = {
    "unlike": "What is the boiling point of nitrogen?",
    "other language": "Wie viele Einwohner hat die Hauptstadt?",
    "summary": "Summarise the documents above.",
    "list": "List all mayors.",
    "count": "How many documents mention a harbour?",
    "comparison": "What are the differences between these documents?",
    "translation": "Translate the context to Dutch.",
    "writing": "Write a reply to this visitor using the documents.",
    "reference": "And the second one?",
    "one word": "Why?",
}


def prompt(request: str) -> str:
    documents = "\n\n".join(f"{fact.title}\n{fact.text}" for fact in FACTS)
    return f"<context>\n{documents}\n</context>\n\n{request}"
