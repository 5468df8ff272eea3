"""The parts of a document in chunks that are ranked as passages, and what parts get from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_optimizers.prompts.context.parts.part import Part

__all__ = ["Chunk", "chunks", "headers", "neighbours"]

_CHUNK = 1_200
"""Characters of text ranked as one passage; a longer document is ranked chunk by chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Parts of one document, ranked as a passage; `at` is the position of the first."""

    document: int
    at: int
    parts: tuple[Part, ...]


def chunks(document: int, parts: Sequence[Part]) -> list[Chunk]:
    """Group the parts of a long document into chunks of about `_CHUNK` characters."""
    grouped: list[Chunk] = []
    pending: list[Part] = []
    size = start = 0
    long = sum(len(part.text) + len(part.tail) for part in parts) > 2 * _CHUNK
    for at, part in enumerate(parts):
        if pending and long and size + len(part.text) > _CHUNK:
            grouped.append(Chunk(document=document, at=start, parts=tuple(pending)))
            pending, size, start = [], 0, at
        pending.append(part)
        size += len(part.text) + len(part.tail)
    if pending:
        grouped.append(Chunk(document=document, at=start, parts=tuple(pending)))
    return grouped


def neighbours(own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each part the sum of the probabilities before and after it, shape (m,)."""
    near = np.zeros_like(own)
    near[1:] += own[:-1]
    near[:-1] += own[1:]
    return near


def headers(chunk: Chunk, own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each part the sum of the probabilities of what stands around it, shape (m,)."""
    inside = range(chunk.at, chunk.at + len(own))
    return np.array(
        [
            sum(own[at - chunk.at] for at in part.needs if at in inside and not part.heading)
            for part in chunk.parts
        ]
    )
