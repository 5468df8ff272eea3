"""How a word is used: a letter as a name, a verb or an auxiliary, a word that is spoken about."""

from __future__ import annotations

from llm_optimizers.caching.matching.tokens import PAUSE
from llm_optimizers.caching.matching.vocabulary import Vocabulary

__all__ = ["CLAUSE", "is_name", "is_verb", "opens_noun_phrase", "speaks_of_words"]

CLAUSE = 6
"""Words behind an auxiliary among which the rest of its verb is looked for."""


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
        return before not in roles.label_verb or not _expects_verb(ahead.lower(), vocabulary)
    if letter.lower() == "a":
        return letter == "A" or not opens_noun_phrase(behind, vocabulary)
    joined = behind in ("and", "or", PAUSE) and before not in vocabulary.function_words
    subject = before == PAUSE or before in vocabulary.function_words or before in roles.filler
    verb = behind in vocabulary.function_words and behind not in roles.relation
    return joined or not (subject or verb)


def _expects_verb(before: str, vocabulary: Vocabulary) -> bool:
    """Return whether a verb may follow a word: "to", "i", "can", the start."""
    return before in vocabulary.verb_leads or before in (PAUSE, "to", "and", "not")


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
        for each in words[place + 1 : place + 1 + CLAUSE]
    )


def speaks_of_words(words: list[str], vocabulary: Vocabulary) -> tuple[bool, bool]:
    """Return whether a text speaks about words, and whether about code."""
    roles, known = vocabulary.functions, vocabulary.function_words
    if not roles.judged.isdisjoint(words) and not {"say", "write", PAUSE}.isdisjoint(words[1:-1]):
        return True, False
    finite = vocabulary.finite
    for place, word in enumerate(words):
        if vocabulary.stem(word) in vocabulary.mention_stems:
            return True, False
        before = words[place - 1] if place else ""
        if word in ("mean", "means") and before in known and before not in roles.person:
            return True, False
        if before in finite and word in finite and word not in roles.have:
            return True, False
        behind = words[place + 1] if place + 1 < len(words) else PAUSE
        if (
            before in roles.mention_lead
            and word in known
            and not (opens_noun_phrase(behind, vocabulary) and word not in roles.present)
        ):
            return True, False
    return False, not roles.code_mention.isdisjoint(words)
