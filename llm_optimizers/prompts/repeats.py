"""Things said more than once, said once: the first place stays, the others go.

In instructions a sentence is repeated when it says the same words, whatever politeness stands
around them and in whatever order an `and` joins two of them ("Be helpful and accurate." "Please
make sure to be accurate and helpful."). Elsewhere only a long sentence or a paragraph repeated
word for word goes, because in a user's data a repeat may be the point.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from llm_optimizers.prompts.protected import blocks
from llm_optimizers.prompts.sentences import sentences
from llm_optimizers.prompts.terms import stem

__all__ = ["meaning", "without_repeats"]

_PARAGRAPH_WORDS = 25
_SENTENCE_WORDS = 8
_LEAD = re.compile(
    r"^(?:(?:please|kindly|always|also|and|remember|note that|it is (?:very |really )?important"
    r"(?: that| to)?|make sure(?: that| to)?|ensure(?: that)?|be sure to|try to|you(?:r \w+)? "
    r"(?:must|should|shall|need to|have to|are to|will)(?: always)?|you)\b[\s,:]*)+",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*+\u2022]|\d{1,2}[.)])\s+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019]\w+)?|[^\w\s.,!;:\"'()\u2026-]")
_ARTICLES = frozenset({"a", "an", "the", "very", "really"})


def without_repeats(text: str, *, instructions: bool) -> str:
    """The text without what it has said before; code and JSON are neither cut nor compared."""
    seen: set[bytes] = set()
    written: list[str] = []
    for block in blocks(text):
        if block.kind != "text":
            written.append(block.whole)
            continue
        for paragraph in re.split(r"(?<=\n\n)(?!\n)", block.text):
            written += _paragraph(paragraph, seen, instructions=instructions)
    return "".join(written)


def _paragraph(paragraph: str, seen: set[bytes], *, instructions: bool) -> Iterator[str]:
    words = paragraph.split()
    if len(words) >= _PARAGRAPH_WORDS and _again("p " + " ".join(words), seen):
        return
    kept: list[str] = []
    sentence, again = "", False
    for sentence in sentences(paragraph):
        if instructions:
            again = _said_before(sentence, seen)
        else:
            own = not kept or kept[-1].endswith("\n")
            alone = own and sentence.endswith("\n")  # a line of a log or a song, not prose
            long = len(sentence.split()) >= _SENTENCE_WORDS
            again = long and not alone and _again("s " + " ".join(sentence.split()), seen)
        if not again:
            kept.append(sentence)
        elif kept and sentence.endswith("\n") and not kept[-1].endswith("\n"):
            breaks = sentence[len(sentence.rstrip()) :]
            kept[-1] = kept[-1].rstrip() + breaks
    if kept and not sentence.endswith("\n") and again:
        kept[-1] = kept[-1].rstrip(" ")
    yield from kept


def _said_before(sentence: str, seen: set[bytes]) -> bool:
    said = meaning(sentence)
    return said.count(" ") >= 1 and _again(said, seen)


def meaning(sentence: str) -> str:
    """What an instruction says: its stems without politeness, `x and y` in one order."""
    bare = _LEAD.sub("", _BULLET.sub("", sentence).strip())
    words = [stem(w) for w in _WORD.findall(bare) if w.lower() not in _ARTICLES]
    for at in range(1, len(words) - 1):
        if words[at] == "and" and words[at - 1] > words[at + 1]:
            words[at - 1], words[at + 1] = words[at + 1], words[at - 1]
    return " ".join(words)


def _again(said: str, seen: set[bytes]) -> bool:
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if digest in seen:
        return True
    seen.add(digest)
    return False
