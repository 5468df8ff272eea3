"""A cache key as JSON values, for an answer that comes later in another process."""

from __future__ import annotations

import json

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.keys import CacheKey, cache_key
from llm_optimizers.types import ChatRequest, Message

REQUESTS = {
    "plain": ChatRequest(messages=(Message(role="user", content="When?"),), model="m"),
    "with tools": ChatRequest(
        messages=(Message(role="user", content="When?"),), model="m", params={"tools": [{"a": 1}]}
    ),
    "with delivery": ChatRequest(
        messages=(Message(role="user", content="When?"),),
        model="m",
        params={"n": 2},
        delivery=(("service_tier", "flex"),),
    ),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_key_comes_back_the_same(request_: ChatRequest) -> None:
    key = cache_key(request_, tenant="acme", embedder="e")
    assert CacheKey.from_dict(json.loads(json.dumps(key.as_dict()))) == key


def test_an_answer_stored_by_a_read_key_is_served() -> None:
    cache = ResponseCache[str](semantic=False)
    key = cache.key(REQUESTS["plain"])
    assert key is not None
    cache.update(CacheKey.from_dict(key.as_dict()), "at noon")
    hit = cache.lookup(REQUESTS["plain"])
    assert hit is not None
    assert hit.value == "at noon"


@pytest.mark.parametrize("change", [{"more": 1}, {"delivery": 5}, {"unmatched": "never"}])
def test_what_is_no_key_is_refused(change: dict[str, object]) -> None:
    raw = cache_key(REQUESTS["plain"], tenant="acme").as_dict()
    with pytest.raises(ValueError, match=r"cache key|not a valid"):
        CacheKey.from_dict({**raw, **change})
    with pytest.raises(ValueError, match="cache key"):
        CacheKey.from_dict({})
