"""Things said more than once, said once: the first place stays, the others go.

In instructions a sentence is repeated when it says the same words, whatever politeness stands
around them and in whatever order an `and` joins two of them ("Be helpful and accurate." "Please
make sure to be accurate and helpful."). Elsewhere only what is repeated word for word goes. What
stands under a label ("Output:") or in an example's tags is data and is neither cut nor compared:
two examples may well have the same answer. So are lines of their own in a user's text, as in
logs and songs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from llm_optimizers.text import Block, paragraphs, sentences
from llm_optimizers.text.retrieval import stem

__all__ = ["instruction", "is_example", "without_repeats"]

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
_STOP = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]\u201d\u2019]*\s*|\n+\s*")
_PLAIN = re.compile(r"[^\d:|\t<>{}=]+")


def without_repeats(parts: Sequence[Block], *, instructions: bool) -> list[str]:
    """The blocks' texts without what they have said before; code and JSON are not compared."""
    if not instructions and not _anything_twice(parts):
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


def instruction(sentence: str) -> str | None:
    """What a sentence tells to do: its stems without politeness, `x and y` in one order.

    None for what is hardly an instruction: a line that is no sentence and no list item, unless
    it is four plain words or more.
    """
    item = _BULLET.match(sentence)
    bare = sentence[item.end() :].strip() if item else sentence.strip()
    count = len(bare.split())
    ended = bare.endswith((".", "!", "?"))
    if count < 2 or "|" in bare:
        return None
    if not ended and not (count >= (3 if item else 4) and _PLAIN.fullmatch(bare)):
        return None
    bare = _AS_POSSIBLE.sub(r"\1", _TAIL.sub("", _LEAD.sub("", bare)))
    words = [stem(w) for w in _WORD.findall(bare) if w.lower() not in _ARTICLES]
    for at in range(1, len(words) - 1):
        if words[at] == "and" and words[at - 1] > words[at + 1]:
            words[at - 1], words[at + 1] = words[at + 1], words[at - 1]
    return " ".join(words) if len(words) > 1 else None


def is_example(paragraph: str) -> bool:
    """Whether a paragraph holds labelled or tagged data."""
    return _EXAMPLE.search(paragraph) is not None


def _anything_twice(parts: Sequence[Block]) -> bool:
    """A quick look: whether any stretch between full stops and line breaks stands twice."""
    pieces = [
        piece
        for part in parts
        if part.kind == "text"
        for piece in _STOP.split(part.text)
        if " " in piece
    ]
    return len(set(pieces)) < len(pieces)


def _paragraph(paragraph: str, seen: set[bytes], *, instructions: bool) -> list[str]:
    """The sentences that stay; a line break after one that goes stays with the one before."""
    words = paragraph.split()
    if len(words) >= _PARAGRAPH_WORDS and _again("p " + " ".join(words), seen):
        return []
    if is_example(paragraph):
        return [paragraph]
    kept: list[str] = []
    for sentence in sentences(paragraph):
        if not _repeated(sentence, kept, seen, instructions=instructions):
            kept.append(sentence)
        elif kept and _blanks(sentence).count("\n") > _blanks(kept[-1]).count("\n"):
            kept[-1] = kept[-1].rstrip() + _blanks(sentence)
    if kept and "\n" not in _blanks(paragraph):
        kept[-1] = kept[-1].rstrip() + _blanks(paragraph)
    return kept


def _repeated(sentence: str, kept: list[str], seen: set[bytes], *, instructions: bool) -> bool:
    if instructions:
        said = instruction(sentence)
        return said is not None and _again("i " + said, seen)
    alone = (not kept or kept[-1].endswith("\n")) and sentence.endswith("\n")
    words = sentence.split()
    if alone or len(words) < _SENTENCE_WORDS or not words[-1].endswith((".", "!", "?")):
        return False
    return _again("s " + " ".join(words), seen)


def _blanks(text: str) -> str:
    return text[len(text.rstrip()) :]


def _again(said: str, seen: set[bytes]) -> bool:
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if digest in seen:
        return True
    seen.add(digest)
    return False
