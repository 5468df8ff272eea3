"""A framework's embeddings as an `Embedder`, and a memory for what was embedded lately.

`as_embedder` is for questions that are looked up in an index, `passage_embed` for retrieved
texts that are compared with a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.embeddings.static import StaticEmbedder
from llm_optimizers.embeddings.vectors import Embed, Embedder, Vectors, unit_rows
from llm_optimizers.errors import ConfigurationError

__all__ = ["CachedEmbedder", "FrameworkEmbedder", "as_embedder", "passage_embed"]

# Most embedding models see 512 tokens, some 256: about a thousand characters of English.
_FRAMEWORK_WINDOW = 1_000

_Row: TypeAlias = npt.NDArray[np.float32]


class FrameworkEmbedder:
    """A framework's embeddings object, recognised by its methods.

    LangChain's `embed_query`/`embed_documents` (with `aembed_query`/`aembed_documents` where
    there are) and LlamaIndex's `get_text_embedding` (`aget_text_embedding`,
    `get_text_embedding_batch`) are understood. An object without asynchronous methods is called
    in a thread by `aembed`.

    Questions are compared with questions, so all go through the method for one, which asymmetric
    models keep apart from the one for documents. Passages go through the one for documents, all
    in one request; a passage whose vector is zero stays zero instead of an error.

    Args:
        embeddings: The object.
        name: The `id`, which changes whenever the vectors would; made of the class and its model
            name if None. Give one if the object carries no name of its model.
        window: Characters that the model surely sees.
        passages: The texts are passages instead of questions.

    Raises:
        ConfigurationError: the object has none of these methods.
    """

    def __init__(
        self,
        embeddings: object,
        *,
        name: str | None = None,
        window: int = _FRAMEWORK_WINDOW,
        passages: bool = False,
    ) -> None:
        one = _method(embeddings, "embed_query", "get_text_embedding")
        if one is None:
            raise ConfigurationError(
                f"{type(embeddings).__name__} cannot embed: give an object with embed_query and "
                "embed_documents (LangChain) or get_text_embedding (LlamaIndex), or None for the "
                "bundled model"
            )
        self._one = one
        self._aone = _method(embeddings, "aembed_query", "aget_text_embedding")
        self._many = _method(embeddings, "embed_documents", "get_text_embedding_batch")
        self._passages = passages
        self._window = window
        self.id = name if name is not None else _name_of(embeddings)
        self.dimension: int | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. What the object raises passes through."""
        if self._passages and self._many is not None:
            return self._checked(self._many(list(texts)), len(texts))
        return self._checked([self._one(text) for text in texts], len(texts))

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.aembed`."""
        if self._aone is None or self._passages:
            return await asyncio.to_thread(self.embed, texts)
        return self._checked([await self._aone(text) for text in texts], len(texts))

    def covers(self, text: str) -> bool:
        """See `Embedder.covers`; counted in characters, since the tokeniser is unknown."""
        return len(text) <= self._window

    def _checked(self, rows: object, count: int) -> Vectors:
        vectors = unit_rows(rows, count, self.dimension, self.id, zeros=self._passages)
        if self.dimension is None and count:
            self.dimension = vectors.shape[1]
        return vectors


class CachedEmbedder:
    """Remembers the vectors of the last texts, so that a repeated one is embedded once.

    Failures are not remembered; every caller gets copies. Safe between threads.

    Args:
        embedder: What embeds texts that are not remembered.
        max_entries: How many texts are remembered; the least recently used leaves first.

    Raises:
        ConfigurationError: `max_entries` is below 1.
    """

    def __init__(self, embedder: Embedder, max_entries: int = 4_096) -> None:
        if max_entries < 1:
            raise ConfigurationError(f"max_entries is at least 1, not {max_entries}")
        self._embedder = embedder
        self._known: LRUCache[str, _Row] = LRUCache(max_entries)

    @property
    def id(self) -> str:
        """See `Embedder.id`: the embedder's own."""
        return self._embedder.id

    @property
    def dimension(self) -> int | None:
        """See `Embedder.dimension`."""
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        known, missing = self._recall(texts)
        fresh = self._embedder.embed(missing) if missing else ()
        return self._together(texts, known, missing, fresh)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.aembed`."""
        known, missing = self._recall(texts)
        fresh = await self._embedder.aembed(missing) if missing else ()
        return self._together(texts, known, missing, fresh)

    def covers(self, text: str) -> bool:
        """See `Embedder.covers`."""
        return self._embedder.covers(text)

    def _recall(self, texts: Sequence[str]) -> tuple[dict[str, _Row], list[str]]:
        """The rows that are remembered, and the texts, each once, that are not."""
        known = {text: row for text in texts if (row := self._known.get(text)) is not None}
        return known, [text for text in dict.fromkeys(texts) if text not in known]

    def _together(
        self,
        texts: Sequence[str],
        known: dict[str, _Row],
        missing: Sequence[str],
        fresh: Iterable[_Row],
    ) -> Vectors:
        """A row for each text; the fresh ones, those of `missing`, are remembered."""
        rows = {text: row.copy() for text, row in zip(missing, fresh, strict=True)}
        for text, row in rows.items():
            self._known.put(text, row)
        rows.update(known)
        if not texts:
            return np.zeros((0, self.dimension or 0), np.float32)
        return np.stack([rows[text] for text in texts])


def as_embedder(embeddings: object | None) -> Embedder:
    """The embedder for what a user passed: None is the bundled model.

    Raises:
        ConfigurationError: the object is no embedder of a known kind.
    """
    if embeddings is None:
        return StaticEmbedder()
    if isinstance(embeddings, Embedder):
        return embeddings
    return CachedEmbedder(FrameworkEmbedder(embeddings))


def passage_embed(embeddings: object | None) -> Embed:
    """Passages → unit rows, by what a user passed; None is the bundled model.

    A passage without a word that the model knows gets zeros, which are like nothing.

    Raises:
        ConfigurationError: the object is no embedder of a known kind.
    """
    if embeddings is None:
        return StaticEmbedder().word_vectors
    if isinstance(embeddings, Embedder):
        return embeddings.embed
    return CachedEmbedder(FrameworkEmbedder(embeddings, passages=True)).embed


def _method(owner: object, *names: str) -> Callable[..., Any] | None:
    for name in names:
        method: Callable[..., Any] | None = getattr(owner, name, None)
        if callable(method):
            return method
    return None


def _name_of(embeddings: object) -> str:
    """The class and whatever names the model; never the whole object, which may hold keys."""
    kind = type(embeddings)
    settings = [f"{kind.__module__}.{kind.__qualname__}"]
    for name in ("model", "model_name", "model_id", "deployment", "dimensions", "size"):
        value = getattr(embeddings, name, None)
        if isinstance(value, str | int):
            settings.append(f"{name}={value}")
    return ",".join(settings)
