"""Memos of the process: short words, digests of texts, classes."""

from __future__ import annotations

import gc
import tracemalloc
from weakref import ref

from llm_optimizers.memos import of_class, of_text, of_word
from llm_optimizers.text.stemming import stem
from llm_optimizers.text.terms import terms


def test_a_word_is_read_once_and_a_long_one_is_not_kept() -> None:
    read: list[str] = []

    @of_word(10)
    def reading(word: str) -> str:
        read.append(word)
        return word.upper()

    long = "x" * 41
    assert [reading("word"), reading("word"), reading(long), reading(long)] == [
        *("WORD", "WORD"),
        *(long.upper(), long.upper()),
    ]
    assert read == ["word", long, long]


def test_words_of_a_megabyte_leave_memory() -> None:
    terms("warm up")
    tracemalloc.start()
    try:
        for number in range(5):
            word = f"w{number}" + "x" * 1_000_000
            assert terms(word, "english")
            assert stem(word)
        del word
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_text_is_read_once_and_not_kept() -> None:
    read: list[str] = []

    @of_text(10)
    def reading(text: str, strict: bool) -> bool:
        read.append(text)
        return strict

    tracemalloc.start()
    try:
        for _ in range(2):
            assert reading("a text " * 100_000, True)
            assert not reading("a text " * 100_000, False)
        assert len(read) == 2
        read.clear()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_a_class_is_read_once_and_let_go() -> None:
    read: list[str] = []

    @of_class
    def reading(kind: type, more: str = "") -> type:
        read.append(kind.__name__ + more)
        return kind

    class Mine:
        pass

    gone = ref(Mine)
    assert reading(Mine) is reading(Mine) is Mine
    assert reading(Mine, "+") is Mine
    assert read == ["Mine", "Mine+"]
    del Mine
    gc.collect()
    assert gone() is None
