"""A question and its passages read once: sentences, terms, weights, and where they meet.

A question's word is worth more the fewer of the passages hold it, and one that none holds is
taken for its likeliest misspelling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from llm_optimizers.prompts.context.cues import AnswerKind, answer_kind, has_cue
from llm_optimizers.prompts.context.spelling import mended
from llm_optimizers.text.sentences import sentences
from llm_optimizers.text.terms import STOPWORDS, terms

__all__ = ["NEAR", "Asked", "Passage", "Read", "Sighting", "ask", "read", "sight"]

NEAR = 4
"""Places within which two words count as near each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved text and the title it stands under."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A passage read once: its sentences and their terms."""

    sentences: tuple[str, ...]
    words: tuple[list[str], ...]
    title: list[str]

    @property
    def length(self) -> int:
        """Words of the text."""
        return sum(map(len, self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question's words, the weight of each topical one among some passages, and its kind."""

    words: tuple[str, ...]
    kind: AnswerKind
    weight: Mapping[str, float]
    bits: Mapping[str, int]
    near: tuple[tuple[str, str], ...]
    adjacent: Set[tuple[str, str]]
    average_length: float

    def share(self, mask: int) -> float:
        """The part of the question's weight that the words of a mask make up."""
        return sum(self.weight[term] for term, bit in self.bits.items() if mask & bit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Where a passage says the question's words: a mask a sentence, places in reading order.

    The title stands first, and `NEAR` empty places part it and the sentences from each other.
    """

    title: int
    sentences: tuple[int, ...]
    places: Mapping[str, list[int]]
    shaped: tuple[bool, ...]
    phrases: tuple[Set[tuple[str, str]], ...]


def read(passage: Passage, cut: tuple[str, ...] | None = None) -> Read:
    """Cut a passage into sentences (unless that is done) and terms."""
    cut = cut or tuple(sentences(passage.text)) or (passage.text,)
    return Read(
        sentences=cut,
        words=tuple(terms(sentence) for sentence in cut),
        title=terms(passage.title),
    )


def ask(question: str, passages: Sequence[Read]) -> Asked:
    """Weigh the question's words by how few of the passages hold them.

    A word that no passage holds is taken for its likeliest misspelling, if there is one.
    """
    vocabularies = [set(p.title).union(*p.words) for p in passages]
    said = terms(question)
    topical = [t for t in dict.fromkeys(said) if t not in STOPWORDS] or list(dict.fromkeys(said))
    unseen = [t for t in topical if not any(t in v for v in vocabularies)]
    meant = mended(unseen, vocabularies)
    said = [meant.get(t, t) for t in said]
    topical = list(dict.fromkeys(meant.get(t, t) for t in topical))
    rarity: dict[str, float] = {}
    for term in topical:
        count = sum(term in v for v in vocabularies)
        rarity[term] = math.log(1 + (len(passages) - count + 0.5) / (count + 0.5))
    scale = sum(rarity.values()) or 1.0
    spoken = [t for t in said if t in rarity]
    lengths = sum(p.length + 2 * len(p.title) for p in passages)
    return Asked(
        words=tuple(said),
        kind=answer_kind(question),
        weight={t: r / scale for t, r in rarity.items()},
        bits={t: 1 << at for at, t in enumerate(rarity)},
        near=tuple((a, b) for a, b in pairwise(spoken) if a != b),
        adjacent=set(pairwise(said)),
        average_length=max(1.0, lengths / max(1, len(passages))),
    )


def sight(asked: Asked, passage: Read) -> Sighting:
    """Find the question's words in a passage."""
    said = set(asked.words)
    places: dict[str, list[int]] = {}
    masks: list[int] = []
    phrases: list[Set[tuple[str, str]]] = []
    start = 0
    for words in (passage.title, *passage.words):
        mask, pairs = 0, set()
        hits = [(at, word) for at, word in enumerate(words) if word in said]
        for at, word in hits:
            mask |= asked.bits.get(word, 0)
            places.setdefault(word, []).append(start + at)
        for (at, word), (then, following) in pairwise(hits):
            if then == at + 1 and (word, following) in asked.adjacent:
                pairs.add((word, following))
        masks.append(mask)
        phrases.append(pairs)
        start += len(words) + NEAR
    return Sighting(
        title=masks[0],
        sentences=tuple(masks[1:]),
        places=places,
        shaped=tuple(has_cue(asked.kind, s, said) for s in passage.sentences),
        phrases=tuple(phrases),
    )
