"""Split a text into the words, signs, names, codes and quotations that are compared.

One pass over the whitespace-separated pieces, without backtracking: the time is linear in the
length of the text. Nothing is lost on the way: what is neither a word nor the punctuation of a
sentence becomes a code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.vocabulary import Vocabulary
from llm_optimizers.text.stemming import lowercase

__all__ = ["PAUSE", "Tokens", "raw_words", "read_tokens"]

PAUSE = ","
"""The token for the end of a clause, whatever its punctuation."""

_QUOTED = re.compile(
    r"```(.+?)```|`([^`]+)`|\"([^\"]+)\"|\u201c([^\u201c\u201d]+)\u201d|\u00ab([^\u00ab\u00bb]+)\u00bb"
    r"|\u201e([^\u201c\u201d\u201e]+)[\u201c\u201d]|\u300c([^\u300c\u300d]+)\u300d"
    r"|(?:(?<=\s)|^)'([^']+)'(?!\w)|(?:(?<=\s)|^)\u2018([^\u2018\u2019]+)\u2019(?!\w)",
    re.DOTALL,
)
_QUOTES = frozenset("`\"\u201c\u00ab'\u201e\u300c\u2018")
_BRACKETS = "()\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u300c\u300d\u00bf\u00a1"
_ENDS = ".,;:!?\u2026\u3002\u3001\uff0c\uff1f\uff01\uff1a\uff1b"
_RIGHT = _BRACKETS + _ENDS
_EMPHASIS = "*_~"
_DASHES = frozenset(["-", "--", "\u2013", "\u2014", "|", "/", "..."])
_APOSTROPHES = str.maketrans("", "", "'\u2019")
_PIECES = re.compile(r"[^\W\d_]+(?:[+#]{1,2}(?!\w))?|\d+")
_COMPOUND = re.compile(
    r"[^\W\d_]+(?:[-/\u2010\u2011\u2013\u2014.,;:!?()'\u2019\u2026]{1,3}[^\W\d_]+)*"
)
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_SIGNED = re.compile(r"[^\W\d_]+[+#]{1,2}")
_TAILS = {"s": "is", "m": "am", "re": "are", "ve": "have", "ll": "will", "d": "would"}


@dataclass(slots=True)
class Tokens:
    """The tokens of a text in order, in lower case but for names written like other words ("IT").

    A clause ends at a `PAUSE`. `names` are words with a capital inside a sentence, `codes`
    addresses, signs and what else is no word; `quotations` are whole.
    """

    words: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    quotations: list[str] = field(default_factory=list)


def raw_words(text: str) -> list[str]:
    """Return the lower-case words without the punctuation around them, nothing else changed."""
    stripped = (
        piece.lstrip(_BRACKETS).rstrip(_RIGHT) or piece for piece in lowercase(text).split()
    )
    return [word for word in stripped if word.strip(_RIGHT)]


def read_tokens(text: str, vocabulary: Vocabulary) -> Tokens:
    """Split a text, composed as by NFC; never raises."""
    found = Tokens()
    if not _QUOTES.isdisjoint(text):
        found.quotations = [
            lowercase(next(group for group in match.groups() if group).strip())
            for match in _QUOTED.finditer(text)
        ]
    _Reader(found, vocabulary, shouted=text.isupper()).read(text.split())
    return found


class _Reader:
    """Adds pieces to `Tokens`, keeping what depends on the whole text: titles, capitals."""

    def __init__(self, found: Tokens, vocabulary: Vocabulary, *, shouted: bool) -> None:
        self._found = found
        self._words = vocabulary
        self._shouted = shouted
        self._starts = True
        self._capitals: list[str] = []
        self._letters: list[int] = []
        self._count = 0

    def read(self, pieces: list[str]) -> None:
        """Add all pieces of a text."""
        words = self._found.words
        for place, piece in enumerate(pieces):
            core = piece.lstrip(_BRACKETS).rstrip(_RIGHT)
            if not core or not any(map(str.isalnum, core)):
                following = pieces[place + 1].rstrip(_RIGHT) if place + 1 < len(pieces) else ""
                self._signs(piece, lowercase(following))
                continue
            self._core(core)
            self._starts = piece[-1] in _RIGHT and any(
                mark in _ENDS for mark in piece[len(piece.rstrip(_RIGHT)) :]
            )
            if self._starts:
                words.append(PAUSE)
        # Capitals In A Title Like This Are No Names.
        if len(self._capitals) * 2 < self._count or len(self._capitals) == 1:
            self._found.names.update(self._capitals)

    def _signs(self, piece: str, following: str) -> None:
        """Add a piece without letters: the end of a clause, or a sign that is spoken about."""
        words, roles = self._found.words, self._words.functions
        before = words[-1] if words else PAUSE
        if piece in ("&", "+") and before.isalnum() and before not in self._words.function_words:
            joins = following[:1].isalnum() and following not in self._words.function_words
            if joins and not (before[-1].isdigit() and following[:1].isdigit()):
                words.append("and")
                return
        ends = all(mark in _RIGHT for mark in piece) or piece in _DASHES
        numeric = following[:1].isdigit() and before[-1:].isdigit()
        led = before in self._words.function_words or before in roles.sign_lead
        if not ends or numeric or led or following in roles.sign_follows:
            self._found.codes.add(piece)
            words.append(piece)
        elif before != PAUSE:
            words.append(PAUSE)
            self._starts = any(mark in _ENDS for mark in piece)

    def _core(self, core: str) -> None:
        if len(core) > 2 and core[0] in _EMPHASIS and core[-1] == core[0]:
            core = core.strip(core[0]) or core
        if core.isalpha():
            self._word(core)
            return
        lower = lowercase(core)
        if "://" in core or "@" in core or lower.startswith("www."):
            self._found.codes.add(lower.rstrip("/"))
            self._found.words.append(lower)
        elif core.translate(_APOSTROPHES).isalpha():
            self._contraction(core, lower)
        elif _INITIALS.fullmatch(core):
            self._word(core.replace(".", ""))
        elif any(character.isdigit() for character in core):
            self._found.words.append(lower)
        elif _SIGNED.fullmatch(core):
            self._found.words.append(lower)
            self._found.codes.add(lower)
        else:
            self._compound(core, lower)

    def _word(self, word: str) -> None:
        found, lower = self._found, lowercase(word)
        self._count += 1
        capital, inner = word[0] != word[0].lower(), word[1:] != word[1:].lower()
        if inner and not self._shouted:
            opens = self._starts and lower in self._words.functions.opens
            if lower in self._words.functions.abbreviation and not opens and not self._hour(lower):
                found.words.append(word)
                found.codes.add(word)
                return
            found.names.add(lower)
        elif capital and not self._starts and not inner and len(word) > 1:
            self._capitals.append(lower)
        if len(word) == 1 and capital and not self._starts and not self._shouted:
            found.words.append(word)
            return
        found.words.extend(self._words.spelled_out.get(lower, (lower,)))

    def _hour(self, lower: str) -> bool:
        return (
            lower in ("am", "pm")
            and self._found.words[-1:] != []
            and (
                self._found.words[-1][-1:].isdigit() or self._found.words[-1] in self._words.numbers
            )
        )

    def _contraction(self, core: str, lower: str) -> None:
        """Add a word with an apostrophe as the words it stands for."""
        self._count += 1
        head, _, tail = lower.replace("\u2019", "'").rpartition("'")
        meant = _TAILS.get(tail)
        bare = lower.translate(_APOSTROPHES)
        if tail == "s" and head not in self._words.grammar.contracted:
            head = head.translate(_APOSTROPHES)
            if core[0].isupper() and not self._starts:
                self._capitals.append(head)
            self._found.words.append(head)
        elif meant is not None and head.isalpha():
            self._found.words.extend((head, meant))
        else:
            self._found.words.extend(self._words.spelled_out.get(bare, (bare,)))

    def _compound(self, core: str, lower: str) -> None:
        """Add a piece of several words or signs, whole as a code if more than hyphens join it."""
        found = self._found
        pieces = _PIECES.findall(lower)
        head, _, tail = lower.rpartition(".")
        file = len(head) > 1 and tail.isalpha() and 1 < len(tail) < 5 and head[-1].isalnum()
        if file or not _COMPOUND.fullmatch(lower):
            flag = lower[0] == "-" and len(lower) < 4
            found.codes.add(core if flag else lower)
        found.words.extend(pieces)
        self._count += len(pieces)
        if core[0].isupper() and not self._starts:
            self._capitals.extend(piece for piece in pieces if len(piece) > 1)
