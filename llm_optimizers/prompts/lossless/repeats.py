"""Remove repeats from a text: the first occurrence stays, later ones go.

In instructions a sentence is a repeat if it has the same words, ignoring polite phrases and the
order of two words joined by `and` ("Be helpful and accurate." "Please make sure to be accurate
and helpful."). Elsewhere only exact repeats are removed. Text under a label ("Output:") or in an
example's tags is data and is neither removed nor compared, because two examples may have the
same answer. The same holds for a sentence on a line by itself in a user's text, as in logs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from llm_optimizers.text import Block, paragraphs, sentences
from llm_optimizers.text.stemming import inflection_stem

__all__ = ["instruction_key", "is_example", "without_repeats"]

_PARAGRAPH_WORDS = 25
_SENTENCE_WORDS = 4
_LEAD = re.compile(
    r"^(?:(?:please|kindly|always|also|and|remember|note that|it is (?:very |really )?important"
    r"(?: that| to)?|make sure(?: that| to)?|ensure(?: that)?|be sure to|try to|you(?:r \w+)? "
    r"(?:must|should|shall|need to|have to|are to|will)(?: always)?|you)\b[\s,:]*)+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?:[\s,]+(?:please|always|at all times|whenever possible"
    r"|in (?:all )?your (?:answers?|responses?|replies)))+\W*$",
    re.IGNORECASE,
)
_AS_POSSIBLE = re.compile(r"\bas ([\w ]{1,60}) as possible\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*+\u2022]|\d{1,2}[.)])\s+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019]\w+)?|[^\w\s.,!;:\"'()\u2026-]")
_ARTICLES = frozenset({"a", "an", "the", "very", "really"})
_EXAMPLE = re.compile(
    r"^[ \t>*#-]*[A-Z][\w ]{0,20}\**:(?:[ \t]|$)"
    r"|</?(?:example|sample|input|output|question|answer|user|assistant|document)s?\b",
    re.MULTILINE | re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]\u201d\u2019]*\s*|\n+\s*")
_PLAIN = re.compile(r"[^\d:|\t<>{}=]+")


def without_repeats(parts: Sequence[Block], *, instructions: bool) -> list[str]:
    """Return the texts of the blocks without repeats; code and JSON are not compared."""
    if not instructions and not _may_repeat(parts):
        return [part.whole for part in parts]
    seen: set[bytes] = set()
    written: list[str] = []
    for part in parts:
        if part.kind != "text":
            written.append(part.whole)
            continue
        for paragraph in paragraphs(part.text):
            written += _paragraph(paragraph, seen, instructions=instructions)
    return written


def instruction_key(sentence: str) -> str | None:
    """Return the stems of an instruction without polite phrases, `x and y` in sorted order.

    Two instructions with the same result are repeats. None for a text that is hardly an
    instruction: neither a sentence nor a list item nor four plain words or more.
    """
    item = _BULLET.match(sentence)
    text = sentence[item.end() :].strip() if item else sentence.strip()
    count = len(text.split())
    ended = text.endswith((".", "!", "?"))
    if count < 2 or "|" in text:
        return None
    if not ended and not (count >= (3 if item else 4) and _PLAIN.fullmatch(text)):
        return None
    text = _AS_POSSIBLE.sub(r"\1", _TAIL.sub("", _LEAD.sub("", text)))
    words = [inflection_stem(w) for w in _WORD.findall(text.lower()) if w not in _ARTICLES]
    for at in range(1, len(words) - 1):
        if words[at] == "and" and words[at - 1] > words[at + 1]:
            words[at - 1], words[at + 1] = words[at + 1], words[at - 1]
    return " ".join(words) if len(words) > 1 else None


def is_example(paragraph: str) -> bool:
    """Return whether a paragraph contains labelled or tagged data."""
    return _EXAMPLE.search(paragraph) is not None


def _may_repeat(parts: Sequence[Block]) -> bool:
    """Return quickly whether any text between full stops and line breaks occurs twice."""
    pieces = [
        piece
        for part in parts
        if part.kind == "text"
        for piece in _SEPARATOR.split(part.text)
        if " " in piece
    ]
    return len(set(pieces)) < len(pieces)


def _paragraph(paragraph: str, seen: set[bytes], *, instructions: bool) -> list[str]:
    """Return the sentences that stay; a removed one leaves its line break to the one before."""
    words = paragraph.split()
    if len(words) >= _PARAGRAPH_WORDS and _is_seen("p " + " ".join(words), seen):
        return []
    if is_example(paragraph):
        return [paragraph]
    kept: list[str] = []
    for sentence in sentences(paragraph):
        if not _is_repeat(sentence, kept, seen, instructions=instructions):
            kept.append(sentence)
        elif kept and _trailing(sentence).count("\n") > _trailing(kept[-1]).count("\n"):
            kept[-1] = kept[-1].rstrip() + _trailing(sentence)
    if kept and "\n" not in _trailing(paragraph):
        kept[-1] = kept[-1].rstrip() + _trailing(paragraph)
    return kept


def _is_repeat(sentence: str, kept: list[str], seen: set[bytes], *, instructions: bool) -> bool:
    if instructions:
        stems = instruction_key(sentence)
        return stems is not None and _is_seen("i " + stems, seen)
    alone = (not kept or kept[-1].endswith("\n")) and sentence.endswith("\n")
    words = sentence.split()
    if alone or len(words) < _SENTENCE_WORDS or not words[-1].endswith((".", "!", "?")):
        return False
    return _is_seen("s " + " ".join(words), seen)


def _trailing(text: str) -> str:
    """Return the whitespace at the end of a text."""
    return text[len(text.rstrip()) :]


def _is_seen(key: str, seen: set[bytes]) -> bool:
    """Return whether a key was seen before, and add it; digests take less memory."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if digest in seen:
        return True
    seen.add(digest)
    return False
