"""What a person wrote is never cut, also where it looks like a prompt's template."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.documents.sections import sections

NOTES = (
    "We run the service in two regions and it worked for months without any problem at all.\n\n"
    "Since Monday every third request to the second region fails, and nobody knows why that is."
)
OWN = {
    "bug report": f"Context:\n{NOTES}\n\nSteps to reproduce:\n1. Start it.\n\nExpected:\nWork."
    "\n\nWhy does it fail?",
    "a bug report in one style": f"Context: {NOTES}\n\nProblem: it fails.\n\nWhat can I do?",
    "a bug report in Markdown": f"## Context\n{NOTES}\n\n## Expected\nIt works.\n\nAny idea?",
    "notes with a task": f"## Context\n\n{NOTES}\n\n## Task\n\nWrite a mail that explains this.",
    "notes with instructions": f"# Context\n{NOTES}\n\n# Instructions\nBe short.",
    "bold notes": f"**Context:** {NOTES}\n\n**Task:** Write a mail.",
    "notes in German": f"## Kontext\n{NOTES}\n\n## Aufgabe\nSchreibe eine Mail.",
    "notes in Russian": f"Контекст:\n{NOTES}\n\nЗадача:\nНапиши письмо.",
    "notes in Chinese": f"上下文：\n{NOTES}\n\n任务：写一封邮件。",
    "a letter": f"Is a letter about our documents polite?\n---\nDear Sir,\n\n{NOTES}\n---\nBye!",
    "a letter about oneself": f"Some context about me.\n---\nDear Sir,\n\n{NOTES}\n---\nIs it OK?",
    "a chat": f"What went wrong?\n\nUser: {NOTES}\n\nAssistant: I need more context:\nwhich region?"
    "\n\nUser: The second one.\n\nAssistant: I do not know.",
    "a chat about sources": f"User: These are sources:\n{NOTES}\n\nAssistant: Which?\n\nUser: All.",
    "an answer with sources": f"{NOTES}\n\nSources:\n- [1] a.example\n- [2] b.example\n\nRight?",
    "code": f"Why does this fail?\n\n```python\nPROMPT = '''<context>\n{NOTES}\n</context>'''\n```",
    "a docstring": f"Is it OK?\n\nReferences\n----------\n.. [1] {NOTES}\n\nParameters\n------"
    "----\na : int\n",
    "an essay": f"I listed my sources below.\n\n{NOTES}\n\nIs it good?",
    "proofreading": f"Please proofread the following passages\n\n{NOTES}\n\nIs it fine?",
    "what is missing": f"The following documents are missing.\n\n{NOTES}\n\nWhere are they?",
    "a quotation": f'My boss wrote: "Use the following context."\n\n{NOTES}\n\nWhy?',
}


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_a_persons_text_is_no_section(text: str) -> None:
    assert not sections(text)


AFTER = {
    "instructions": "Instructions: be short.\n\nNever guess.\n\nQuestion: Who?",
    "a chat": "Chat history:\n\nHuman: hi\n\nAI: hello\n\nQuestion: Who?",
    "instructions in another style": "## Rules\n- be kind\n\nQuestion: Who?",
    "questions that were answered": "Question: a?\nAnswer: b\n\nQuestion: Who?\nAnswer:",
    "a question with labels inside": "Question: Why is this slow?\n\nI ran it.\n\nQuery: SELECT 1",
    "a question with a log": "Question: Why?\n\nIt says\n\nRequest: GET /\n\nResponse: 500",
    "code with labels": "Question: Is this right?\n\n```\n\nQuestion: {x}\n```\n",
    "a task before the question": "Task: answer in German.\n\nQuestion: Who?",
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
@pytest.mark.parametrize("opening", ["Context:\n", "Answer from the following context:\n"])
def test_what_a_person_wrote_after_the_context_is_not_in_it(opening: str, after: str) -> None:
    text = f"{opening}{NOTES}\n\n{NOTES}\n\n{after}"
    (found,) = sections(text)
    assert text[found[1] :] == after
