"""Whose money a call was: blocks, aliases, and what may stand in an app's metadata."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from llm_optimizers.caching import tenant
from llm_optimizers.costs import attributed, current_attribution
from llm_optimizers.costs.attribution import names_of
from llm_optimizers.errors import ConfigurationError


class Plan(StrEnum):
    GOLD = "gold"


class _Lazy:
    """Calls itself a text, as the local proxies of web frameworks do."""

    @property
    def __class__(self) -> Any:
        return str

    def __str__(self) -> str:
        return "u17"


class _Unbound(_Lazy):
    def __str__(self) -> str:
        raise RuntimeError


class TestBlocks:
    def test_the_inner_block_wins_for_each_name(self) -> None:
        with attributed(user="a", feature="search"):
            with attributed(user="b", session="s"):
                assert current_attribution() == {"user": "b", "feature": "search", "session": "s"}
            assert current_attribution() == {"user": "a", "feature": "search"}
        assert current_attribution() == {}

    def test_what_is_not_known_leaves_the_block_around_its_say(self) -> None:
        with attributed(user="a"), attributed(user=None, tenant="", feature="  "):
            assert current_attribution() == {"user": "a"}

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (17, "17"),
            (UUID(int=1), str(UUID(int=1))),
            (Plan.GOLD, "gold"),
            (_Lazy(), "u17"),
            ("a\nb\x00", "a b"),
            ("\ud800x", "x"),
        ],
        ids=["number", "uuid", "enum", "lazy", "control", "half a pair"],
    )
    def test_values_become_texts_that_can_be_stored(self, value: Any, text: str) -> None:
        with attributed(user=value):
            assert current_attribution() == {"user": text}

    @pytest.mark.parametrize("value", [1.5, [], {}, b"u", object(), Decimal(1), 2**300])
    def test_what_names_nobody_is_refused(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="user"):
            attributed(user=value)

    def test_own_tags_stand_beside_the_names(self) -> None:
        with attributed({"experiment": "b"}, user="u"):
            assert current_attribution() == {"experiment": "b", "user": "u"}

    def test_a_long_value_is_cut_unlike_any_other(self) -> None:
        texts = []
        for end in "ab":
            with attributed(user="x" * 5_000 + end):
                texts.append(current_attribution()["user"])
        assert texts[0] != texts[1]
        assert max(map(len, texts)) <= 200

    def test_the_tenant_is_the_one_whose_data_is_kept_apart(self) -> None:
        with attributed(tenant="a"), tenant("b"):
            assert current_attribution() == {"tenant": "b"}
        with tenant("b"), attributed(tenant="a"):
            assert current_attribution() == {"tenant": "b"}

    async def test_tasks_do_not_mix(self) -> None:
        async def one(name: str) -> str:
            with attributed(user=name):
                await asyncio.sleep(0)
                found = await asyncio.create_task(two())
                await asyncio.sleep(0)
                return found + (await asyncio.to_thread(current_attribution))["user"]

        async def two() -> str:
            await asyncio.sleep(0)
            return current_attribution()["user"]

        users = [f"u{n}" for n in range(20)]
        assert await asyncio.gather(*map(one, users)) == [user * 2 for user in users]

    def test_two_generators_read_by_turns_do_not_mix(self) -> None:
        def stream(user: str) -> Iterator[str]:
            with attributed(user=user):
                for _ in range(3):
                    yield current_attribution()["user"]

        pairs = list(zip(stream("a"), stream("b"), strict=True))
        assert pairs == [("a", "b")] * 3
        assert current_attribution() == {}

    def test_names_of_a_generator_that_waits_are_not_those_of_another(self) -> None:
        def stream(**names: Any) -> Iterator[dict[str, str]]:
            with attributed(**names):
                for _ in range(3):
                    yield current_attribution()

        with attributed(session="s"):
            streams = stream(user="a", feature="x"), stream(agent="b"), stream(user="c")
            found = list(zip(*streams, strict=True))
        assert found == 3 * [
            (
                {"session": "s", "user": "a", "feature": "x"},
                {"session": "s", "agent": "b"},
                {"session": "s", "user": "c"},
            )
        ]

    def test_a_generator_inside_another_has_the_names_of_both(self) -> None:
        def inner() -> Iterator[dict[str, str]]:
            with attributed(feature="x"):
                yield current_attribution()
                yield current_attribution()

        def outer() -> Iterator[dict[str, str]]:
            with attributed(user="a"):
                yield from inner()
                for each in inner():  # noqa: UP028 - both forms
                    yield each

        assert list(outer()) == [{"user": "a", "feature": "x"}] * 4

    async def test_one_block_object_serves_several_tasks(self) -> None:
        block, entered = attributed(feature="x"), [asyncio.Event(), asyncio.Event()]

        async def first() -> dict[str, str]:
            with block:
                entered[0].set()
                await entered[1].wait()
            return current_attribution()

        async def second(other: asyncio.Task[dict[str, str]]) -> list[dict[str, str]]:
            await entered[0].wait()
            with block:
                entered[1].set()
                after = await other
                inside = current_attribution()
            return [after, inside, current_attribution()]

        found = await second(asyncio.create_task(first()))
        assert found == [{}, {"feature": "x"}, {}]

    def test_a_block_that_was_left_elsewhere_says_nothing_more(self) -> None:
        def stream() -> Iterator[str]:
            with attributed(user="a"):
                yield "first"

        items: Any = stream()
        next(items)
        contextvars.copy_context().run(items.close)
        assert current_attribution() == {}
        with attributed(feature="x"):
            assert current_attribution() == {"feature": "x"}

    def test_a_generator_read_in_other_threads_keeps_its_block(self) -> None:
        def stream() -> Iterator[str]:
            with attributed(user="a"):
                for _ in range(3):
                    yield current_attribution().get("user", "")

        items, found = stream(), []

        def read() -> None:
            found.extend(item for item in [next(items, None)] if item is not None)

        for _ in range(4):
            thread = threading.Thread(target=contextvars.Context().run, args=(read,))
            thread.start()
            thread.join()
        assert found == ["a"] * 3

    def test_leaving_in_another_context_costs_no_answer(self) -> None:
        block = attributed(user="a")
        contextvars.Context().run(block.__enter__)
        block.__exit__(None, None, None)
        assert current_attribution() == {}


class TestDecorator:
    def test_functions(self) -> None:
        @attributed(user="a")
        def ask() -> dict[str, str]:
            return current_attribution()

        assert ask() == {"user": "a"}
        assert current_attribution() == {}

    async def test_coroutine_functions(self) -> None:
        @attributed(user="a")
        async def ask() -> dict[str, str]:
            await asyncio.sleep(0)
            return current_attribution()

        assert await ask() == {"user": "a"}

    def test_generator_functions(self) -> None:
        @attributed(user="a")
        def ask() -> Iterator[str]:
            yield current_attribution()["user"]
            yield current_attribution()["user"]

        with attributed(user="b"):
            assert list(ask()) == ["a", "a"]

    async def test_async_generator_functions(self) -> None:
        closed = []

        @attributed(user="a")
        async def ask() -> AsyncIterator[str]:
            try:
                while True:
                    yield current_attribution()["user"]
            finally:
                closed.append(current_attribution())

        answers: Any = ask()
        assert [await anext(answers), await anext(answers)] == ["a", "a"]
        await answers.aclose()
        assert closed == [{"user": "a"}]


class TestMetadata:
    @pytest.mark.parametrize(
        ("alias", "name"),
        [
            ("user", "user"),
            ("userId", "user"),
            ("END_USER_ID", "user"),
            ("enduser.id", "user"),
            ("langfuse_user_id", "user"),
            ("user_api_key_end_user_id", "user"),
            ("_user", "user"),
            ("thread_id", "session"),
            ("conversationId", "session"),
            ("gen_ai.conversation.id", "session"),
            ("langfuse_session_id", "session"),
            ("org_id", "tenant"),
            ("customer", "tenant"),
            ("feature_name", "feature"),
            ("component", "feature"),
            ("gen_ai.agent.name", "agent"),
            ("node", "step"),
            ("run_id", "run"),
        ],
    )
    def test_usual_names_stand_for_the_standard_ones(self, alias: str, name: str) -> None:
        assert names_of({alias: "x"}) == {name: "x"}

    @pytest.mark.parametrize("turned", [False, True])
    def test_the_standard_name_wins_over_its_aliases(self, turned: bool) -> None:
        given = [("thread_id", "t"), ("session", "s"), ("session_id", "s"), ("user_name", "Ann")]
        found = names_of(dict(reversed(given) if turned else given))
        assert found == {"session": "s", "thread_id": "t", "user": "Ann"}

    def test_odd_values_are_left_out(self) -> None:
        odd: dict[Any, Any] = {
            "user": {"id": 1},
            "session": None,
            "tenant": ["a"],
            "feature": object(),
            "app": _Unbound(),
            "agent": 10**5000,
            3: "three",
            ("a",): "b",
            None: "c",
            "api_key": "sk-123456789",
            "depth": 2,
        }
        assert names_of(odd) == {"depth": "2"}

    def test_a_thousand_names_are_cut_to_a_few(self) -> None:
        assert len(names_of({f"name-{n}": "x" for n in range(10_000)})) <= 64

    def test_a_text_that_only_looks_like_a_name_is_none(self) -> None:
        assert names_of({"u" * 10_000: "x"}).keys() != {"user"}

    def test_a_class_that_lies_about_its_text(self) -> None:
        class Sly(str):
            __slots__ = ()

            def __str__(self) -> str:
                raise RuntimeError

            def isprintable(self) -> bool:
                raise RuntimeError

        assert names_of({"user": Sly("u1")}) == {"user": "u1"}
