"""Right and wrong hits of questions inside the prompts of retrieval templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cache.quality import read
from harness import Row, Run
from llm_optimizers.caching import ResponseCache
from llm_optimizers.types import ChatRequest, Message

REQUESTS = 2_000
"""Requests of the stream that are sent in each form."""
CONTEXTS = (
    "The office is open from nine to five.\n\nQuestion: Is it open on Sundays?\nAnswer: No.",
    "The office is open from nine to six.\n\nVisitors ring the bell at the second door.",
)
SYSTEM = "Answer the user's question from this context.\n\n{c}"
"""The form in which the whole message is the question: what the others are compared with."""
FORMS = {
    "question first": "Answer the question from the context.\nQuestion: {q}\nContext: {c}\nAnswer:",
    "helpful answer": "Use the context to answer.\n\n{c}\n\nQuestion: {q}\nHelpful Answer:",
    "after its tag": "Answer from the context.\n<context>\n{c}\n</context>\n\n{q}",
    "question tag": "<documents>\n{c}\n</documents>\n<question>{q}</question>\nAnswer in one line.",
    "headings": "### Context\n{c}\n\n### Question\n{q}\n\n### Answer\n",
    "letters": "<context>\n{c}\n</context>\n\nQ: {q}\nA:",
    "handed over": "{c}\n\nGiven this context only, answer the question: {q}\n",
    "refined": "The original question is as follows: {q}\nThere is an existing answer: nine\n"
    "More context:\n------------\n{c}\n------------\nRefine it to answer the question better.",
    "known before": "Context:\n{c}\n\nQuestion: {q}\nAnswer:",
}


def template_hits(run: Run) -> Iterator[Row]:
    """Send a stream of questions in each form, over two contexts by turns.

    A hit is right if it has the answer to the question over the same context.
    """
    path = run.data / "cache_stream_questions.jsonl.gz"
    if not path.is_file():
        yield Row(name="templates: right hits", value=None, note=f"{path.name} is not there")
        return
    asked = read(path, run.options.requests or REQUESTS)
    for form in ("system message", *FORMS):
        counts = _sent(run, form, asked)
        note = f"of {len(asked):,} requests; {counts['right', 'exact']:,} of the right ones exact"
        right, wrong = (
            sum(count for (kind, _), count in counts.items() if kind == each)
            for each in ("right", "wrong")
        )
        yield Row(name=f"{form}: right hits", value=right, note=note)
        yield Row(name=f"{form}: wrong hits", value=wrong)


def _sent(run: Run, form: str, asked: list[tuple[str, str]]) -> Counter[tuple[str, str]]:
    cache: ResponseCache[str] = ResponseCache()
    counts: Counter[tuple[str, str]] = Counter()
    for done, (question, answer) in enumerate(asked, 1):
        place = done % len(CONTEXTS)
        right = f"{answer} over {place}"
        request = _request(form, question, CONTEXTS[place])
        result = cache.answer(request, lambda right=right: right)
        if result.hit is not None:
            counts["right" if result.value == right else "wrong", result.hit.tier] += 1
        run.progress(done, len(asked), form)
    return counts


def _request(form: str, question: str, context: str) -> ChatRequest:
    if form in FORMS:
        text = FORMS[form].format(q=question, c=context)
        return ChatRequest(messages=(Message(role="user", content=text),), model="m")
    system = Message(role="system", content=SYSTEM.format(c=context))
    return ChatRequest(messages=(system, Message(role="user", content=question)), model="m")
