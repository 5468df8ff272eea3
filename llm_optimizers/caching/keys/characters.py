"""Texts in the characters that their writer could as well have typed.

Two texts may share a normalised key only if they say the same, so this is less than Unicode's NFKC,
which would turn 10² into 102, ½ into three characters and ™ into TM. Folded are

    composition     e with an accent behind it is é (NFC)
    width           wide letters, digits and marks, and narrow katakana, have the usual width,
                    unless the text has both
    not shown       soft hyphens and word joiners; other marks only where no letter follows or leads
    French spaces   the one before ? and !, and a no-break one before ;
    marks at ends   ¿ and ¡ in front of a text that ends in ? or !, ؟ and Greek ; for ?

and nothing in a text that may be about characters.
"""

from __future__ import annotations

import re
import unicodedata

from llm_optimizers.text.stemming import stopwords
from llm_optimizers.text.terms import language_of

__all__ = ["ABOUT_BYTES", "END_MARKS", "folded"]

END_MARKS = "?!.\u061f\uff1f\uff01"
"""Marks that may end a text and say no more than that it ends or asks."""

ABOUT_BYTES = (
    r"ascii|unicode|\butf|code ?point|\bbytes?\b|\b(?:en|de)cod|base-?64|\bmd5\b|\bsha-?\d"
    r"|checksum|\bhash of\b|\bmorse|\brot-?13|\bhex\b|\banagram|\bpalindrom"
)
"""Words of a question about the bytes of a text, to which every capital is another one."""
# A question about characters: then each of them may matter. English, then other languages.
_ABOUT_CHARACTERS = re.compile(
    r"charact|symbol|unicode|\bascii|encod|glyph|keyboard|\bkey\b|\bsign\b|hyphen|invisible|hidden"
    r"|punctuat|operator|\bwidth|half-?width|full-?width|\bletters?\b|\bdigits?\b|\bmarks?\b"
    r"|caract|s[íi]mbol|signe\b|signo|ponctuat|puntuac|op[ée]rat|touche|clavier|tecla|zeichen"
    r"|symbole|znak|знак|символ|حرف|علامة|رمز|σύμβολ|文字|字符|字元|符号|符號|記号|標点|标点|全角|半角|문자"
    r"|기호|전각|반각",
    re.IGNORECASE,
)
_FOLDED = re.compile(
    "[;¡¿\u00a0\u00ad\u200b\u200e\u200f\u202f\u2060\ufeff\uff01-\uff9f\uffe0-\uffe6]"
)
"""Any character that may be folded in composed text. The wide colon is not: see `_LITERAL`."""
_NOT_SHOWN = re.compile("[\u00ad\u2060\ufeff]")
_NOT_SHOWN_AT_ENDS = re.compile(r"(?<!\S)[\u200b\u200e\u200f]+|[\u200b\u200e\u200f]+(?!\S)")
_WIDE = re.compile("[\uff01-\uff19\uff1b-\uff5e\uffe0\uffe1\uffe5\uffe6]")
_WIDE_LETTERS = re.compile("[\uff21-\uff3a\uff41-\uff5a]")
_WIDE_DIGITS = re.compile("[\uff10-\uff19]")
_NARROW_KANA = re.compile("[\uff61-\uff9f]+")
_KANA = re.compile("[\u30a1-\u30fa]")
_NO_BREAK_BEFORE_MARKS = re.compile(
    r"(?<=\w)(?<!\bmean)(?<!\bmeans)(?<!\bdire)(?<!signifie)[\u00a0\u202f](?=[;?!])", re.IGNORECASE
)
_OPENING = re.compile(r"\A[¿¡]+\s*(?=\w)")
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_LAST_WORD = re.compile(r"(?<!\w)(\w++)\W*+\Z")
_INVERTED = re.compile(
    r"\w-(?:t-)?(?:je|tu|ils?|elles?|nous|vous)(?![\w-])|t-on(?![\w-])", re.IGNORECASE
)
"""A verb before its pronoun: the text is French, and complete where it ends in one."""
_FRENCH_WORDS = re.compile(r"\A(?:quel(?:le)?s?|combien)\b|\b(?:combien|pourquoi)\Z", re.IGNORECASE)
_ASKS_ABOUT_IT = re.compile(r"(?:signifi\w{0,20}|dire|mean|means)\Z", re.IGNORECASE)


def folded(text: str) -> str | None:
    """Return a text without differences that say nothing; None if its characters may matter."""
    text = text.strip()
    usual = text if text.isascii() else _in_usual_characters(text)
    if usual != text and _names_both_forms(text, usual):
        return None
    before = usual.rstrip("?!")
    if len(before) < len(usual) and before[-1:].isspace():
        usual = _without_french_space(usual, before.rstrip())
    return None if usual != text and _ABOUT_CHARACTERS.search(text) else usual


def _in_usual_characters(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    if not _FOLDED.search(text):
        return text
    text = _NOT_SHOWN_AT_ENDS.sub("", _NOT_SHOWN.sub("", text)).strip()
    text = _NO_BREAK_BEFORE_MARKS.sub("", _of_one_width(text))
    if text.endswith(";") and _GREEK.search(text):
        text = text[:-1]
    return _OPENING.sub("", text) if text.endswith(("?", "!")) else text


def _names_both_forms(text: str, usual: str) -> bool:
    """Return whether a text has two forms of one word or letter, which it may be about."""
    ends = f"\ufeff\u2060{END_MARKS}"
    words = [_NOT_SHOWN_AT_ENDS.sub("", each).strip(ends) for each in text.split()]
    same = [each.strip(ends) for each in usual.split()]
    if len(words) == len(same) and len(set(same)) < len(set(words)):
        return True
    parts = ((each, unicodedata.normalize("NFD", each)) for each in set(text))
    return any(part != each and part in text for each, part in parts)


def _of_one_width(text: str) -> str:
    """Return a text in the usual width; what stands there in both widths keeps them."""
    kept = set(text)
    letters = not any(each.isascii() and each.isalpha() for each in kept)
    digits = not any(each.isascii() and each.isdigit() for each in kept)

    def usual(match: re.Match[str]) -> str:
        wide = match.group()
        if _WIDE_LETTERS.match(wide):
            return unicodedata.normalize("NFKC", wide) if letters else wide
        if _WIDE_DIGITS.match(wide):
            return unicodedata.normalize("NFKC", wide) if digits else wide
        narrow = unicodedata.normalize("NFKC", wide)
        return wide if narrow in kept else narrow

    text = _WIDE.sub(usual, text)
    if _KANA.search(text):
        return text
    return _NARROW_KANA.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)


def _without_french_space(text: str, before: str) -> str:
    """Return a French text without the space before its last marks; others as they are.

    In other languages the mark behind a space may be what is asked about ("What does this mean ?"),
    and so it may in French where the text before it is not complete ("Que signifie ?").
    """
    last = _LAST_WORD.search(before)
    if last is None or _ASKS_ABOUT_IT.search(before):
        return text
    inverted = list(_INVERTED.finditer(before))
    asks = _FRENCH_WORDS.search(before)
    complete = {each.end() for each in (*inverted, asks) if each is not None}
    if len(before) not in complete and last[1].lower() in stopwords("french"):
        return text
    french = bool(complete) or language_of([before]) == "french"
    return before + text[len(before) :].lstrip() if french else text
