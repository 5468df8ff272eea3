"""Tenants: customers who share a cache never see each other's answers."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from llm_optimizers.caching import ResponseCache, tenant
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.tenancy import current_tenant
from llm_optimizers.types import ChatRequest


def ask(text: str = "Where is my card?", owner: str = "") -> ChatRequest:
    return ChatRequest.from_openai({"messages": [{"role": "user", "content": text}]}, tenant=owner)


def test_different_ways_to_name_a_tenant_never_give_the_same_label() -> None:
    seen = set()
    for base, inner, own in itertools.product(["", "a", "a/b", "b"], repeat=3):
        with tenant(inner):
            seen.add(current_tenant(base, own))
    assert len(seen) == 64


def test_tenants_never_see_each_others_answers() -> None:
    cache: ResponseCache[str] = ResponseCache()
    for name in ("ann", "bob"):
        with tenant(name):
            assert cache.answer(ask(), lambda name=name: f"card of {name}").hit is None
    for name in ("ann", "bob"):
        with tenant(name):
            served = cache.lookup(ask("where is my card"))
            assert served is not None
            assert served.value == f"card of {name}"
    assert cache.lookup(ask()) is None


def test_a_namespace_function_is_called_for_every_request() -> None:
    names = iter(["ann", "bob", "ann"])
    cache: ResponseCache[str] = ResponseCache(namespace=lambda: next(names))
    cache.update(ask(), "hers")
    assert cache.lookup(ask()) is None
    assert cache.lookup(ask()) is not None


@pytest.mark.parametrize("namespace", [lambda: 1 / 0, lambda: None, lambda: 17])
def test_without_a_tenant_the_cache_is_bypassed(
    namespace: object, caplog: pytest.LogCaptureFixture
) -> None:
    cache: ResponseCache[str] = ResponseCache(namespace=namespace)  # type: ignore[arg-type]
    for _ in range(2):
        assert cache.answer(ask(), lambda: "live").value == "live"
    assert len(cache) == 0
    assert len([r for r in caplog.records if "namespace" in r.message]) == 1


@pytest.mark.parametrize("how", ["namespace", "block", "request", "block in namespace"])
def test_one_tenants_answers_can_be_removed(how: str) -> None:
    def owned(name: str) -> ResponseCache[str]:
        cache: ResponseCache[str] = ResponseCache(
            namespace={"namespace": name, "block in namespace": "app"}.get(how)
        )
        with tenant(name if how.startswith("block") else ""):
            cache.update(ask(owner=name if how == "request" else ""), "kept")
        assert len(cache) == 1
        return cache

    cache = owned("acme")
    cache.clear("other")
    assert len(cache) == 1
    cache.clear("acme")
    assert len(cache) == 0


def test_a_stream_belongs_to_the_tenant_that_started_it() -> None:
    cache: ResponseCache[list[str]] = ResponseCache()
    with tenant("ann"):
        chunks = cache.stream(ask(), lambda: iter(["a", "b"]), list, lambda hit: iter(hit.value))
    assert list(chunks) == ["a", "b"]
    assert cache.lookup(ask()) is None
    with tenant("ann"):
        assert cache.lookup(ask()) is not None


def test_a_new_thread_has_no_tenant() -> None:
    seen = []
    with tenant("ann"):
        thread = threading.Thread(target=lambda: seen.append(current_tenant()))
        thread.start()
        thread.join()
    assert seen == [""]


@pytest.mark.parametrize("name", [None, 7, b"ann"])
def test_a_name_that_is_not_a_string_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=type(name).__name__), tenant(name):
        raise AssertionError("inside")
