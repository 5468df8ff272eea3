"""Embed texts as unit vectors, with the bundled static model or the user's own embedder.

vectors.py      the `Embedder` protocol, and the check of a model's output
static.py       the bundled model, a table of token vectors in static_model/
embedders.py    a framework's embeddings as an `Embedder`: `as_embedder`, `passage_embed`
"""

from __future__ import annotations

from llm_optimizers.embeddings.embedders import (
    CachedEmbedder,
    FrameworkEmbedder,
    as_embedder,
    passage_embed,
)
from llm_optimizers.embeddings.static import STATIC_MODEL, StaticEmbedder
from llm_optimizers.embeddings.vectors import Embed, Embedder, Vectors, normalise_rows, unit_rows
from llm_optimizers.lazy import lazy_names

__all__ = [
    "STATIC_MODEL",
    "CachedEmbedder",
    "Embed",
    "Embedder",
    "FrameworkEmbedder",
    "StaticEmbedder",
    "Vectors",
    "as_embedder",
    "normalise_rows",
    "passage_embed",
    "unit_rows",
]

__getattr__, __dir__ = lazy_names(__name__, {}, renamed={"scaled": "normalise_rows"})
