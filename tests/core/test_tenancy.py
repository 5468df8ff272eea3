"""Tenants: customers who share a cache never see each other's answers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from llm_optimizers.caching import ResponseCache, tenant
from llm_optimizers.caching.keys import cache_key
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.tenancy import CallerTenant, current_tenant
from llm_optimizers.types import ChatRequest


def ask(text: str = "Where is my card?", owner: str = "") -> ChatRequest:
    return ChatRequest.from_openai({"messages": [{"role": "user", "content": text}]}, tenant=owner)


def test_different_ways_to_name_a_tenant_never_give_the_same_label() -> None:
    seen = set()
    for base, inner, own in itertools.product(["", "a", "a/b", "b"], repeat=3):
        with tenant(inner) if inner else nullcontext():
            seen.add(current_tenant(base or None, own))
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


@pytest.mark.parametrize(
    "namespace", [lambda: 1 / 0, lambda: None, lambda: 17, lambda: "", lambda: " "]
)
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
        with tenant(name) if how.startswith("block") else nullcontext():
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


@pytest.mark.parametrize("name", [None, 7, b"ann", "", " ", "\t\n"], ids=repr)
def test_a_missing_or_empty_name_is_refused(name: Any) -> None:
    match = "`name` is .*; give the tenant's name"
    with pytest.raises(ConfigurationError, match=match), tenant(name):
        raise AssertionError("inside")
    with tenant("ann"), pytest.raises(ConfigurationError, match=match), tenant(name):
        raise AssertionError("inside")


@pytest.mark.parametrize("name", ["", "  ", 7, b"ann"], ids=repr)
def test_a_fixed_namespace_without_a_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="`namespace` is"):
        ResponseCache(namespace=name)


@pytest.mark.parametrize("owner", [None, 7, " "], ids=repr)
def test_a_request_without_a_usable_tenant_is_not_cached(owner: Any) -> None:
    cache: ResponseCache[str] = ResponseCache()
    for answer in ("first", "second"):
        assert cache.answer(ask(owner=owner), lambda answer=answer: answer).value == answer
    assert len(cache) == 0
    assert cache.stats.troubles
    with pytest.raises(ConfigurationError):
        cache_key(ask(owner=owner))


class Lazy:
    """Stands for a string that changes with the request, as frameworks' lazy objects do."""

    def __init__(self, names: list[Any]) -> None:
        self._names = names

    @property
    def __class__(self) -> Any:
        return type(self._names[0])

    def __str__(self) -> str:
        return str(self._names[0])


def test_a_lazy_name_is_read_when_the_block_begins() -> None:
    names: list[Any] = ["ann"]
    with tenant(Lazy(names)):  # type: ignore[arg-type]
        names[0] = "bob"
        assert current_tenant() == _label_of("ann")
    for missing in (None, ""):
        names[0] = missing
        with pytest.raises(ConfigurationError), tenant(Lazy(names)):  # type: ignore[arg-type]
            raise AssertionError("inside")


def _label_of(name: str) -> str:
    with tenant(name):
        return current_tenant()


def test_a_name_of_an_enumeration_is_its_value() -> None:
    class Customer(str, enum.Enum):  # noqa: UP042 - its `str()` is not its value
        ANN = "ann"

    with tenant(Customer.ANN):
        assert current_tenant() == _label_of("ann")


async def test_an_async_context_manager_may_yield_inside_a_block() -> None:
    @contextlib.asynccontextmanager
    async def request_of(name: str) -> AsyncIterator[None]:
        with tenant(name):
            yield

    async def pages() -> AsyncIterator[str]:
        with tenant("ann"):
            async with request_of("bob"):
                yield current_tenant()
            yield current_tenant()

    expected = [_label_of("bob"), _label_of("ann")]
    assert [page async for page in pages()] == expected


def steps(name: str, cache: ResponseCache[str], count: int = 3) -> Iterator[str]:
    """A generator that yields inside its block; each step asks with its own text."""
    with tenant(name):
        for number in range(count):
            yield cache.answer(ask(f"Step {number}?"), lambda: f"for {name}").value


async def async_steps(name: str, cache: ResponseCache[str], count: int = 3) -> AsyncIterator[str]:
    with tenant(name):
        for number in range(count):
            await asyncio.sleep(0)
            yield cache.answer(ask(f"Step {number}?"), lambda: f"for {name}").value


def test_a_generator_read_in_one_context_keeps_its_tenant() -> None:
    cache: ResponseCache[str] = ResponseCache()
    assert list(steps("ann", cache)) == ["for ann"] * 3
    assert list(steps("bob", cache)) == ["for bob"] * 3
    assert list(steps("ann", cache)) == ["for ann"] * 3
    assert sum(cache.stats.hits.values()) == 3
    assert not cache.stats.troubles
    assert current_tenant() == ""


def test_a_generator_whose_steps_run_in_other_contexts_shares_nothing() -> None:
    """As web frameworks read one: each piece in a thread with its own copy of the context."""
    cache: ResponseCache[str] = ResponseCache()
    for name in ("ann", "bob"):
        stream = steps(name, cache)
        read = [contextvars.copy_context().run(next, stream) for _ in range(3)]
        assert read == [f"for {name}"] * 3
        with pytest.raises(ConfigurationError, match="another context"):
            contextvars.copy_context().run(next, stream)
    assert cache.stats.troubles
    assert list(steps("ann", cache, 1)) == ["for ann"]
    assert cache.stats.hits == {"exact": 1}


async def test_an_async_generator_whose_steps_run_in_other_tasks_shares_nothing() -> None:
    cache: ResponseCache[str] = ResponseCache()

    async def step(stream: AsyncIterator[str]) -> str:
        return await anext(stream)

    for name in ("ann", "bob"):
        stream = async_steps(name, cache)
        assert [await asyncio.create_task(step(stream)) for _ in range(3)] == [f"for {name}"] * 3
        with pytest.raises(ConfigurationError, match="another context"):
            await asyncio.create_task(step(stream))


@pytest.mark.parametrize("order", ["ababab", "abbbaa", "abaabb", "aabbab"])
def test_generators_read_in_turns_share_nothing(order: str) -> None:
    cache: ResponseCache[str] = ResponseCache()
    streams = {"a": steps("ann", cache), "b": steps("bob", cache)}
    owners = {"a": "for ann", "b": "for bob"}
    for which in order:
        assert next(streams[which]) == owners[which]
    for which in "ab":
        assert list(streams[which]) == []
    assert current_tenant() == ""
    assert cache.lookup(ask("Step 0?")) is None
    assert list(steps("ann", cache)) == ["for ann"] * 3


async def test_async_generators_read_in_turns_share_nothing() -> None:
    cache: ResponseCache[str] = ResponseCache()
    first, second = async_steps("ann", cache), async_steps("bob", cache)
    for _ in range(3):
        assert await anext(first) == "for ann"
        assert await anext(second) == "for bob"
    assert [piece async for piece in first] == []
    assert [piece async for piece in second] == []
    assert current_tenant() == ""


def test_a_generator_closed_in_another_context_leaves_its_tenant_to_no_call() -> None:
    cache: ResponseCache[str] = ResponseCache()
    reader = contextvars.copy_context()
    stream = steps("ann", cache)
    assert reader.run(next, stream) == "for ann"
    with tenant("bob"), contextlib.suppress(ConfigurationError):
        stream.close()  # type: ignore[attr-defined]
    assert reader.run(cache.answer, ask("Step 0?"), lambda: "live").value == "live"
    assert cache.stats.troubles
    assert cache.answer(ask("Step 0?"), lambda: "live").value == "live"
    assert reader.run(list, steps("ann", cache, 1)) == ["for ann"]


def test_a_context_manager_may_yield_inside_a_block() -> None:
    cache: ResponseCache[str] = ResponseCache()

    @contextlib.contextmanager
    def request_of(name: str) -> Iterator[None]:
        with tenant(name):
            yield

    def pages() -> Iterator[str]:
        with tenant("ann"), request_of("bob"):
            yield cache.answer(ask(), lambda: "for bob").value

    for _ in range(2):
        assert list(pages()) == ["for bob"]
        with request_of("ann"), request_of("bob"):
            assert cache.answer(ask(), lambda: "live").value == "for bob"
            with tenant("ann"):
                assert current_tenant() == _label_of("ann")
    assert not cache.stats.troubles


async def test_tasks_and_threads_started_in_a_block_keep_its_tenant() -> None:
    async def later() -> str:
        return await asyncio.to_thread(current_tenant)

    with tenant("ann"):
        task = asyncio.create_task(later())
    assert await task == _label_of("ann")
    assert current_tenant() == ""


def test_a_callers_tenant_is_that_of_its_namespace_and_its_block() -> None:
    def failing() -> str:
        raise LookupError("no tenant")

    assert CallerTenant.read() == CallerTenant("")
    assert CallerTenant.read("ann") == CallerTenant("ann")
    assert not CallerTenant.read(failing).known
    assert not CallerTenant.read(lambda: "").known
    with tenant("ann"):
        assert CallerTenant.read() == CallerTenant("ann")
        assert CallerTenant.read("b/c") == CallerTenant("b%2Fc/ann")
        expected = current_tenant()
    assert CallerTenant("ann").run(current_tenant) == expected
    assert CallerTenant("").run(current_tenant) == ""
    with pytest.raises(ConfigurationError, match="unknown"):
        CallerTenant("", known=False).run(current_tenant)
    with pytest.raises(ConfigurationError, match="callers of a shared call"):
        CallerTenant("ann").run(lambda: current_tenant(lambda: "bob"))


def test_a_decorator_holds_for_a_function_and_is_refused_where_it_would_not() -> None:
    @tenant("ann")
    def page() -> str:
        return current_tenant()

    async def later() -> str:
        return current_tenant()

    def pieces() -> Iterator[str]:
        yield current_tenant()

    async def async_pieces() -> AsyncIterator[str]:
        yield current_tenant()

    assert [page(), page()] == [_label_of("ann")] * 2
    for function in (later, pieces, async_pieces):
        with pytest.raises(ConfigurationError, match="would end before it runs"):
            tenant("ann")(function)


def test_one_block_can_be_entered_again_also_inside_itself() -> None:
    block = tenant("ann")
    with block, tenant("bob"), block:
        assert current_tenant() == _label_of("ann")
    assert current_tenant() == ""
    with block:
        assert current_tenant() == _label_of("ann")
