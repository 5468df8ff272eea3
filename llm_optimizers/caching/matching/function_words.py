"""Read the small words of a question, any of which may be what is asked.

Every word counts. Content words are compared elsewhere; of the words that build a sentence, each
leaves a mark, and two texts match only if their marks are the same, but for what is listed as
harmless in data/ (function_words.txt says what each role means):

- Left out: articles before a noun phrase, fillers, the present tense ("is", "do"), "that" before
  a clause, "to" before a verb, "of", "there" beside "is"; openings and closings (frames.txt).
- Replaced: words of one group (synonyms.txt) and phrases of one meaning (phrases.txt).
- Only in one text: the asker's "my", "our" and "your", never "my" here and "your" there; and any
  word that is not strong, as long as no other one stands in its place (function_guard.py).
- A preposition belongs to the word after it, persons keep their order.

A letter that stands alone is a name, but for "a" before a noun phrase and "I" as a subject. In a
text about words or signs, and after "use" or "between", nothing is left out (word_use.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.amounts import PLACEHOLDER
from llm_optimizers.caching.matching.tokens import PAUSE
from llm_optimizers.caching.matching.vocabulary import Vocabulary
from llm_optimizers.caching.matching.word_use import CLAUSE, opens_noun_phrase

__all__ = ["FunctionWords", "Reading", "read_function_words"]


@dataclass(slots=True)
class FunctionWords:
    """The marks of a text.

    `persons` are in order; `owners`, `relations`, `origins` ("of") and `amounts` (the first,
    second, ... of the text) go with the concept that they belong to; `moods` are the tenses and
    modal verbs; `counted` is everything else. `idle` words say nothing, but may not stand for each
    other. A text that speaks about words is `strict`. `finite` is whether it has a verb that tells
    the time; it `defines` if it asks what a thing is in general, not the asker's.
    """

    persons: list[str] = field(default_factory=list)
    owners: Counter[tuple[str, str]] = field(default_factory=Counter)
    relations: Counter[tuple[str, str]] = field(default_factory=Counter)
    origins: Counter[tuple[str, str]] = field(default_factory=Counter)
    amounts: Counter[tuple[str, str]] = field(default_factory=Counter)
    moods: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    idle: Counter[str] = field(default_factory=Counter)
    strict: bool = False
    finite: bool = False
    defines: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of a text; `concepts` has "" for each word that is no content word.

    The word at `kind_at` is the question word, which is compared by its kind.
    """

    words: list[str]
    concepts: list[str]
    vocabulary: Vocabulary
    kind: str
    kind_at: int
    about_words: bool
    about_code: bool


def read_function_words(text: Reading) -> FunctionWords:
    """Read the marks of a text."""
    return _Reader(text).read(text.kind_at)


class _Reader:
    """Goes through the words of a text; what belongs to a concept waits for the next one."""

    def __init__(self, text: Reading) -> None:
        self._words = [*text.words, PAUSE]
        self._concepts = [*text.concepts, ""]
        self._vocabulary = text.vocabulary
        self._roles = text.vocabulary.functions
        self._kind = text.kind
        self._request = text.kind in ("", "canyou") and self._words[0] not in self._roles.person
        self._dated = False
        self._all, self._code = text.about_words, text.about_code
        self._found = FunctionWords(strict=self._all or self._code)
        self._open: list[tuple[Counter[tuple[str, str]], str]] = []
        self._numbers = 0

    def read(self, kind_at: int) -> FunctionWords:
        """Read all words."""
        roles, words = self._roles, self._words
        self._dated = not roles.calendar.isdisjoint(words[kind_at + 1 : kind_at + 5])
        if self._kind in ("what", "who") and words[kind_at + 1] in roles.present:
            behind = words[kind_at + 2 : kind_at + 3]
            content = self._concepts[kind_at + 2 : kind_at + 3]
            self._found.defines = behind in (["a"], ["an"]) or content not in ([""], [])
        for place, word in enumerate(words):
            concept = self._concepts[place]
            if concept and word in self._vocabulary.base_forms:
                self._found.finite = True
                self._found.moods["past"] += word in roles.past
            if word == PLACEHOLDER and (place == 0 or words[place - 1] != PLACEHOLDER):
                self._numbers += 1
                self._open.append((self._found.amounts, str(self._numbers)))
            elif concept or word == PAUSE:
                for table, waiting in self._open:
                    table[waiting, concept] += 1
                self._open.clear()
            elif word in self._vocabulary.function_words and place != kind_at:
                self._mark(self._vocabulary.synonyms.get(word, word), place)
        return self._found

    def _mark(self, word: str, place: int) -> None:
        roles, found, behind = self._roles, self._found, self._words[place + 1]
        if word in roles.article:
            if self._all or not opens_noun_phrase(behind, self._vocabulary):
                found.counted[word] += 1
        elif self._all:
            found.counted[word] += 1
        elif word in self._vocabulary.negator_kinds and not self._code:
            return  # counted with the negations
        elif word in roles.tense or word in roles.filler:
            self._mark_verb(word, place)
        elif word in roles.owner and opens_noun_phrase(behind, self._vocabulary):
            self._open.append((found.owners, word))
        elif word in roles.person:
            self._mark_person(word, place)
        elif word == "of" or word in roles.relation:
            self._mark_relation(word, place)
        elif not self._empty(word, place):
            found.counted[word] += 1

    def _mark_verb(self, word: str, place: int) -> None:
        roles, found = self._roles, self._found
        if word in roles.modal:
            found.moods[word] += 1
            return
        if self._code:
            found.counted[word] += 1
        elif word == "had":
            found.moods["had"] += 1
        elif word in roles.past:
            found.moods["past"] += word != "been"
        elif word in roles.have:
            found.moods["have"] += 1
        found.finite = found.finite or (word not in roles.filler and word != "been")
        if word in roles.do:
            found.idle["do"] += 1
        elif word in roles.present or word in ("was", "were"):
            # "Is it taking long" and "does it take long" are the same.
            following = self._words[place + 1 : place + CLAUSE]
            if word not in roles.have and not any(each.endswith("ing") for each in following):
                found.idle["be"] += 1

    def _mark_person(self, word: str, place: int) -> None:
        before = self._words[place - 1] if place else PAUSE
        if word == "one":
            if self._words[place + 1] in self._vocabulary.units:
                return
            if before in self._roles.leads_verb:
                word = "i"
        if word == "me" and self._request:
            self._found.idle["me"] += 1
            return
        if word == "it" and (self._dated or self._extraposed(place, before)):
            return
        self._found.persons.append(word)

    def _mark_relation(self, word: str, place: int) -> None:
        found, behind = self._found, self._words[place + 1]
        if word == "into" and self._vocabulary.stem(behind) in self._vocabulary.formats:
            word = "to"
        if word == "of" or (word in ("for", "on") and self._attribute(place)):
            self._open.append((found.origins, "of"))
            found.idle["of"] += 1
        elif word == "to" and self._concepts[place + 1]:
            found.idle["to"] += 1
        elif not (
            (word == "like" and self._kind == "how")
            or (word == "for" and behind == "me" and self._request)
        ):
            self._open.append((found.relations, word))

    def _extraposed(self, place: int, before: str) -> bool:
        """Return whether "it" only stands for what follows with "to": "is it safe to eat"."""
        if before not in self._roles.tense and before != "howmuch":
            return False
        for at in range(place + 1, min(place + CLAUSE, len(self._words) - 1)):
            if self._words[at] == PAUSE:
                return False
            if self._words[at] == "to" and self._concepts[at + 1]:
                return True
        return False

    def _attribute(self, place: int) -> bool:
        """Return whether what is before names an attribute: "the date of", "the date that is"."""
        while place and self._words[place - 1] in ("is", "are", "that"):
            place -= 1
        return place > 0 and self._words[place - 1] in self._roles.attribute

    def _empty(self, word: str, place: int) -> bool:
        """Return whether a word only joins, points at what is there anyway, or adds emphasis."""
        before = self._words[place - 1] if place else PAUSE
        behind, roles = self._words[place + 1], self._roles
        if self._code:
            return False
        if word == "now":
            return self._request or self._dated
        if word in ("so", "very"):
            return bool(self._concepts[place + 1])
        if word == "there":
            return before in roles.tense or behind in roles.tense
        if word != "that" or before == PAUSE or before in self._vocabulary.function_words:
            return False
        starts = (roles.person, roles.owner, roles.article, roles.tense)
        return any(behind in words for words in starts)
