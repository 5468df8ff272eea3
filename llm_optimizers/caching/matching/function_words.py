"""Read the small words of a question: a word may only be left out where it cannot be what is asked.

Every word counts. Content words are compared elsewhere; of the words that build a sentence, each
leaves a mark, and two texts match only if their marks are the same, but for what is listed as
harmless in data/ (function_words.txt says what each role means):

- Left out: articles before a noun phrase, fillers, the present tense ("is", "do"), "that" before
  a clause, "to" before a verb, "of", "there" beside "is"; openings and closings (frames.txt).
- Replaced: words of one group (synonyms.txt) and phrases of one meaning (phrases.txt).
- Only in one text: the asker's "my", "our" and "your". Never "my" here and "your" there.
- A preposition belongs to the word after it, persons keep their order.

A letter that stands alone is a name, but for "a" before a noun phrase and "I" as a subject. In a
text about words or signs (a role of its own), and after "use" or "between", nothing is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.tokens import PAUSE
from llm_optimizers.caching.matching.vocabulary import Vocabulary

__all__ = ["FunctionWords", "is_name", "is_verb", "read_function_words", "speaks_of_words"]

_CLAUSE = 6
"""Words behind "has" among which its participle is looked for."""


@dataclass(slots=True)
class FunctionWords:
    """The marks of a text.

    `persons` are in order; `owners`, `relations` and `origins` ("of") are pairs of a word and the
    concept it belongs to; `moods` are the tenses and modal verbs; `counted` is everything else.
    """

    persons: list[str] = field(default_factory=list)
    owners: Counter[tuple[str, str]] = field(default_factory=Counter)
    relations: Counter[tuple[str, str]] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    idle: Counter[str] = field(default_factory=Counter)
    strict: bool = False
    moods: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    finite: bool = False


def is_name(words: list[str], place: int, vocabulary: Vocabulary) -> bool:
    """Return whether a single letter is a name, not an article or a pronoun."""
    letter = words[place]
    before = words[place - 1] if place else PAUSE
    behind = words[place + 1] if place + 1 < len(words) else PAUSE
    roles = vocabulary.functions
    if letter.lower() not in ("a", "i"):
        return True
    if before in roles.label:
        ahead = words[place - 2] if place > 1 else PAUSE
        return before not in roles.label_verb or not _expects_verb(ahead, vocabulary)
    if letter.lower() == "a":
        return letter == "A" or not opens_noun_phrase(behind, vocabulary)
    joined = behind in ("and", "or", PAUSE) and before not in vocabulary.function_words
    subject = before == PAUSE or before in vocabulary.function_words or before in roles.filler
    verb = behind in vocabulary.function_words and behind not in roles.relation
    return joined or not (subject or verb)


def _expects_verb(before: str, vocabulary: Vocabulary) -> bool:
    roles = vocabulary.functions
    lead = roles.person | roles.modal | roles.do | roles.filler
    return before in lead or before in (PAUSE, "to", "and", "not")


def opens_noun_phrase(word: str, vocabulary: Vocabulary) -> bool:
    """Return whether a word may follow an article."""
    if word == PAUSE or not (word[:1].isalnum() or word[:1] == "#"):
        return False
    return word not in vocabulary.function_words or word in vocabulary.functions.after_article


def is_verb(words: list[str], place: int, vocabulary: Vocabulary) -> bool:
    """Return whether a form of "do" or "have" is a verb of its own, not an auxiliary."""
    word, roles = words[place], vocabulary.functions
    before = words[place - 1] if place else PAUSE
    behind = words[place + 1] if place + 1 < len(words) else PAUSE
    if word in roles.do:
        asked = before in roles.person and place > 1 and words[place - 2] in roles.leads_verb
        if before in roles.modal or before in ("to", "howto") or asked:
            return True
        return behind == PAUSE or behind in roles.relation or behind in ("and", "or", "if", "when")
    if word not in roles.have:
        return False
    if place > 1 and words[place - 2] in roles.do and before in roles.person:
        return True
    if before in roles.modal and behind != "been":
        return behind not in roles.participle and not behind.endswith(("ed", "en"))
    return not any(
        each in roles.participle or each.endswith(("ed", "en"))
        for each in words[place + 1 : place + 1 + _CLAUSE]
    )


def speaks_of_words(words: list[str], vocabulary: Vocabulary) -> tuple[bool, bool]:
    """Return whether a text speaks about words, and whether about code."""
    roles, known = vocabulary.functions, vocabulary.function_words
    if not roles.judged.isdisjoint(words) and not {"say", "write", PAUSE}.isdisjoint(words[1:-1]):
        return True, False
    finite = roles.present - {"be", "being"} | roles.past - {"been"} | roles.modal
    for place, word in enumerate(words):
        if vocabulary.stem(word) in vocabulary.mention_stems:
            return True, False
        before = words[place - 1] if place else ""
        if word in ("mean", "means") and before in known and before not in roles.person:
            return True, False
        if before in finite and word in finite - roles.have - {"had"}:
            return True, False
        behind = words[place + 1] if place + 1 < len(words) else PAUSE
        if (
            before in roles.mention_lead
            and word in known
            and not (opens_noun_phrase(behind, vocabulary) and word not in roles.present)
        ):
            return True, False
    return False, not roles.code_mention.isdisjoint(words)


def read_function_words(
    words: list[str], concepts: list[str], vocabulary: Vocabulary, *, kind: str, kind_at: int
) -> FunctionWords:
    """Read the marks of words; `concepts` has "" for each that is no content word.

    The word at `kind_at` is the question word, which is compared by its kind.
    """
    return _Reader(words, concepts, vocabulary, kind).read(kind_at)


class _Reader:
    def __init__(
        self, words: list[str], concepts: list[str], vocabulary: Vocabulary, kind: str
    ) -> None:
        self._words = words
        self._kind = kind
        self._request = (
            kind in ("", "canyou")
            and words[:1] != []
            and (words[0] not in vocabulary.functions.person)
        )
        self._concepts = concepts
        self._vocabulary = vocabulary
        self._roles = vocabulary.functions
        self._strict, self._code = speaks_of_words(words, vocabulary)
        self._found = FunctionWords()
        self._open: list[tuple[Counter[tuple[str, str]], str]] = []
        self._open_origins = 0

    def read(self, kind_at: int) -> FunctionWords:
        self._found.strict = self._strict or self._code
        self._dated = not self._roles.calendar.isdisjoint(self._words[kind_at + 1 : kind_at + 5])
        for place, word in enumerate(self._words):
            concept = self._concepts[place]
            if concept:
                self._close(concept)
            elif word == PAUSE:
                self._close("")
            elif word in self._vocabulary.function_words and place != kind_at:
                self._mark(word, place)
        self._close("")
        return self._found

    def _close(self, concept: str) -> None:
        for table, word in self._open:
            table[word, concept] += 1
        self._open.clear()
        if self._open_origins:
            self._found.origins[concept] += self._open_origins
            self._open_origins = 0

    def _mark(self, word: str, place: int) -> None:
        roles, found = self._roles, self._found
        before = self._words[place - 1] if place else PAUSE
        behind = self._words[place + 1] if place + 1 < len(self._words) else PAUSE
        word = self._vocabulary.synonyms.get(word, word)
        if word in self._vocabulary.negator_kinds and not (self._strict or self._code):
            return
        if word in roles.article:
            if self._strict or not opens_noun_phrase(behind, self._vocabulary):
                found.counted[word] += 1
        elif self._strict:
            found.counted[word] += 1
        elif word == "now" and (self._request or self._dated):
            return
        elif (
            word in ("so", "very")
            and not self._code
            and place + 1 < len(self._words)
            and self._concepts[place + 1]
        ):
            return
        elif word in roles.filler or word in roles.present:
            found.finite = found.finite or word in roles.present
            if self._code:
                found.counted[word] += 1
            elif word in roles.have:
                found.moods["have"] += 1
            elif word in roles.present:
                self._support(word, place)
        elif word in roles.past:
            if word != "been":
                found.moods["past"] += 1
                found.finite = True
                self._support(word, place)
        elif word in roles.modal:
            found.moods[word] += 1
        elif word in roles.owner and not opens_noun_phrase(behind, self._vocabulary):
            found.counted[word] += 1
        elif word in roles.owner:
            self._open.append((found.owners, word))
        elif word in roles.person:
            if word == "one" and behind in self._vocabulary.units:
                return
            if word == "one" and before in roles.leads_verb:
                word = "i"
            empty = word == "it" and (self._dated or self._extraposed(place))
            if not (word == "me" and self._request) and not empty:
                found.persons.append(word)
        elif word == "of":
            self._open_origins += 1
            found.idle["of"] += 1
        elif word in roles.relation:
            if word == "into" and self._vocabulary.stem(behind) in self._vocabulary.formats:
                word = "to"
            if word in ("for", "on") and self._attribute(place):
                self._open_origins += 1
                found.idle["of"] += 1
            elif not self._idle(word, behind, place):
                self._open.append((found.relations, word))
            elif word == "to":
                found.idle["to"] += 1
        elif not self._empty(word, before, behind):
            found.counted[word] += 1

    def _extraposed(self, place: int) -> bool:
        """Return whether "it" only stands for what follows with "to": "is it safe to eat"."""
        before = self._words[place - 1] if place else PAUSE
        asked = self._roles.present | self._roles.past | self._roles.modal
        if before not in asked and before != "howmuch":
            return False
        for at in range(place + 1, min(place + _CLAUSE, len(self._words) - 1)):
            if self._words[at] == PAUSE:
                return False
            if self._words[at] == "to" and self._concepts[at + 1]:
                return True
        return False

    def _attribute(self, place: int) -> bool:
        """Return whether what is before names an attribute: "the date of", "the date that is on"."""
        while place and self._words[place - 1] in ("is", "are", "that"):
            place -= 1
        return place > 0 and self._words[place - 1] in self._roles.attribute

    def _support(self, word: str, place: int) -> None:
        """Count "is" and "does", which may not stand for each other but in "is it taking"."""
        following = self._words[place + 1 : place + _CLAUSE]
        if word in self._roles.do:
            self._found.idle["do"] += 1
        elif not any(each.endswith("ing") for each in following):
            self._found.idle["be"] += 1

    def _idle(self, word: str, behind: str, place: int) -> bool:
        """Return whether a relation says nothing: "to" before a verb, "for me" in a request."""
        if word == "to":
            return place + 1 < len(self._words) and bool(self._concepts[place + 1])
        if word == "like":
            return self._kind == "how"
        return word == "for" and behind == "me" and self._request

    def _empty(self, word: str, before: str, behind: str) -> bool:
        """Return whether "that" only joins a clause, or "there" only goes with "is"."""
        roles = self._roles
        if word == "there":
            beside = roles.present | roles.past
            return before in beside or behind in beside or behind in roles.modal
        if word != "that" or before == PAUSE or before in self._vocabulary.function_words:
            return False
        starts = roles.person | roles.owner | roles.article | roles.present | roles.past
        return behind in starts or behind in roles.modal
