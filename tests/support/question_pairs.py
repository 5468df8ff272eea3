"""Draw pairs of questions from templates and words; `lookalikes/README.md` explains the files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two questions, and the kind and section of the words that they were made of."""

    kind: str
    section: str
    first: str
    second: str


@dataclass(kw_only=True)
class Section:
    """A section of a file; a template with variants holds all of them."""

    kind: str
    name: str
    differ: list[list[str]] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    swap: list[list[str]] = field(default_factory=list)
    templates: list[list[str]] = field(default_factory=list)
    keeps_case: bool = False

    def add(self, line: str) -> None:
        """Read a line."""
        head, _, rest = line.partition(": ")
        words = rest.split(", ")
        if line == "keep case":
            self.keeps_case = True
        elif head == "differ":
            self.differ.append(words)
        elif head == "same":
            self.same += words
        elif head == "swap":
            self.swap.append(words)
        else:
            self.templates.append(line.split(" / ") if " / " in line else [line])

    def drawn(self, rng: random.Random) -> Pair:
        """Draw a template and its words, and how each of the two questions is typed."""
        variants = rng.choice(self.templates)
        first, second = rng.sample(variants, 2) if len(variants) > 1 else variants * 2
        if "{}" in first:
            one, other = rng.sample(rng.choice(self.differ), 2)
            first, second = first.replace("{}", one), second.replace("{}", other)
        if "{1}" in first:
            one, other = rng.sample(rng.choice(self.swap), 2)
            first = first.replace("{1}", one).replace("{2}", other)
            second = second.replace("{1}", other).replace("{2}", one)
        if "<>" in first + second:
            word = rng.choice(self.same)
            first, second = first.replace("<>", word), second.replace("<>", word)
        if not self.keeps_case:
            first, second = _typed(first, rng), _typed(second, rng)
        return Pair(kind=self.kind, section=self.name, first=first, second=second)


def sections(path: Path) -> list[Section]:
    """Read a file; its name is the kind."""
    found: list[Section] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            found.append(Section(kind=path.stem, name=line.strip("[]")))
        elif line and not line.startswith("# "):
            found[-1].add(line)
    return found


def draw(chosen: list[Section], count: int, rng: random.Random) -> Iterator[Pair]:
    """Draw different pairs, each section as often as it has templates."""
    weights = [len(section.templates) for section in chosen]
    seen = set()
    while len(seen) < count:
        pair = rng.choices(chosen, weights)[0].drawn(rng)
        if (pair.first, pair.second) not in seen:
            seen.add((pair.first, pair.second))
            yield pair


def _typed(text: str, rng: random.Random) -> str:
    """Return the text as it is, or as people type it: no capitals, apostrophes or end."""
    return text if rng.random() < 0.5 else text.lower().replace("'", "").rstrip("?.!")
