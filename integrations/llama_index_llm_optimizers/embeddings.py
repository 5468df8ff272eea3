"""A store for `embeddings_cache` that keeps each embedding model's vectors apart.

LlamaIndex looks up vectors by their text alone, so two models on one store would get each other's
vectors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore
from llama_index_instrumentation import get_dispatcher

from llama_index_llm_optimizers.identity import identity_of_embedding
from llm_optimizers.arguments import instance, optional, text
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import store_outage
from llm_optimizers.fingerprint import digest_of_read
from llm_optimizers.holdout import is_held_out
from llm_optimizers.pickling import PickledAsArguments, check_fields

__all__ = [
    "EmbeddingCacheHitEvent",
    "EmbeddingsStore",
    "with_embeddings_cache",
]

_COMPONENT = "llm_optimizers.caching"
_dispatcher = get_dispatcher(__name__)
M = TypeVar("M", bound=BaseEmbedding)
T = TypeVar("T")


class EmbeddingCacheHitEvent(BaseEvent):
    """A text's vector came from the store; the span's end event lists the text all the same."""

    chunk: str

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEvent.class_name`."""
        return "EmbeddingCacheHitEvent"


def with_embeddings_cache(model: M, store: BaseKVStore | None = None) -> M:
    """Return a copy of the model that keeps its vectors in `store`, by default in memory.

    Raises:
        ConfigurationError: a setting of the model cannot be read, so that no safe namespace can be
            derived; give the model an `EmbeddingsStore` with your own namespace.
    """
    give = "an embedding model of LlamaIndex, such as OpenAIEmbedding(…)"
    instance("model", model, BaseEmbedding, give=give)
    namespace = digest_of_read(identity_of_embedding(model))[:16]
    return model.model_copy(update={"embeddings_cache": EmbeddingsStore(namespace, store)})


class EmbeddingsStore(PickledAsArguments, BaseKVStore):
    """The part of a key-value store that belongs to one namespace.

    If the store fails, a warning is logged once and the texts are embedded without it. Pickled, it
    comes back with the store given, or empty if none was given or that one cannot be pickled.

    Args:
        namespace: Names what the vectors depend on: the model, its dimensions and instructions.
        store: The store to use; by default a new one in memory.
    """

    def __init__(self, namespace: str, store: BaseKVStore | None = None) -> None:
        self._namespace = text("namespace", namespace)
        self._given = optional(instance, "store", store, BaseKVStore)
        self._store = store if store is not None else SimpleKVStore()
        self._outage = store_outage(
            _COMPONENT,
            "embeddings store",
            failed="the embeddings store failed, so texts are embedded again",
            recovered="the embeddings store works again",
        )

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`; an error would make LlamaIndex drop the store itself."""
        try:
            check_fields(type(self).__name__, {"store": self._given})
        except ConfigurationError as error:
            message = f"the copy begins with an empty store: {error}"
            emit(Notice(component=_COMPONENT, message=message))
            return {"store": None}
        return {}

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """See `BaseKVStore.put`."""
        self._attempt(lambda: self._store.put(key, val, self._namespaced(collection)), None)

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """See `BaseKVStore.aput`."""
        await self._aattempt(lambda: self._store.aput(key, val, self._namespaced(collection)), None)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """See `BaseKVStore.get`; nothing for a call that is held out."""
        if is_held_out():
            return None
        return _with_event(
            key, self._attempt(lambda: self._store.get(key, self._namespaced(collection)), None)
        )

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """See `BaseKVStore.aget`; nothing for a call that is held out."""
        if is_held_out():
            return None
        return _with_event(
            key,
            await self._aattempt(lambda: self._store.aget(key, self._namespaced(collection)), None),
        )

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """See `BaseKVStore.get_all`."""
        return self._attempt(lambda: self._store.get_all(self._namespaced(collection)), {})

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """See `BaseKVStore.aget_all`."""
        return await self._aattempt(lambda: self._store.aget_all(self._namespaced(collection)), {})

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """See `BaseKVStore.delete`."""
        return self._attempt(
            lambda: self._store.delete(key, self._namespaced(collection)), default=False
        )

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """See `BaseKVStore.adelete`."""
        return await self._aattempt(
            lambda: self._store.adelete(key, self._namespaced(collection)), default=False
        )

    def _namespaced(self, collection: str) -> str:
        return f"{collection}-{self._namespace}"

    def _attempt(self, act: Callable[[], T], default: T) -> T:
        try:
            found = act()
        except Exception as error:  # noqa: BLE001 - a user's store may raise anything
            self._outage.failed(error)
            return default
        self._outage.worked()
        return found

    async def _aattempt(self, act: Callable[[], Awaitable[T]], default: T) -> T:
        try:
            found = await act()
        except Exception as error:  # noqa: BLE001 - a user's store may raise anything
            self._outage.failed(error)
            return default
        self._outage.worked()
        return found


def _with_event(key: str, found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is not None:
        _dispatcher.event(EmbeddingCacheHitEvent(chunk=key))
    return found
