"""The forms of templates in which the place of the question is certain.

A document may hold what looks like a question of the prompt, so a form counts only if the template
around it says which one is asked. A question that is not certain is left where it is, and the whole
prompt is then matched word for word.
"""

from __future__ import annotations

import re
from itertools import pairwise

from llm_optimizers.caching.keys.templates.marks import Mark, Marks, Span, is_instruction
from llm_optimizers.caching.keys.text_tasks.reading import read
from llm_optimizers.text.labels import split, words_for

__all__ = ["question_spans"]

_SAID = r"\S(?:[^\n]*\S)?"
_LINE = re.compile(rf"\s*+(?P<q>{_SAID})")
_EACH_LINE = re.compile(_SAID)
_RULE = re.compile(r"^[ \t]*[-=*_#]{5,}[ \t\r]*$", re.MULTILINE)
_COLON = re.compile(r"[:\uff1a](?!/)")
_ENDS = ("?", "\uff1f", "\u061f")
_LEAD = 300
"""Characters of the longest sentence that hands the question over after a colon."""
_HEAD = 2_000
"""Characters before a question that comes before its context."""
_LABEL_WORDS = 3
"""Words of the longest answer that may be a label."""
_SHORT = 400
"""Characters of the longest text between a question in tags and its context."""


def question_spans(text: str) -> list[Span] | None:
    """Return where a prompt has its question, several times if it repeats it.

    None if it is not certain which question of the prompt is asked; an empty list if nothing in it
    is marked as a question or as context.
    """
    marks = Marks(text)
    spans: list[Span] = []
    if not marks.wants_something_else():
        spans = _in_tags(text, marks) or _labelled(text, marks) or _after_context(text, marks)
    if spans and any(map(str.isalnum, text[slice(*spans[0])])):
        return spans
    return None if marks.has_any else []


def _in_tags(text: str, marks: Marks) -> list[Span]:
    """`<question>…</question>` at the end, or before the context."""
    found = marks.question_element()
    if found is None:
        return []
    whole, inner = found
    question = text[slice(*inner)]
    outside = [each for each in marks.of("question") if not whole[0] <= each.start < whole[1]]
    if outside or not question.strip():
        return []
    blank = len(question) - len(question.lstrip())
    span = inner[0] + blank, inner[0] + blank + len(question.strip())
    if marks.closes(whole[1]):
        return [span]
    context = marks.context
    if context is None or context[0] < whole[1]:
        return [span] if marks.opener(whole[1]) and _asked_for(text, marks, whole) else []
    between = text[whole[1] : context[0]].strip()
    return [span] if len(between) <= _SHORT and marks.closes(context[1]) else []


def _labelled(text: str, marks: Marks) -> list[Span]:
    """A question at the start or at the end; at both only if it is the same question."""
    if marks.has_question_tag:
        return []
    first = _refined(text, marks) or _leading(text, marks)
    last = _handed_over(text, marks) or _last(text, marks)
    if last and _gives_labels(text, marks, last[0][0]):
        return []
    if first and last:
        same = text[slice(*first[0])] == text[slice(*last[0])]
        return list(dict.fromkeys([*first, *last])) if same else []
    if last or not first:
        return last
    opening = [each for each in marks.of("question") if _opening(text, marks, each) is not None]
    return first if len(opening) <= 1 else _after_examples(text, marks)


def _last(text: str, marks: Marks) -> list[Span]:
    """`Question: …` at the end."""
    asking = marks.of("question")
    span = _labelled_last(text, marks, asking[-1]) if asking else None
    if span is None:
        return _last_letter(text, marks)
    return [span]


def _last_letter(text: str, marks: Marks) -> list[Span]:
    """`Q: …` before a cue to answer, if it is the only one: in examples anything is asked so."""
    letters, cue = marks.of("letter"), marks.cue()
    if len(letters) != 1 or cue is None or cue.start < letters[0].start:
        return []
    span = _labelled_last(text, marks, letters[0])
    return [] if span is None else [span]


def _gives_labels(text: str, marks: Marks, end: int) -> bool:
    """Return whether the answers before a question are labels, as in a classification."""
    lines = [_LINE.match(text, each.end) for each in marks.of("answer") if each.end < end]
    answers = [line["q"] for line in lines if line is not None]
    return len(answers) > 1 and all(
        len(answer.split()) <= _LABEL_WORDS and answer[-1].isalnum() for answer in answers
    )


def _labelled_last(text: str, marks: Marks, label: Mark) -> Span | None:
    span = _on_line(text, marks, label)
    return span if span is not None and marks.closes(span[1]) else None


def _handed_over(text: str, marks: Marks) -> list[Span]:
    """`Given the context, answer the question: …` in the last line."""
    cue = marks.cue()
    end = len(text[: len(text) if cue is None else cue.start].rstrip())
    start = text.rfind("\n", 0, end) + 1
    return _after_lead(text, (start, end), "hands over")


def _refined(text: str, marks: Marks) -> list[Span]:
    """`The original question is as follows: …`, then the answer that exists."""
    start = len(text) - len(text.lstrip())
    spans = _after_lead(text, (start, text.find("\n", start)), "first")
    return spans if spans and marks.gives_answer(spans[0][1]) else []


def _after_lead(text: str, line: Span, field: str) -> list[Span]:
    """Return the rest of a line after a colon that words of a field stand before."""
    for colon in _COLON.finditer(text, line[0], min(line[1], line[0] + _LEAD)):
        if words_for(field).ends(split(text[line[0] : colon.start()])) is not None:
            found = _LINE.match(text, colon.end(), line[1])
            return [found.span("q")] if found else []
    return []


def _leading(text: str, marks: Marks) -> list[Span]:
    """`Question: …` as the first such label, directly before the context."""
    label = next(iter(marks.of("question")), None)
    span = None if label is None else _opening(text, marks, label)
    if label is None or span is None:
        return []
    return [span] if _asked_for(text, marks, (label.start, span[1])) else []


def _opening(text: str, marks: Marks, label: Mark) -> Span | None:
    """Return the question after a label that is directly before the context."""
    span = _on_line(text, marks, label)
    return span if span is not None and marks.opener(span[1]) else None


def _after_examples(text: str, marks: Marks) -> list[Span]:
    """The last `Question: …` directly before the context, where all before it are examples.

    Then all are written alike, in paragraphs of their own, and between two of them an answer is
    written as the cue at the end is.
    """
    asking, cue = marks.of("question"), marks.cue()
    spans = [span for each in asking if (span := _opening(text, marks, each)) is not None]
    looks = {(each.look, each.said) for each in asking}
    openers = {marks.opener(span[1]) for span in spans}
    if cue is None or len(spans) < len(asking) or len(looks) > 1 or len(openers) > 1:
        return []
    answers = [
        each.start
        for each in marks.of("answer")
        if each.said == cue.said and _on_line(text, marks, each, below=False)
    ]
    sure = all(
        _own_paragraph(text, other.start) and any(one.start < at < other.start for at in answers)
        for one, other in pairwise(asking)
    )
    return spans[-1:] if sure else []


def _own_paragraph(text: str, start: int) -> bool:
    """Return whether a blank line is before a line."""
    before = text[:start]
    return before[len(before.rstrip()) :].count("\n") > 1


def _asked_for(text: str, marks: Marks, place: Span) -> bool:
    """Return whether a question before its context is the template's, not a document's.

    The context has not begun, and the prompt begins with the question, or speaks of answering it.
    Without a label for the context, the prompt must end in a cue to answer.
    """
    head = text[: place[0]]
    started = any(each.start < place[0] for each in marks.of("context")) or (
        marks.context is not None and marks.context[0] < place[0]
    )
    if (
        started
        or len(head) > _HEAD
        or _RULE.search(head)
        or (marks.ruled(place[1]) and marks.cue() is None)
    ):
        return False
    return not head.strip() or head in words_for("question", "answering")


def _after_context(text: str, marks: Marks) -> list[Span]:
    """A bare question after the one closing tag of the context."""
    if marks.context is None or marks.of("question") or marks.of("letter"):
        return []
    cue = marks.cue()
    end = len(text) if cue is None or cue.start < marks.context[1] else cue.start
    if marks.tags_in(marks.context[1], end):
        return []
    lines = _lines(text, marks.context[1], end)
    asking = [each for each in lines if text[slice(*each)].endswith(_ENDS)]
    if len(lines) == 1 and (asking or _sounds_like_a_question(text[slice(*lines[0])])):
        return lines
    if len(asking) != 1:
        return []
    others = [text[slice(*each)] for each in lines if each != asking[0]]
    first, last = asking[0] == lines[0], asking[0] == lines[-1]
    return asking if last or (first and is_instruction("\n".join(others))) else []


def _sounds_like_a_question(text: str) -> bool:
    first = " ".join(text.split(maxsplit=1)[:1])
    return any(found.has("interrogative") for found in read(first))


def _lines(text: str, start: int, end: int) -> list[Span]:
    """Return the lines with text, without the blanks around them."""
    return [each.span() for each in _EACH_LINE.finditer(text, start, end)]


def _on_line(text: str, marks: Marks, label: Mark, *, below: bool = True) -> Span | None:
    """Return what follows a label, in the same line or in the next one `below` with text.

    The next line is none if it is itself a label, a tag or a rule.
    """
    found = _LINE.match(text, label.end)
    if found is None:
        return None
    same_line = "\n" not in text[label.end : found.start("q")]
    if not same_line and (not below or marks.labelled(found.start("q"))):
        return None
    return found.span("q")
