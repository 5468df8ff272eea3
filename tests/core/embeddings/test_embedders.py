from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llm_optimizers.embeddings import (
    STATIC_MODEL,
    CachedEmbedder,
    Embedder,
    FrameworkEmbedder,
    StaticEmbedder,
    Vectors,
    as_embedder,
    passage_embed,
    unit_rows,
)
from llm_optimizers.errors import ConfigurationError, StoreError


class LangChainLike:
    model = "some-model"

    def __init__(self, dimension: int = 3) -> None:
        self.dimension = dimension
        self.calls: list[str] = []

    def embed_query(self, text: str) -> list[float]:
        self.calls.append(text)
        return [float(len(text)), *([1.0] * (self.dimension - 1))]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class AsyncLangChainLike(LangChainLike):
    async def aembed_query(self, text: str) -> list[float]:
        await asyncio.sleep(0)
        self.calls.append(f"async {text}")
        return [float(len(text)), 1.0, 1.0]


class LlamaIndexLike:
    model_name = "other-model"

    def get_text_embedding(self, text: str) -> list[float]:
        return [1.0, float(len(text))]

    async def aget_text_embedding(self, text: str) -> list[float]:
        return [2.0, 2.0 * len(text)]


class Counting:
    id = "counting"
    dimension = 2

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.failing = False

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.failing:
            raise StoreError("down")
        self.texts.extend(texts)
        return unit_rows([[1.0, len(text)] for text in texts], len(texts), 2, "counting")

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def covers(self, text: str) -> bool:
        return len(text) < 5


def test_static_vectors_are_unit_rows_near_for_paraphrases() -> None:
    vectors = StaticEmbedder().embed(
        ["How do I cancel my order?", "how can i cancel an order", "Why is the sky blue?"]
    )
    assert vectors.shape == (3, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert vectors[0] @ vectors[1] > 0.85
    assert vectors[0] @ vectors[2] < 0.4


def test_static_id_follows_the_files(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((STATIC_MODEL / name).read_bytes())
    assert StaticEmbedder(tmp_path).id == StaticEmbedder().id
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (other / name).write_bytes((STATIC_MODEL / name).read_bytes())
    (other / "config.json").write_text("{}")
    assert StaticEmbedder(other).id != StaticEmbedder().id


def test_static_model_loads_as_model2vec_and_agrees_with_it() -> None:
    from model2vec import StaticModel

    text = "How do I export the monthly report?"
    theirs = StaticModel.from_pretrained(STATIC_MODEL).encode([text]).astype(np.float32)[0]
    ours = StaticEmbedder().embed([text])[0]
    assert ours @ theirs / np.linalg.norm(theirs) > 0.999


def test_static_is_the_same_from_many_threads() -> None:
    embedder = StaticEmbedder()
    texts = [f"What does error {number} mean?" for number in range(50)]
    alone = embedder.embed(texts)
    results: list[Vectors] = []
    threads = [
        threading.Thread(target=lambda: results.append(embedder.embed(texts))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, alone) for result in results)


async def test_static_async_agrees_with_sync() -> None:
    embedder = StaticEmbedder()
    assert np.array_equal(await embedder.aembed(["one text"]), embedder.embed(["one text"]))


def test_static_window() -> None:
    embedder = StaticEmbedder()
    assert embedder.covers("short")
    assert embedder.covers("word " * 500)
    assert not embedder.covers("word " * 513)
    assert not embedder.covers("x" * 100_000)
    assert embedder.embed(["word " * 100_000]).shape == (1, 128)


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_a_text_without_tokens_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="zero"):
        StaticEmbedder().embed([text])


def test_static_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model\.safetensors"):
        StaticEmbedder(tmp_path)


def test_unknown_words_have_zero_vectors() -> None:
    rows = StaticEmbedder().word_vectors(["refund", ""])
    assert np.linalg.norm(rows[0]) == pytest.approx(1.0)
    assert not rows[1].any()
    assert StaticEmbedder().word_vectors([]).shape == (0, 128)


def test_langchain_embeddings_work_without_langchain() -> None:
    embedder = FrameworkEmbedder(LangChainLike())
    assert embedder.dimension is None
    vectors = embedder.embed(["ab", "abc"])
    assert vectors.shape == (2, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    assert embedder.dimension == 3
    assert "some-model" in embedder.id


async def test_async_methods_are_used_if_available() -> None:
    source = AsyncLangChainLike()
    await FrameworkEmbedder(source).aembed(["x"])
    assert source.calls == ["async x"]
    blocking = LangChainLike()
    vectors = await FrameworkEmbedder(blocking).aembed(["x"])
    assert blocking.calls == ["x"]
    assert vectors.shape == (1, 3)


async def test_llama_index_embeddings_work_without_llama_index() -> None:
    embedder = FrameworkEmbedder(LlamaIndexLike())
    np.testing.assert_allclose(embedder.embed(["abc"]), await embedder.aembed(["abc"]), rtol=1e-6)
    assert "other-model" in embedder.id


def test_ids_of_two_models_differ() -> None:
    one, two = LangChainLike(), LangChainLike()
    two.model = "another"
    assert FrameworkEmbedder(one).id != FrameworkEmbedder(two).id
    assert FrameworkEmbedder(one, name="mine").id == "mine"


def own_embeddings(rows: dict[str, list[float]], *, upper: bool) -> Any:
    if upper:

        class Own:
            def __init__(self) -> None:
                self.rows = rows

            def embed_query(self, text: str) -> list[float]:
                return self.rows[text.upper()]

        return Own()

    class Own:  # type: ignore[no-redef]
        def __init__(self) -> None:
            self.rows = rows

        def embed_query(self, text: str) -> list[float]:
            return self.rows[text]

    return Own()


def test_classes_of_one_name_have_different_ids() -> None:
    ids = [
        FrameworkEmbedder(own_embeddings(rows, upper=upper)).id
        for rows in ({"a": [1.0]}, {"a": [2.0]})
        for upper in (False, True)
    ]
    assert len(set(ids)) == 4
    assert FrameworkEmbedder(own_embeddings({"a": [1.0]}, upper=True)).id == ids[1]


@pytest.mark.parametrize("setting", ["base_url", "encode_kwargs", "instruction"])
def test_every_setting_of_the_embeddings_changes_the_id(setting: str) -> None:
    one, two, same = LangChainLike(), LangChainLike(), LangChainLike()
    setattr(two, setting, {"a": "other"})
    assert FrameworkEmbedder(one).id != FrameworkEmbedder(two).id
    assert FrameworkEmbedder(one).id == FrameworkEmbedder(same).id


def test_the_address_of_a_client_changes_the_id() -> None:
    ids = []
    for url in ("http://a", "http://b", "http://a"):
        source = LangChainLike()
        source.client = SimpleNamespace(base_url=url)  # type: ignore[attr-defined]
        ids.append(FrameworkEmbedder(source).id)
    assert ids[0] == ids[2] != ids[1]


def test_embeddings_that_cannot_be_read_have_an_id_of_their_own() -> None:
    def locked() -> LangChainLike:
        source = LangChainLike()
        source.state = threading.Lock()  # type: ignore[attr-defined]
        return source

    assert FrameworkEmbedder(locked()).id != FrameworkEmbedder(locked()).id
    assert "some-model" in FrameworkEmbedder(locked()).id
    assert FrameworkEmbedder(locked(), name="mine").id == "mine"


def test_a_new_api_key_keeps_the_id() -> None:
    one, two = LangChainLike(), LangChainLike()
    two.api_key = "sk-new"  # type: ignore[attr-defined]
    assert FrameworkEmbedder(one).id == FrameworkEmbedder(two).id


def test_an_id_never_contains_an_api_key() -> None:
    source = LangChainLike()
    source.api_key = "sk-secret"  # type: ignore[attr-defined]
    assert "secret" not in FrameworkEmbedder(source).id


def test_an_object_that_cannot_embed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="embed_query"):
        FrameworkEmbedder(object())


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[1.0, float("nan")]], "not finite"),
        ([[1.0, float("inf")]], "not finite"),
        ([[0.0, 0.0]], "zero"),
        ([1.0, 2.0], "shape"),
        ([[1.0], [2.0]], "shape"),
        ([[]], "shape"),
        ([None], "shape|no table"),
        ([["a", "b"]], "no table"),
    ],
)
def test_bad_vectors_are_refused(rows: object, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        unit_rows(rows, 1, None, "a model")


def test_a_changed_dimension_is_refused_with_advice() -> None:
    source = LangChainLike()
    embedder = FrameworkEmbedder(source)
    embedder.embed(["x"])
    source.dimension = 5
    with pytest.raises(StoreError, match="make a new cache"):
        embedder.embed(["x"])


def test_cached_embedder_embeds_a_text_once_and_returns_copies() -> None:
    source = Counting()
    embedder = CachedEmbedder(source)
    first = embedder.embed(["a", "b", "a"])
    first[0] = 7.0
    again = embedder.embed(["a"])
    assert source.texts == ["a", "b"]
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1.0, rtol=1e-6)
    again[0] = 7.0
    assert embedder.embed(["a"])[0, 0] < 2
    assert (embedder.id, embedder.dimension) == ("counting", 2)
    assert embedder.covers("1234")
    assert not embedder.covers("12345")


async def test_cached_embedder_shares_its_cache_with_async_calls() -> None:
    source = Counting()
    embedder = CachedEmbedder(source)
    embedder.embed(["a"])
    assert (await embedder.aembed(["a", "b"])).shape == (2, 2)
    assert source.texts == ["a", "b"]
    assert embedder.embed([]).shape == (0, 2)


def test_cached_embedder_drops_the_least_recently_used_text() -> None:
    source = Counting()
    embedder = CachedEmbedder(source, max_entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        embedder.embed([text])
    assert source.texts == ["a", "b", "c", "b"]
    with pytest.raises(ConfigurationError, match="max_entries"):
        CachedEmbedder(source, max_entries=0)


def test_cached_embedder_does_not_cache_a_failure() -> None:
    source = Counting()
    embedder = CachedEmbedder(source)
    source.failing = True
    with pytest.raises(StoreError):
        embedder.embed(["a"])
    source.failing = False
    assert embedder.embed(["a"]).shape == (1, 2)


def test_as_embedder_accepts_every_supported_object() -> None:
    assert isinstance(as_embedder(None), StaticEmbedder)
    source = Counting()
    assert as_embedder(source) is source
    wrapped = as_embedder(LangChainLike())
    assert isinstance(wrapped, CachedEmbedder)
    assert isinstance(wrapped, Embedder)
    with pytest.raises(ConfigurationError):
        as_embedder("text-embedding-3-small")


class Documents(LangChainLike):
    """Embeds documents differently from questions, and returns zeros for unknown words."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append("|".join(texts))
        return [[float("a" in text), 0.0, 2.0 * ("b" in text)] for text in texts]


def test_passages_are_embedded_in_one_request_and_cached() -> None:
    own = Documents()
    embed = passage_embed(own)
    assert embed(["a", "b", "-"]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert embed(["b", "ab", "b"]).shape == (3, 3)
    assert own.calls == ["a|b|-", "ab"]


async def test_an_embedder_of_passages_works_asynchronously() -> None:
    embedder = FrameworkEmbedder(Documents(), passages=True)
    assert (await embedder.aembed(["a", "-"])).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_the_bundled_model_returns_zeros_for_unknown_passages() -> None:
    rows = passage_embed(None)(["refund", "\u0e44\u0e17\u0e22"])
    assert rows[0].any()
    assert not rows[1].any()
    with pytest.raises(StoreError):
        StaticEmbedder().embed(["\u0e44\u0e17\u0e22"])


def test_passages_use_a_given_embedder() -> None:
    own = StaticEmbedder()
    assert passage_embed(own) == own.embed
    with pytest.raises(ConfigurationError):
        passage_embed(object())
