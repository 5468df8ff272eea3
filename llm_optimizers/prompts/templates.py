"""Find the templates of a log: texts that differ only in some parts, such as a name or documents.

Texts are compared by runs of three words, numbers masked. A run that many requests have is fixed;
the rest of a text is variable. Texts belong together if they have most of their fixed runs in
common, each weighted by its requests: documents that are sent now and then count little. A text
that was itself sent often is a template of its own.

A text's fixed runs are represented by a small sample in which the weight of a run decides whether
it is drawn, with the same draw for every text (bottom-k sampling, Cohen and Kaplan 2007,
https://doi.org/10.1145/1281100.1281133). So the time is linear in the log.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Template", "find_templates"]

_NUMBER = re.compile(r"\d+")
_FIRST, _LAST = 300, 100  # words of a text that are compared: instructions begin or end it
_BASE, _MASK = 1_000_003, 2**61 - 1
_MIX = 0x9E3779B97F4A7C15  # spreads numbers evenly over 64 bits
_MOST_RUNS = 1_000_000  # counted at the same time; rare ones are forgotten first
_FIXED_IN = 20  # requests, or one in a hundred if that is less
_SAMPLE = 64  # fixed runs
_ALIKE = 0.5  # of the samples of two texts, by weight
_ENOUGH = 8  # fixed runs of a text, in a log of many different texts
_MOSTLY = 0.5  # or this share of all its runs
_MANY = 20  # different texts
_MOST_GROUPS = 50  # with the same run that a text is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Texts of one template: the most frequent as an example, and how many there are.

    `requests` counts every occurrence, `texts` different texts, `characters` those of all requests.
    """

    example: str
    requests: int
    texts: int
    characters: int


def find_templates(counts: Mapping[str, int]) -> list[Template]:
    """Group texts, given with the number of requests each was sent in; most frequent first."""
    texts = sorted(counts, key=lambda text: -counts[text])
    least = max(2, min(_FIXED_IN, sum(counts.values()) // 100))
    frequency = _frequency(texts, counts)
    members: list[list[str]] = []
    samples: list[frozenset[int]] = []
    having: dict[int, list[int]] = {}
    for text in texts:
        own = set(_runs(text))
        fixed = {run for run in own if frequency[run] >= least}
        is_template = counts[text] >= least
        enough = len(fixed) >= _MOSTLY * len(own) or (len(texts) > _MANY and len(fixed) >= _ENOUGH)
        sample = _sample(fixed, frequency) if enough else frozenset()
        place = None if is_template else _most_alike(sample, samples, having, frequency)
        if place is None:
            place = len(members)
            members.append([])
            samples.append(sample)
            for run in sample:
                if len(groups := having.setdefault(run, [])) < _MOST_GROUPS:
                    groups.append(place)
        members[place].append(text)
    found = [_template(group, counts) for group in members]
    return sorted(found, key=lambda template: -template.requests)


def _runs(text: str) -> Iterator[int]:
    """Yield a number for each run of three words; for the whole text if it is shorter."""
    words = _NUMBER.sub("0", text).lower().split()
    if len(words) > _FIRST + _LAST:
        words = words[:_FIRST] + words[-_LAST:]
    numbers = [hash(word) for word in words]
    if len(numbers) < 3:
        yield hash(tuple(numbers)) & _MASK
    for a, b, c in zip(numbers, numbers[1:], numbers[2:], strict=False):
        yield ((a * _BASE + b) * _BASE + c) & _MASK


def _frequency(texts: Sequence[str], counts: Mapping[str, int]) -> Counter[int]:
    """Count the requests with each run; memory is bounded by forgetting the rarest."""
    found: Counter[int] = Counter()
    rare = 1
    for text in texts:
        for run in set(_runs(text)):
            found[run] += counts[text]
        while len(found) > _MOST_RUNS:
            found = Counter({run: count for run, count in found.items() if count > rare})
            rare += 1
    return found


def _sample(fixed: set[int], weight: Mapping[int, int]) -> frozenset[int]:
    """Draw fixed runs, heavier ones more probably; the same run is drawn alike for every text."""

    def order(run: int) -> float:
        drawn = ((run * _MIX & 2**64 - 1) + 1) / 2**64
        return -math.log(drawn) / weight[run]

    return frozenset(heapq.nsmallest(_SAMPLE, fixed, key=order))


def _most_alike(
    sample: frozenset[int],
    samples: Sequence[frozenset[int]],
    having: Mapping[int, Sequence[int]],
    weight: Mapping[int, int],
) -> int | None:
    """Return the group whose sample is most alike, None if none is alike enough."""
    shared: Counter[int] = Counter()
    for run in sample:
        for place in having.get(run, ()):
            shared[place] += weight[run]
    for place, common in shared.most_common(1):
        if common >= _ALIKE * sum(weight[run] for run in sample | samples[place]):
            return place
    return None


def _template(group: Sequence[str], counts: Mapping[str, int]) -> Template:
    return Template(
        example=group[0],
        requests=sum(counts[text] for text in group),
        texts=len(group),
        characters=sum(counts[text] * len(text) for text in group),
    )
