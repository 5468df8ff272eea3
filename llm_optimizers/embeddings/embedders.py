"""Use a framework's embeddings as an `Embedder`, and cache the vectors of recent texts.

`as_embedder` is for questions that are looked up in an index, `passage_embed` for retrieved
passages that are compared with a question.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from llm_optimizers.arguments import flag, optional, refuse, text, whole, with_methods
from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.effects import awaits, in_thread
from llm_optimizers.embeddings.static import StaticEmbedder
from llm_optimizers.embeddings.vectors import Embed, Embedder, Vectors, unit_rows
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest_of_read, fingerprint, name_of, settings_of
from llm_optimizers.pickling import PickledAsArguments

__all__ = [
    "CachedEmbedder",
    "FrameworkEmbedder",
    "as_embedder",
    "check_embeddings",
    "passage_embed",
]

# Most embedding models read 512 tokens, some 256: about a thousand characters of English.
_FRAMEWORK_WINDOW = 1_000

_ONE = ("embed_query", "get_text_embedding")
_GIVE = (
    "an object with embed_query and embed_documents (LangChain) or get_text_embedding "
    "(LlamaIndex), or None for the bundled model"
)

_Row: TypeAlias = npt.NDArray[np.float32]
_MAX_BYTES = 2**26
_OVERHEAD = 300


class FrameworkEmbedder(PickledAsArguments):
    """An `Embedder` around a framework's embeddings object, recognised by its methods.

    Supported are LangChain's `embed_query`/`embed_documents` (and `aembed_query`) and LlamaIndex's
    `get_text_embedding`/`get_text_embedding_batch` (and `aget_text_embedding`). Without an
    asynchronous method, or with one that awaits nothing, `aembed` calls the object in a thread.

    Questions are compared with questions, so all use the query method, which asymmetric models
    implement differently from the document method. Passages use the document method, in one
    request; a passage whose vector is zero stays zero instead of raising an error.

    Args:
        embeddings: The embeddings object.
        name: The `id`; it must change whenever the vectors would. None makes one of the class and
            its model name; give one if the object does not state its model.
        window: Number of characters that the model certainly reads.
        passages: True if the texts are passages instead of questions.

    Raises:
        ConfigurationError: the object has none of these methods, or another argument is wrong.
    """

    def __init__(
        self,
        embeddings: object,
        *,
        name: str | None = None,
        window: int = _FRAMEWORK_WINDOW,
        passages: bool = False,
    ) -> None:
        optional(text, "name", name)
        flag("passages", passages)
        one = _method(embeddings, *_ONE)
        if one is None or isinstance(embeddings, type):
            refuse("embeddings", embeddings, _GIVE)
        self._one = one
        self._aone = _async_method(embeddings)
        self._many = _method(embeddings, "embed_documents", "get_text_embedding_batch")
        self._passages = passages
        self._window = whole("window", window, least=1)
        self.id = name if name is not None else _name_of(embeddings)
        self.dimension: int | None = None

    def __fingerprint__(self) -> str:
        return self.id

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. Errors of the embeddings object are not caught."""
        if self._passages and self._many is not None:
            return self._checked(self._many(list(texts)), len(texts))
        return self._checked([self._one(text) for text in texts], len(texts))

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.aembed`."""
        if self._aone is None or self._passages:
            return await in_thread(lambda: self.embed(texts))
        return self._checked([await self._aone(text) for text in texts], len(texts))

    def covers(self, text: str) -> bool:
        """See `Embedder.covers`; counts characters, since the tokeniser is unknown."""
        return len(text) <= self._window

    def _checked(self, rows: object, count: int) -> Vectors:
        vectors = unit_rows(rows, count, self.dimension, self.id, zeros=self._passages)
        if self.dimension is None and count:
            self.dimension = vectors.shape[1]
        return vectors


class CachedEmbedder(PickledAsArguments):
    """An `Embedder` that caches the vectors of recent texts, so that a repeat costs nothing.

    It keeps at most 64 MB of vectors, and digests instead of the texts. Failures are not cached;
    every caller gets a copy. Safe to share between threads.

    Args:
        embedder: The embedder for texts that are not cached.
        max_entries: How many texts are cached; the least recently used is dropped first.

    Raises:
        ConfigurationError: `max_entries` is below 1.
    """

    def __init__(self, embedder: Embedder, max_entries: int = 4_096) -> None:
        give = "an Embedder, such as StaticEmbedder() or FrameworkEmbedder(embeddings)"
        self._embedder: Embedder = with_methods(
            "embedder", embedder, "embed", "aembed", "covers", give=give
        )
        self._cached: LRUCache[bytes, _Row] = LRUCache(
            whole("max_entries", max_entries, least=1),
            max_bytes=_MAX_BYTES,
            size=lambda _, row: row.nbytes + _OVERHEAD,
        )

    @property
    def id(self) -> str:
        """See `Embedder.id`: the id of the wrapped embedder."""
        return self._embedder.id

    @property
    def dimension(self) -> int | None:
        """See `Embedder.dimension`."""
        return self._embedder.dimension

    def __fingerprint__(self) -> str:
        return self.id

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        cached, missing = self._find_cached(texts)
        new = self._embedder.embed(missing) if missing else ()
        return self._combine(texts, cached, missing, new)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.aembed`."""
        cached, missing = self._find_cached(texts)
        new = await self._embedder.aembed(missing) if missing else ()
        return self._combine(texts, cached, missing, new)

    def covers(self, text: str) -> bool:
        """See `Embedder.covers`."""
        return self._embedder.covers(text)

    def _find_cached(self, texts: Sequence[str]) -> tuple[dict[str, _Row], list[str]]:
        """Return the cached rows by text, and the other texts without duplicates."""
        found = {text: self._cached.get(_digest(text)) for text in texts}
        cached = {text: row for text, row in found.items() if row is not None}
        return cached, [text for text in dict.fromkeys(texts) if text not in cached]

    def _combine(
        self,
        texts: Sequence[str],
        cached: dict[str, _Row],
        missing: Sequence[str],
        new: Iterable[_Row],
    ) -> Vectors:
        """Cache the new rows (those of `missing`) and return one row for each text."""
        rows = {text: row.copy() for text, row in zip(missing, new, strict=True)}
        for each, row in rows.items():
            self._cached.put(_digest(each), row)
        rows.update(cached)
        if not texts:
            return np.zeros((0, self.dimension or 0), np.float32)
        return np.stack([rows[text] for text in texts])


def as_embedder(embeddings: object | None) -> Embedder:
    """Return the embedder for the object a user passed; None means the bundled model.

    Raises:
        ConfigurationError: the object cannot embed texts in a supported way.
    """
    if embeddings is None:
        return StaticEmbedder()
    if isinstance(embeddings, Embedder) and not isinstance(embeddings, type):
        return embeddings
    return CachedEmbedder(FrameworkEmbedder(embeddings))


def passage_embed(embeddings: object | None) -> Embed:
    """Return a function that embeds passages as unit rows; None means the bundled model.

    A passage without any word known to the model gets a row of zeros, similar to nothing.

    Raises:
        ConfigurationError: the object cannot embed texts in a supported way.
    """
    if embeddings is None:
        return StaticEmbedder().word_vectors
    if isinstance(embeddings, Embedder) and not isinstance(embeddings, type):
        return embeddings.embed
    return CachedEmbedder(FrameworkEmbedder(embeddings, passages=True)).embed


def _digest(passage: str) -> bytes:
    return hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def check_embeddings(argument: str, embeddings: object | None) -> None:
    """Check an object that a component was given to embed with. `argument` is its name.

    Raises:
        ConfigurationError: the object cannot embed texts in a supported way.
    """
    if embeddings is None:
        return
    if isinstance(embeddings, type) or not (
        isinstance(embeddings, Embedder) or _method(embeddings, *_ONE)
    ):
        refuse(argument, embeddings, _GIVE)


def _method(owner: object, *names: str) -> Callable[..., Any] | None:
    for name in names:
        method: Callable[..., Any] | None = getattr(owner, name, None)
        if callable(method):
            return method
    return None


def _async_method(embeddings: object) -> Callable[..., Any] | None:
    """Return the asynchronous method for a question; None if it would block the event loop.

    LlamaIndex's public method calls a private one, which by default computes at once.
    """
    found = _method(embeddings, "aembed_query", "aget_text_embedding")
    inner = getattr(embeddings, "_aget_text_embedding", None)
    calls = [found, inner if found is not None and inner is not None else found]
    return found if all(map(awaits, calls)) else None


def _name_of(embeddings: object) -> str:
    """Return the class, the settings that name the model, and a digest of all settings.

    An object whose content cannot be read gets a name of its own: its vectors are compared with
    none that another object made, or that were made before the program started.
    """
    kind = type(embeddings)
    settings = [name_of(kind)]
    for name in ("model", "model_name", "model_id", "deployment", "dimensions", "size"):
        value = getattr(embeddings, name, None)
        if isinstance(value, str | int):
            settings.append(f"{name}={value}")
    return ",".join([*settings, f"settings={_settings_digest(embeddings)}"])


def _settings_digest(embeddings: object) -> str:
    try:
        return digest_of_read(settings_of(embeddings, read=_read))[:16]
    except ConfigurationError:
        return f"unknown-{secrets.token_hex(8)}"


def _read(value: object) -> Any:
    """Read a setting; embeddings inside the embeddings by their own settings."""
    if isinstance(value, BaseModel):
        return digest_of_read(settings_of(value, read=_read))
    return fingerprint(value)
