"""Cut a text into sentences that join back to the very same text.

Ends of sentences are found by punctuation followed by a capital, a digit or an opening quote;
abbreviations and initials do not end one, nor does what stands in a quotation; a line break
always does. Ideographic full stops need
no space after them.
"""

from __future__ import annotations

import re

from llm_optimizers.text.protected import protected_spans

__all__ = ["sentences"]

_END = re.compile(
    r"(?<=[.!?\u2026])[\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]*[^\W_a-z])"
    r"|\n\s*|(?<=[\u3002\uff01\uff1f])(?![\u3002\uff01\uff1f\s])"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|Inc|Ltd|Co|Corp|No|Nos|Prof|Gen|Col|Lt|Sgt|Capt|Rev|Hon|Gov"
    r"|Sen|Rep|Fig|Vol|pp|e\.g|i\.e|cf|ca|approx|al)|\b[A-Z])\.$"
)


def sentences(text: str) -> list[str]:
    """The text's sentences with the blanks that follow each; joined they equal `text`."""
    cut: list[str] = []
    start = 0
    spans = protected_spans(text)
    for end in _END.finditer(text):
        if spans and any(a < end.end() and end.start() < b for a, b in spans):
            continue
        if _ABBREVIATED.search(text, max(start, end.start() - 8), end.start()):
            continue
        if end.end() > start and text[start : end.end()].strip():
            cut.append(text[start : end.end()])
            start = end.end()
    if start < len(text):
        if text[start:].strip() or not cut:
            cut.append(text[start:])
        else:
            cut[-1] += text[start:]
    return cut
