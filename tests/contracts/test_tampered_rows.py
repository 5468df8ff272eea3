"""A cache file that others wrote to: no row raises, or answers for another tenant or question.

Each test changes one column of one row of a file with three answers: ours, another tenant's to the
same question, and ours to another question.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.caching import tenant
from support.frameworks import FRAMEWORKS, Framework, ask_by

ASKED, REWORDED, OTHER = (
    "How do I reset my password?",
    "How can I reset my password?",
    "Where is my parcel?",
)
COLUMNS = (
    *("sequence", "key", "normalised", "scope", "tenant", "question", "vector", "created"),
    *("expires", "model", "usage", "hits", "priority", "used"),
)
FORGED = (
    "NULL",
    "''",
    "'text'",
    "'[]'",
    '\'{"input_tokens": "many"}\'',
    "x'ff'",
    "x'0000803f'",  # a vector of one dimension and unit length
    "CAST(x'ff' AS TEXT)",
    "7",
    "-1",
    "1e300",
    "9e999",
    "-9e999",
    "9223372036854775807",
    "(SELECT {column} FROM entries WHERE tenant LIKE '%theirs%')",
    "(SELECT {column} FROM entries WHERE question = 'Where is my parcel?')",
)
PAYLOADS = (
    *("", "text", "null", "true", "0", '""', "{}", "[]", "[null]", "[[]]", "[{}]", "NaN"),
    '[{"text": "a completion", "info": null}]',
    '[{"text": 7, "info": null}]',
    '[{"message": null, "info": null}]',
    '{"text": "a completion", "logprobs": null, "additional_kwargs": {}, "model": "", '
    '"usage": null, "finish_reason": ""}',
    "[" * 100_000,
    '{"a":' * 100_000,
    "[" * 500 + "]" * 500,
)


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


@pytest.fixture
def original(framework: Framework, tmp_path: Path) -> Path:
    """The path of a file with the three answers."""
    path = tmp_path / "original.sqlite"
    for owner, text in (("theirs", ASKED), ("ours", ASKED), ("ours", OTHER)):
        with tenant(owner):
            cached = _cached(framework, path, f"stored for {owner}: {text}")
            ask_by(framework, "ask", cached, text)
            _close(cached)
    return path


def _cached(framework: Framework, path: Path, answer: str) -> Any:
    return framework.cached(framework.fake("gpt-4o", reply=lambda _: answer), path=path)


def _close(cached: Any) -> None:
    cached.cache.close()


def asked_of(framework: Framework, path: Path, method: str, text: str) -> tuple[str, Any]:
    """The answer for us from a new cache on this file, and the cache's counts."""
    cached = _cached(framework, path, "live")
    try:
        with tenant("ours"):
            return ask_by(framework, method, cached, text), framework.stats(cached)
    finally:
        _close(cached)


def changed(original: Path, statement: str, *values: Any) -> Path | None:
    """A copy of the file with our row changed; None if its constraints do not allow it."""
    path = original.with_name("changed.sqlite")
    for old in path.parent.glob("changed.sqlite*"):
        old.unlink()
    shutil.copy(original, path)
    with closing(sqlite3.connect(path)) as connection:
        try:
            with connection:
                connection.execute(
                    f"UPDATE OR REPLACE entries SET {statement}"
                    " WHERE tenant LIKE '%ours%' AND question = ?",
                    (*values, ASKED),
                )
        except (sqlite3.IntegrityError, sqlite3.OperationalError):
            return None
    return path


WAYS = [("ask", ASKED), ("stream", ASKED), ("ask", ASKED.lower()), ("ask", REWORDED)]


def test_the_file_answers_us_in_every_way(framework: Framework, original: Path) -> None:
    for method, text in WAYS:
        answer, stats = asked_of(framework, original, method, text)
        assert answer == f"stored for ours: {ASKED}"
        assert not stats.troubles


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_with_a_forged_value_never_raises_or_serves_anothers_answer(
    framework: Framework, original: Path, column: str
) -> None:
    tried = 0
    for forged in FORGED:
        for method, text in WAYS:
            path = changed(original, f"{column} = {forged.replace('{column}', column)}")
            if path is None:
                break
            tried += 1
            answer, _ = asked_of(framework, path, method, text)
            assert answer in ("live", f"stored for ours: {ASKED}"), (forged, method, text)
            other, _ = asked_of(framework, path, method, OTHER)
            assert other in ("live", f"stored for ours: {OTHER}"), (forged, method, text)
    assert tried


@pytest.mark.parametrize("column", ["key", "normalised", "scope", "tenant", "question"])
@pytest.mark.parametrize("owner", ["theirs", "ours"])
def test_the_row_of_another_with_our_columns_is_dropped_and_counted(
    framework: Framework, original: Path, column: str, owner: str
) -> None:
    """A row that was moved: every subset of the columns but the answer may say that it is ours."""
    source = f"(SELECT {column} FROM entries WHERE tenant LIKE '%ours%' AND question = '{ASKED}')"
    path = original.with_name("moved.sqlite")
    for method, text in WAYS:
        shutil.copy(original, path)
        question = ASKED if owner == "theirs" else OTHER
        with closing(sqlite3.connect(path)) as connection, connection:
            (value,) = connection.execute(f"SELECT {source}").fetchone()
            connection.execute(
                "DELETE FROM entries WHERE tenant LIKE '%ours%' AND question = ?", (ASKED,)
            )
            connection.execute(
                f"UPDATE entries SET {column} = ? WHERE tenant LIKE ? AND question = ?",
                (value, f"%{owner}%", question),
            )
        assert asked_of(framework, path, method, text)[0] == "live"
        path.unlink()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda text: text[:20])
@pytest.mark.parametrize("method", ["ask", "aask", "stream", "astream"])
def test_an_answer_of_another_form_is_dropped_and_counted(
    framework: Framework, original: Path, method: str, payload: str
) -> None:
    path = changed(original, "payload = ?", payload)
    assert path is not None
    answer, stats = asked_of(framework, path, method, ASKED)
    assert answer == "live"
    assert stats.troubles == {"poisoned entry dropped": 1}
    assert asked_of(framework, path, method, ASKED)[1].hits == {"exact": 1}


def _texts_within(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from _texts_within(item)


@pytest.mark.parametrize(
    "forged", [None, 7, "", "text", [], {}, [{}], {"a": 1}, True, -1.5, "human", "user"], ids=repr
)
def test_a_forged_value_anywhere_in_an_answer_never_raises(
    framework: Framework, original: Path, forged: Any
) -> None:
    with closing(sqlite3.connect(original)) as connection:
        (payload,) = connection.execute(
            "SELECT payload FROM entries WHERE question = ? AND tenant LIKE '%ours%'", (ASKED,)
        ).fetchone()
    for number, _ in enumerate(_texts_within(json.loads(payload))):
        whole = json.loads(payload)
        container, key = list(_texts_within(whole))[number]
        container[key] = forged
        path = changed(original, "payload = ?", json.dumps(whole))
        assert path is not None
        for method in ("ask", "stream"):
            answer, _ = asked_of(framework, path, method, ASKED)
            assert isinstance(answer, str)
            assert "theirs" not in answer


def test_one_damaged_row_does_not_stop_the_cache(framework: Framework, original: Path) -> None:
    with closing(sqlite3.connect(original)) as connection, connection:
        connection.execute("UPDATE entries SET priority = 'x', hits = 'x', used = x'00'")
        connection.execute("DELETE FROM aging")
    cached = _cached(framework, original, "live")
    with tenant("ours"):
        for _ in range(2):
            assert ask_by(framework, "ask", cached, "Do you ship to Norway?") == "live"
    assert framework.stats(cached).hits == {"exact": 1}
    _close(cached)
