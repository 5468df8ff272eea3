"""Questions in a key: their normalised form, their keys in a scope, and which have a meaning."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from llm_optimizers.caching.keys.capitals import in_small_letters, may_differ_in_case
from llm_optimizers.caching.keys.characters import ABOUT_BYTES, END_MARKS, folded
from llm_optimizers.caching.keys.unmatched import Unmatched

__all__ = [
    "keys_of_question",
    "normalise",
    "only_characters_differ",
    "scope_digest",
    "why_not_by_meaning",
]

# Text is only matched byte for byte if case, spacing or punctuation may matter: code, quotations
# (also low, angle and CJK ones), text to work on after a colon (which in CJK has no space after
# it), a factorial. So it is where the text is about its own characters or bytes.
_LITERAL = re.compile(
    r"[\n\t`\"'“”‘’«»<>{}\[\]\\=_|\u201a\u201e\u2039\u203a\u3008-\u3011]|:\s|:(?=[^\x00-\x7f])"
    r"|(?<=[\u3040-\u9fff\uac00-\ud7af]):|\uff1a|\d[!\uff01]|"
    rf"\s[{END_MARKS}]+\Z|case\b|\bspac|\bpunctuat|\bcapitali[sz]"
    rf"|{ABOUT_BYTES}",
    re.IGNORECASE,
)
# Apostrophes are often left out when typing, but not where that makes another word ("we're").
_APOSTROPHE = re.compile(
    r"(?<!\bwe)(?<!\bhe)(?<!\bshe)(?<!\bi)(?<=\w)['’](?=\w)|(?<=\w)['’](?=(?:ve|m|s)\b)",
    re.IGNORECASE,
)
# Where words are spoken about, "its" and "it's" are two. "What's" in front is not one of them.
_ABOUT_WORDS = re.compile(
    r"\b(?:apostroph|spell|spelt|pronounc|gramma|mean|word|verb|noun|plural|use of|"
    r"difference between|when (?:do|should|can) (?:i|you|we) use\b)",
    re.IGNORECASE,
)
_KEPT_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_BYTES = re.compile(ABOUT_BYTES, re.IGNORECASE)
# Marks of code and quotations in a word.
_CODE = re.compile(r"[`\"'“”‘’«»<>{}\[\]\\=_|]")
_NORMALISED_LIMIT = 400
# Half a character: valid in a Python string but not in UTF-8, so it cannot be stored as text.
_SURROGATE = re.compile("[\ud800-\udfff]")
# A prompt with sections holds more than a question, and the difference may be in any section.
_SECTIONS = re.compile(
    r"^[ \t]*(?:[-=*#]{5,}|<[A-Za-z][\w ]*>|\w[\w ]{2,40}:|\[[A-Za-z][\w' ]{2,60}\]"
    r"|#{1,6}[ \t]+\S[^\n]*)[ \t]*$",
    re.MULTILINE,
)
# Data may hold several questions whose answers depend on their order or ids, yet the same
# questions in another order have the same meaning.
_DATA = re.compile(r"\[\s*[\[{]|[\[{]\s*\"")
_TIME_BOUND = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|currently|current|latest|this (?:morning|"
    r"afternoon|evening|week|month|year)|right now|at the moment|so far|up to date)\b",
    re.IGNORECASE,
)


def normalise(text: str) -> str | None:
    """Return the text with case, spacing, width and final punctuation normalised.

    None if such differences may matter: code, quotations, several lines, long texts. Short words
    in capitals keep them, so that "US customers" and "us customers" stay different.
    """
    if len(text) > _NORMALISED_LIMIT:
        return None
    text = folded(text) or ""
    if "\N{GREEK CAPITAL THETA SYMBOL}" in text:  # its small letter is another letter's
        return None
    if "'" in text or "’" in text:
        if _ABOUT_WORDS.search(text) and _APOSTROPHE.search(text.partition(" ")[2]):
            return None
        text = _APOSTROPHE.sub("", text)
        text = _KEPT_APOSTROPHE.sub("\N{MODIFIER LETTER APOSTROPHE}", text)
    if not text or _LITERAL.search(text) or _SURROGATE.search(text):
        return None
    words = text.rstrip(f"{END_MARKS} ").split()
    if not words:
        return None
    if text.isupper():
        return " ".join(words).lower()
    return in_small_letters(words)


def only_characters_differ(a: str, b: str) -> bool:
    """Return whether two texts differ in capitals or forms of letters only, and these matter.

    They have one meaning for an embedder, but "5 Mb" and "5 mb" are two questions. Abbreviations
    and names are often typed in small letters, and may be: those differences do not matter.
    """
    words, others = map(_words, (a, b))
    if words == others:
        return False
    if not _BYTES.search(a):
        words, others = _words(folded(a) or a), _words(folded(b) or b)
    if len(words) != len(others) or any(map(_differ, words, others)):
        return False
    if _BYTES.search(a):
        return True
    return not all(
        may_differ_in_case(word, other, before)
        and not _CODE.search(_KEPT_APOSTROPHE.sub("", f"{word} {other}"))
        for before, word, other in zip(["", *words], words, others, strict=False)
        if word != other
    )


def _words(text: str) -> list[str]:
    return text.rstrip(f"{END_MARKS} ").split()


def _differ(word: str, other: str) -> bool:
    """Return whether words differ in more than capitals and forms of letters."""
    return word != other and _plain(word) != _plain(other)


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def why_not_by_meaning(question: str) -> Unmatched | None:
    """Return why a text is not a single question whose answer is the same at any time."""
    if not question.strip() or _SURROGATE.search(question):
        return Unmatched.NO_TEXT
    if _TIME_BOUND.search(question):
        return Unmatched.TIME
    if _SECTIONS.search(question):
        return Unmatched.SECTIONS
    return Unmatched.DATA if _DATA.search(question) else None


def keys_of_question(scope: str, question: str) -> tuple[str, str | None]:
    """Return a question's exact and normalised key in a scope; what follows "/" is left out."""
    digest = scope_digest(scope)
    normalised = normalise(question)
    return (
        _hash(f"{digest} exact {question}"),
        None if normalised is None else _hash(f"{digest} normalised {normalised}"),
    )


def scope_digest(scope: str) -> str:
    """Return a scope without its embedding model: exact matches survive a change of model."""
    return scope.partition("/")[0]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
