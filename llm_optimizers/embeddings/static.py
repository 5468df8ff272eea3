"""The bundled embedder: a table of token vectors, a tenth of a millisecond a question.

It is distilled from all-MiniLM-L6-v2 (scripts/distill_embedder.py) and stored in model2vec's
format: a text's vector is the sum of its tokens' vectors. It needs neither torch nor a network. It
ignores word order, so the matcher sets stricter thresholds for it than for a transformer.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_optimizers.arguments import instance
from llm_optimizers.connections.forks import Unforked
from llm_optimizers.embeddings.vectors import Vectors, normalise_rows, unit_rows
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["STATIC_MODEL", "StaticEmbedder"]

STATIC_MODEL = Path(__file__).parent / "static_model"
_STATIC_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_STATIC_WINDOW = 512
_AT_ONCE = 8  # texts embedded in an event loop: one takes up to a millisecond
# A token of BERT's vocabulary has at least one character, in English about four.
_TOKENISED_CHARACTERS = 16 * _STATIC_WINDOW


class StaticEmbedder(PickledAsArguments):
    """The bundled 128-dimensional static model, loaded on first use, once per process.

    Its `id` is a hash of the model's files.

    Args:
        path: A folder with another model in model2vec's format.

    Raises:
        ConfigurationError: one of the model's files is missing.
    """

    def __init__(self, path: str | Path = STATIC_MODEL) -> None:
        path = Path(instance("path", path, (str, Path), give="the path of a folder"))
        missing = [name for name in _STATIC_FILES if not (path / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"`path` is {str(path)!r}, which has no {' and no '.join(missing)}: reinstall "
                "llm-optimizers, or build the model with scripts/distill_embedder.py"
            )
        self._path = path

    @property
    def id(self) -> str:
        """See `Embedder.id`."""
        return f"static-{_digest(self._path)}"

    def __fingerprint__(self) -> str:
        return self.id

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory; then `embed` takes microseconds."""
        return self._path in _tables

    def warm_up(self) -> None:
        """Load the model now."""
        _load(self._path)

    @property
    def dimension(self) -> int:
        """See `Embedder.dimension`."""
        return int(_load(self._path).vectors.shape[1])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. A text without a known token raises StoreError."""
        rows = self._sums(texts)
        return unit_rows(rows, len(texts), rows.shape[1], "the bundled static model")

    def word_vectors(self, words: Sequence[str]) -> Vectors:
        """Return a unit row for each word or text, zeros if none of its tokens is known."""
        return normalise_rows(self._sums(words))

    def _sums(self, texts: Sequence[str]) -> Vectors:
        table = _load(self._path)
        rows = np.zeros((len(texts), table.vectors.shape[1]), np.float32)
        for row, text in zip(rows, texts, strict=True):
            tokens = table.tokens(text[:_TOKENISED_CHARACTERS])[:_STATIC_WINDOW]
            row[:] = table.weights[tokens] @ table.vectors[tokens].astype(np.float32)
        return rows

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.aembed`; only loading the model, and many texts, need a thread."""
        if self.loaded and len(texts) <= _AT_ONCE:
            return self.embed(texts)
        return await asyncio.to_thread(self.embed, texts)

    def covers(self, text: str) -> bool:
        """See `Embedder.covers`: 512 tokens."""
        if len(text) <= _STATIC_WINDOW:
            return True
        if len(text) > _TOKENISED_CHARACTERS:
            return False
        return len(_load(self._path).tokens(text)) <= _STATIC_WINDOW


@dataclass(frozen=True, slots=True)
class _Table:
    """The static model in memory: token vectors of shape (v, d), their weights, the tokeniser."""

    vectors: npt.NDArray[np.generic]
    weights: npt.NDArray[np.float32]
    tokenizer: Any
    unknown: int | None

    def tokens(self, text: str) -> list[int]:
        """Return the ids of the text's known tokens."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [token for token in ids if token != self.unknown]


_loading = Unforked()
_tables: dict[Path, _Table] = {}


def _load(path: Path) -> _Table:
    """Return the folder's model, which is read once per process even with several threads."""
    found = _tables.get(path)
    if found is None:
        with _loading:
            found = _tables.get(path) or _tables.setdefault(path, _read(path))
    return found


def _read(path: Path) -> _Table:
    # Imported here because caches with exact matching only do not need them.
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tensors = load_file(path / "model.safetensors")
    vectors = tensors["embeddings"]
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return _Table(
        vectors=vectors,
        weights=np.asarray(tensors.get("weights", np.ones(len(vectors))), np.float32),
        tokenizer=tokenizer,
        unknown=tokenizer.token_to_id("[UNK]"),
    )


@functools.lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for name in _STATIC_FILES:
        digest.update((path / name).read_bytes())
    return digest.hexdigest()[:16]
