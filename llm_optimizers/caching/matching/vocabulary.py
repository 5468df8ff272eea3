"""The words that the matching of questions knows: negators, opposites, units, question words.

They are read from `data/<language>/` when first used; data/README.md says how a language is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial

from llm_optimizers.text.stemming import ENGLISH, inflection_stem, stem, stopwords
from llm_optimizers.text.word_lists import (
    languages,
    read_fields,
    read_groups,
    read_lines,
    read_words,
)

__all__ = ["DATA_PACKAGE", "Grammar", "Sides", "Vocabulary", "is_loaded", "vocabulary_for"]

DATA_PACKAGE = "llm_optimizers.caching.matching"
"""The package whose data/ holds the word lists."""

_STATEMENT = "statement"
"""What compatible_kinds.txt calls the kind of a text that is no question."""

Sides = Mapping[str, tuple[tuple[str, str], ...]]
"""For each stem the (group, side) pairs it belongs to in a list of opposites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The roles in grammar.txt, which explains them."""

    auxiliary: frozenset[str]
    kind: frozenset[str]
    asking: frozenset[str]
    joins: frozenset[str]
    contracted: frozenset[str]
    connector: frozenset[str]
    switch: frozenset[str]
    symmetric: frozenset[str]
    suffix: frozenset[str]
    silent: frozenset[str]
    prefix: frozenset[str]
    date_lead: frozenset[str]
    shift: frozenset[str]
    period: frozenset[str]
    possessive: frozenset[str]
    vague_date: frozenset[str]
    vague_name: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """The roles in function_words.txt, which explains them."""

    attribute: frozenset[str]
    calendar: frozenset[str]
    article: frozenset[str]
    filler: frozenset[str]
    present: frozenset[str]
    past: frozenset[str]
    modal: frozenset[str]
    tense: frozenset[str]
    owner: frozenset[str]
    fixed: frozenset[str]
    near: frozenset[str]
    person: frozenset[str]
    relation: frozenset[str]
    counted: frozenset[str]
    light: frozenset[str]
    do: frozenset[str]
    have: frozenset[str]
    leads_verb: frozenset[str]
    obtains: frozenset[str]
    participle: frozenset[str]
    label: frozenset[str]
    amount: frozenset[str]
    label_verb: frozenset[str]
    strong: frozenset[str]
    abbreviation: frozenset[str]
    opens: frozenset[str]
    after_article: frozenset[str]
    mention: frozenset[str]
    mention_lead: frozenset[str]
    sign_lead: frozenset[str]
    sign_follows: frozenset[str]
    judged: frozenset[str]
    code_mention: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The word lists of one language.

    `function_words` are all that have a part in building a sentence; `finite` those of them that
    are whole verbs, `verb_leads` those that a verb may follow, `base_forms` gives the infinitive of
    those that are also verbs of their own. `evidence` are the stopwords of no other language,
    `foreign` those of others only. `spelled_out` gives the words of a contraction, `openings` and
    `closings` map the first, or last, word of a frame to its words. `negator_kinds` and `synonyms`
    map a word, or stem, to its group's first, `phrases` the first word of a phrase to (all its
    words, the word it means), longest first. `compatible_kinds` are pairs of kinds of question
    that may ask the same, `suffixes` what may be written onto a number.
    """

    language: str
    stem: Callable[[str], str]
    grammar: Grammar
    prefixes: tuple[str, ...]
    compatible_kinds: frozenset[frozenset[str]]
    functions: Functions
    function_words: frozenset[str]
    evidence: frozenset[str]
    foreign: frozenset[str]
    base_forms: Mapping[str, str]
    finite: frozenset[str]
    verb_leads: frozenset[str]
    mention_stems: frozenset[str]
    spelled_out: Mapping[str, tuple[str, ...]]
    openings: Mapping[str, list[tuple[str, ...]]]
    closings: Mapping[str, list[tuple[str, ...]]]
    negator_kinds: Mapping[str, str]
    failure_stems: frozenset[str]
    amount_stems: frozenset[str]
    light_stems: frozenset[str]
    synonyms: Mapping[str, str]
    phrases: Mapping[str, list[tuple[tuple[str, ...], str]]]
    opposites: Sides
    formats: Sides
    currencies: Mapping[str, str]
    units: Mapping[str, str]
    dates: Mapping[str, str]
    moments: frozenset[str]
    numbers: Mapping[str, float]
    scales: Mapping[str, float]
    ordinals: Mapping[str, float]
    suffixes: frozenset[str]
    period_stems: frozenset[str]


_loaded: set[str] = set()


def is_loaded(language: str) -> bool:
    """Whether `vocabulary_for` returns at once; reading the lists takes a fifth of a second."""
    return language in _loaded


@cache
def vocabulary_for(language: str) -> Vocabulary:
    """Return the vocabulary of a language, the English one for a language without lists."""
    found = _read_vocabulary(language) if language in languages(DATA_PACKAGE) else None
    found = found or vocabulary_for(ENGLISH)
    _loaded.add(language)
    return found


def _read_vocabulary(language: str) -> Vocabulary:
    stemmed = inflection_stem if language == ENGLISH else partial(stem, language=language)
    words = partial(read_words, language=language, package=DATA_PACKAGE)
    roles = {role: frozenset(listed) for role, listed in _fields("grammar", language).items()}
    grammar, functions = Grammar(**roles), _functions(language)
    negators = {
        word: group[0]
        for group in read_groups("negators", language, DATA_PACKAGE)
        for word in group
    }
    currencies, units = _meanings("currencies", language), _meanings("units", language)
    scales = _values("scales", language)
    others = frozenset[str]().union(*(stopwords(each) for each in languages() if each != language))
    frames = read_fields("frames", language, DATA_PACKAGE, separator=",")
    building = (
        functions.article, functions.filler, functions.present, functions.past, functions.modal,
        functions.owner, functions.person, functions.relation, functions.counted,
        functions.do, functions.have, grammar.kind, negators,
    )  # fmt: skip
    function_words = frozenset[str]().union(*building)
    synonyms = {
        stemmed(word): stemmed(group[0])
        for group in read_groups("synonyms", language, DATA_PACKAGE)
        for word in group
    }
    opposites = _sides("opposites", language, stemmed)
    own = {*synonyms, *opposites, *map(stemmed, functions.light), *_values("numbers", language)}
    return Vocabulary(
        language=language,
        stem=stemmed,
        grammar=grammar,
        prefixes=tuple(grammar.prefix),
        compatible_kinds=_pairs("compatible_kinds", language),
        functions=functions,
        function_words=function_words,
        evidence=stopwords(language) - others,
        foreign=frozenset(word for word in others if stemmed(word) not in own) - function_words,
        base_forms=dict.fromkeys(functions.do, "do") | dict.fromkeys(functions.have, "have"),
        finite=functions.tense - {"be", "being", "been"},
        verb_leads=functions.person | functions.modal | functions.do | functions.filler,
        mention_stems=frozenset(map(stemmed, functions.mention)),
        spelled_out=_fields("contractions", language),
        openings=_by_word(frames["opening"], 0),
        closings=_by_word(frames["closing"], -1),
        negator_kinds=negators,
        light_stems=frozenset(map(stemmed, functions.light)),
        amount_stems=frozenset(map(stemmed, functions.amount)),
        failure_stems=frozenset(map(stemmed, words("failure_words"))),
        synonyms=synonyms,
        phrases=_phrases(language),
        opposites=opposites,
        formats=_sides("formats", language, stemmed),
        currencies=currencies,
        units=units,
        dates=_meanings("dates", language),
        moments=words("moments"),
        numbers=_values("numbers", language),
        scales=scales,
        ordinals=_values("ordinals", language),
        suffixes=grammar.suffix.union(currencies, units, scales),
        period_stems=frozenset(map(stemmed, grammar.period)),
    )


def _fields(name: str, language: str) -> dict[str, tuple[str, ...]]:
    return read_fields(name, language, DATA_PACKAGE)


def _functions(language: str) -> Functions:
    listed = _fields("function_words", language)
    roles = {role: frozenset(words) for role, words in listed.items()}
    tense = roles["present"] | roles["past"] | roles["modal"]
    return Functions(**roles, tense=tense)


def _by_word(phrases: Iterable[str], place: int) -> dict[str, list[tuple[str, ...]]]:
    """Return phrases, longest first, by their first or last word."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=len, reverse=True):
        words = tuple(phrase.split())
        table.setdefault(words[place], []).append(words)
    return table


def _meanings(name: str, language: str) -> dict[str, str]:
    """Return each word of a list of `meaning: words` with its meaning."""
    return {word: meaning for meaning, words in _fields(name, language).items() for word in words}


def _values(name: str, language: str) -> dict[str, float]:
    return {word: float(meaning) for word, meaning in _meanings(name, language).items()}


def _pairs(name: str, language: str) -> frozenset[frozenset[str]]:
    """Return each field of a list paired with each of its words."""
    fields = _fields(name, language).items()
    kinds = {_STATEMENT: ""}
    return frozenset(
        frozenset((kinds.get(kind, kind), kinds.get(word, word)))
        for kind, words in fields
        for word in words
    )


def _phrases(language: str) -> Mapping[str, list[tuple[tuple[str, ...], str]]]:
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    listed = read_fields("phrases", language, DATA_PACKAGE, separator=",")
    for meaning, phrases in listed.items():
        for phrase in phrases:
            words = tuple(phrase.split())
            table.setdefault(words[0], []).append((words, meaning))
    for rows in table.values():
        rows.sort(key=lambda row: -len(row[0]))
    return table


def _sides(name: str, language: str, stemmed: Callable[[str], str]) -> Sides:
    table: dict[str, tuple[tuple[str, str], ...]] = {}
    for group in read_lines(name, language, DATA_PACKAGE):
        for side in group.split(" / "):
            for word in side.split():
                entry, key = (group, side), stemmed(word)
                if entry not in table.get(key, ()):
                    table[key] = (*table.get(key, ()), entry)
    return table
