"""What is measured of a passage and of a sentence against a question: lexical features.

All are shares of the question's weight or other ratios near [0, 1], so that they mean the same
in any collection and any domain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from llm_optimizers.prompts.cues import AnswerKind, answer_kind, has_cue
from llm_optimizers.prompts.sentences import sentences
from llm_optimizers.prompts.spelling import mended
from llm_optimizers.prompts.terms import STOPWORDS, terms

__all__ = [
    "PASSAGE_FEATURES",
    "SENTENCE_FEATURES",
    "Asked",
    "Passage",
    "Read",
    "Sighting",
    "ask",
    "passage_features",
    "read",
    "sentence_features",
    "sight",
]

PASSAGE_FEATURES = (
    "bm25",  # with the title counted twice
    "coverage",  # share of the question's weight found in title or text
    "title_coverage",
    "title_named",  # share of the title's words that the question says
    "proximity",  # question's neighbouring words found near one another, in order
    "phrases",  # question's word pairs, stopwords too, found side by side
    "best_sentence",  # coverage of the best sentence with the title
    "best_pair",  # coverage of the best two sentences in a row
    "best_answering",  # coverage of the best sentence that has the asked shape of answer
    "has_answer_shape",
    "density",  # occurrences, at most four a word
    "words_found",  # unweighted share of the question's words
    "log_length",
)
SENTENCE_FEATURES = (
    "coverage",
    "coverage_with_title",
    "coverage_before",
    "coverage_after",
    "has_answer_shape",
    "shape_and_coverage",
    "first",
    "last",
    "log_length",
    "behind_best",  # how much less it covers than the best sentence of its passage
    "best",
    "after_best",
    "before_best",
    "phrases",
)

_K1, _B = 1.2, 0.75
_NEAR = 4


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

    The title stands first, and `_NEAR` empty places part it and the sentences from each other.
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
        start += len(words) + _NEAR
    return Sighting(
        title=masks[0],
        sentences=tuple(masks[1:]),
        places=places,
        shaped=tuple(has_cue(asked.kind, s, said) for s in passage.sentences),
        phrases=tuple(phrases),
    )


def passage_features(asked: Asked, passage: Read, seen: Sighting) -> list[float]:
    """One value for each of `PASSAGE_FEATURES`."""
    everywhere = seen.title
    for mask in seen.sentences:
        everywhere |= mask
    best = [asked.share(mask | seen.title) for mask in seen.sentences]
    nexts = seen.sentences[1:] or seen.sentences
    named = [t for t in passage.title if t not in STOPWORDS]
    length = passage.length
    counts = {t: len(seen.places.get(t, ())) for t in asked.weight}
    pairs = asked.adjacent and len(set().union(*seen.phrases)) / len(asked.adjacent)
    return [
        _bm25(asked, passage, counts, seen.title),
        asked.share(everywhere),
        asked.share(seen.title),
        sum(t in asked.words for t in named) / len(named) if named else 0.0,
        _proximity(asked, seen, everywhere),
        float(pairs or 0.0),
        max(best),
        max(asked.share(a | b) for a, b in zip(seen.sentences, nexts, strict=False)),
        max(b * (1.0 if s else 0.3) for b, s in zip(best, seen.shaped, strict=True)),
        float(any(seen.shaped)),
        sum(w * min(counts[t], 4) for t, w in asked.weight.items()),
        everywhere.bit_count() / max(1, len(asked.weight)),
        math.log(20 + length),
    ]


def sentence_features(asked: Asked, passage: Read, seen: Sighting) -> list[list[float]]:
    """For each sentence of the passage, one value for each of `SENTENCE_FEATURES`."""
    covers = [asked.share(mask) for mask in seen.sentences]
    best, last = max(covers), len(covers) - 1
    rows = []
    for at, cover in enumerate(covers):
        titled = asked.share(seen.sentences[at] | seen.title)
        before = covers[at - 1] if at else 0.0
        after = covers[at + 1] if at < last else 0.0
        phrases = len(seen.phrases[at + 1]) / len(asked.adjacent) if asked.adjacent else 0.0
        rows.append(
            [
                cover,
                titled,
                before,
                after,
                float(seen.shaped[at]),
                titled * seen.shaped[at],
                float(at == 0),
                float(at == last),
                math.log(5 + len(passage.words[at])),
                best - cover,
                float(cover == best),
                float(at > 0 and before == best),
                float(at < last and after == best),
                phrases,
            ]
        )
    return rows


def _bm25(asked: Asked, passage: Read, counts: Mapping[str, int], title: int) -> float:
    norm = 1 - _B + _B * (passage.length + 2 * len(passage.title)) / asked.average_length
    score = 0.0
    for term, weight in asked.weight.items():
        count = counts[term] + bool(title & asked.bits[term])
        score += weight * count / (count + _K1 * norm)
    return score


def _proximity(asked: Asked, seen: Sighting, everywhere: int) -> float:
    total = sum(asked.weight[a] + asked.weight[b] for a, b in asked.near)
    if not total:
        return asked.share(everywhere)
    found = 0.0
    for a, b in asked.near:
        behind = seen.places.get(b)
        if behind and _follows(seen.places.get(a, ()), behind):
            found += asked.weight[a] + asked.weight[b]
    return found / total


def _follows(first: Sequence[int], then: Sequence[int]) -> bool:
    """Whether any place of `then` comes within reach after a place of `first`; both ascend."""
    at = 0
    for place in first:
        while at < len(then) and then[at] <= place:
            at += 1
        if at < len(then) and then[at] - place <= _NEAR:
            return True
    return False
