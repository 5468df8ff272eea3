"""Words as retrieval sees them: folded, stemmed, with the words that carry no topic set apart.

English inflections are mended by a short rule list and a table of irregular forms; other
alphabets are folded only, and scripts written without spaces are cut into pairs of characters,
the usual unit for searching them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["STOPWORDS", "stem", "terms"]

_STOPWORDS = """
a about above after again all am an and any are as at be been before being below between both
but by can could did do does doing during each either few for from further had has have having
he her here hers him his how i if in into is it its itself just may me might more most must my
no nor not of off on once only or other our ours out over own s same shall she should so some
such t than that the their theirs them then there these they this those through to too under
until up us very was we were what when where which while who whom whose why will with would you
your
"""
STOPWORDS = frozenset(_STOPWORDS.split())

_IRREGULAR = """
be is are was were been|become became|begin began begun|break broke broken|bring brought
build built|buy bought|catch caught|child children|choose chose chosen|die died dies death dead
draw drew drawn|drive drove driven|eat ate eaten|fall fell fallen|feel felt|fight fought
find found|fly flew flown|forget forgot|get got gotten|give gave given|go went gone goes
grow grew grown|hide hid hidden|hold held|know knew known|lead led|leave left|lose lost loss
make made|man men|meet met|pay paid|person people|ride rode ridden|rise rose risen|run ran
say said|see saw seen|sell sold sale|send sent|shoot shot|show shown|sing sang sung song
sit sat|speak spoke spoken speech|spend spent|stand stood|steal stole stolen|swim swam swum
take took taken|teach taught|tell told|think thought|throw threw thrown|wake woke
wear wore worn|wife wives|win won winner|woman women|write wrote written writer|birth born
1 one|2 two ii|3 three iii|4 four iv|5 five|6 six vi|7 seven vii|8 eight viii|9 nine ix|10 ten
1st first|2nd second|3rd third|good better best|large larger largest|life lives lived live
"""
_WORD = re.compile(r"[^\W_]+(?:['\u2019]s\b)?")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_DERIVED = ("ment", "ness", "ity", "ist", "ism", "ion", "er", "or", "al", "ive", "ous", "ly")


def terms(text: str) -> list[str]:
    """The text's words in order, each folded and stemmed; stopwords included."""
    found = _WORD.findall(text)
    if text.isascii():
        return [stem(word) for word in found]
    return [term for word in found for term in _spread(word)]


def _spread(word: str) -> Iterable[str]:
    if len(word) > 1 and _UNSPACED.match(word):
        return (word[at : at + 2] for at in range(len(word) - 1))
    return (stem(word),)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word's folded stem: inflections go always, derivations where five letters remain."""
    folded = _folded(word)
    return _FORMS.get(folded) or _regular(folded)


def _regular(folded: str) -> str:
    if len(folded) <= 3 or not folded.isascii() or not folded.isalpha():
        return folded
    singular = _singular(folded)
    for suffix in ("ing", "ed"):
        base = singular.removesuffix(suffix)
        if base != singular and len(base) >= 3 and re.search("[aeiouy]", base):
            return _finish(base)
    for suffix in _DERIVED:
        if len(singular) - len(suffix) >= 5 and singular.endswith(suffix):
            return _finish(singular[: -len(suffix)])
    return _finish(singular)


def _folded(word: str) -> str:
    word = word.lower()
    if not word.isascii():
        decomposed = unicodedata.normalize("NFKD", word)
        word = "".join(c for c in decomposed if not unicodedata.combining(c))
    return word.removesuffix("'s").removesuffix("\u2019s")


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _finish(stemmed: str) -> str:
    """One spelling for `stopped` and `stop`, `taking` and `take`, `happily` and `happy`."""
    if stemmed[-1] == "e" or (stemmed[-1] == stemmed[-2] and stemmed[-1] not in "lsz"):
        stemmed = stemmed[:-1]
    if len(stemmed) >= 7 and stemmed.endswith("at"):
        stemmed = stemmed[:-2]
    return stemmed[:-1] + "y" if stemmed[-1] == "i" else stemmed


_FORMS = {
    form: _regular(group.split()[0])
    for group in _IRREGULAR.replace("\n", "|").split("|")
    for form in group.split()
}
