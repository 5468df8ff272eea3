"""Arrays as text: little-endian numbers, compressed, in base64. Only numbers can come out."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]

MAX_BYTES = 64 * 2**20
"""No array of a router is larger; more is a file made to fill the memory."""
_KINDS = {"f2": "<f2", "f4": "<f4", "i4": "<i4"}


def pack(values: NDArray[Any]) -> str:
    """Whole numbers as they are, others as float16 if that loses nothing to speak of."""
    flat = values.ravel()
    if np.issubdtype(flat.dtype, np.integer):
        kind = "i4"
    else:
        largest = float(np.abs(flat).max()) if len(flat) else 0.0
        # Below 2**-14 half precision thins out; small weights are kept in single precision.
        kind = "f2" if 0.5 < largest < 60_000 and len(flat) > 1_000 else "f4"
    data = zlib.compress(flat.astype(_KINDS[kind]).tobytes(), 6)
    return f"{kind}:{base64.b64encode(data).decode('ascii')}"


def unpack(text: str) -> NDArray[Any]:
    """The array, flat.

    Raises:
        ValueError: the text is no packed array, or one too large.
        zlib.error: its data is damaged.
    """
    kind, _, encoded = text.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"no array of kind {kind!r}")
    inflater = zlib.decompressobj()
    data = inflater.decompress(base64.b64decode(encoded, validate=True), MAX_BYTES)
    if not inflater.eof:
        raise ValueError("the array is cut short or too large")
    return np.frombuffer(data, dtype=_KINDS[kind])
