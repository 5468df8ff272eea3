"""Over many values: two have one digest if and only if they are the same, in every process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.caching.keys import cache_key
from llm_optimizers.fingerprint import digest
from llm_optimizers.types import ChatRequest, Message

# Few values, so that many pairs are equal or almost.
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf]),
    st.sampled_from(["", "0", "1", "true", "True", "null", "None", "nan", "\x00kind", "set"]),
    st.sampled_from([b"", b"1"]),
)
KEYS = st.one_of(LEAVES.filter(lambda key: key == key), st.tuples(st.integers(0, 1)))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.tuples(inner),
        st.dictionaries(KEYS, inner, max_size=2),
        st.dictionaries(st.sampled_from(["\x00kind", "items", "sha256"]), inner, max_size=2),
        st.sets(KEYS, max_size=2),
        st.frozensets(KEYS, max_size=2),
    ),
    max_leaves=5,
)


def identity(value: Any) -> Any:
    """What makes two values the same to a provider, or tells them apart; hashable."""
    if isinstance(value, dict):
        items = ((identity(key), identity(item)) for key, item in value.items())
        return "mapping", frozenset(items)
    if isinstance(value, list | tuple):
        return "list", tuple(map(identity, value))
    if isinstance(value, set | frozenset):
        return "set", frozenset(map(identity, value))
    return type(value).__name__, repr(value)


@given(VALUES, VALUES)
def test_two_values_have_one_digest_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (identity(one) == identity(other))


@given(VALUES, VALUES)
def test_two_settings_have_one_key_only_if_they_are_the_same(one: Any, other: Any) -> None:
    message = Message(role="user", content="Hi?")
    keys = [
        cache_key(ChatRequest(messages=(message,), params={"setting": value}))
        for value in (one, other)
    ]
    assert (keys[0] == keys[1]) == (identity(one) == identity(other))


@given(st.lists(st.tuples(KEYS, LEAVES), max_size=4, unique_by=lambda pair: pair[0]))
def test_the_order_of_a_mapping_or_set_does_not_count(pairs: list[tuple[Any, Any]]) -> None:
    assert digest(dict(pairs)) == digest(dict(reversed(pairs)))
    assert digest({key for key, _ in pairs}) == digest({key for key, _ in reversed(pairs)})


def test_a_digest_is_the_same_in_every_process() -> None:
    tests = Path(__file__).parents[2]
    paths = os.pathsep.join([str(tests), *sys.path])
    found = {
        subprocess.run(
            [sys.executable, "-m", "support.digest_worker"],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (digests,) = found
    assert len(set(digests.split())) == len(digests.split()) >= 19
