"""Payloads: values that JSON lacks come back equal, and stored data becomes nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, computed_field

from llm_optimizers.caching.answers.payloads import NotStorableError, as_json, from_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
names = st.text() | st.sampled_from(["$stored", "$type"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(names, inner, max_size=3)
        | st.dictionaries(scalars, inner, max_size=3)
    ),
    max_leaves=10,
)


def back(value: Any) -> Any:
    return from_json(as_json(value))


@given(value=values)
def test_values_come_back_equal_and_of_the_same_kind(value: Any) -> None:
    found = back(value)
    assert found == value
    assert repr(found) == repr(value).replace(", fold=1", "")  # it has no effect without a zone


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values)
def test_no_answer_can_pass_for_another_kind_of_value(value: Any) -> None:
    # The caller's own data may look exactly like a stored value, at any depth.
    forged = json.loads(as_json({"a": [b"bytes"], "b": value}))
    assert back(forged) == forged


@given(value=json_values)
def test_any_json_is_read_as_plain_values_or_rejected(value: Any) -> None:
    try:
        found = from_json(json.dumps(value))
    except ValueError:
        return
    if "$stored" not in json.dumps(value):
        assert found == value


@pytest.mark.parametrize(
    "stored",
    [
        1,
        [],
        ["bytes"],
        ["bytes", "no base64!"],
        ["bytes", 7],
        ["bytes", {}],
        ["datetime", "soon"],
        ["datetime", 3],
        ["decimal", "many"],
        ["uuid", "x"],
        ["uuid", 5],
        ["timedelta", ["a"]],
        ["timedelta", [10**300]],
        ["mapping", 5],
        ["mapping", [5]],
        ["mapping", [[[], 1]]],
        ["os.system", "true"],
        [[], 3],
    ],
)
def test_a_value_of_an_unknown_kind_is_a_value_error(stored: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(json.dumps({"$stored": stored}))
    with pytest.raises(ValueError, match="two kinds"):
        from_json(json.dumps({"$stored": ["bytes", ""], "a": 1}))


def test_depth_is_limited_both_ways() -> None:
    with pytest.raises(ValueError, match="deeply"):
        from_json("[" * 100_000 + "]" * 100_000)
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(NotStorableError, match="itself"):
        as_json(itself)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Place:
    town: str
    signature: bytes


class Signed(BaseModel):
    signature: bytes
    when: datetime


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (b"a",)), [1, [b"a"]]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({b"b", b"a"}), [b"a", b"b"]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Level.HIGH: Colour.RED}, {3: "red"}),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (PurePosixPath("a/b"), "a/b"),
        (AnyUrl("https://a.example/x"), "https://a.example/x"),
        (ip_address("127.0.0.1"), "127.0.0.1"),
        (Place("Ulm", b"\xff"), {"town": "Ulm", "signature": b"\xff"}),
        (
            Signed(signature=b"\xff", when=datetime(2026, 1, 2, tzinfo=UTC)),
            {"signature": b"\xff", "when": datetime(2026, 1, 2, tzinfo=UTC)},
        ),
    ],
)
def test_other_values_come_back_in_a_plain_form(value: Any, plain: Any) -> None:
    assert back([value]) == [plain]
    assert type(back(value)) is type(plain)


class Aliased(BaseModel):
    """Made from other names than those of its fields; has a field that is computed."""

    model_config = ConfigDict(extra="forbid")
    town: str = Field(alias="the town")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.town)


def test_a_schema_accepts_the_data_that_its_object_became() -> None:
    made = Aliased.model_validate({"the town": "Ulm"})
    assert Aliased.model_validate(back(made)) == made


class Towns(RootModel[list[Place]]):
    """A list."""


def test_an_object_that_is_a_list_becomes_one() -> None:
    towns = Towns.model_validate([{"town": "Ulm", "signature": b"a"}])
    assert back({"parsed": towns}) == {"parsed": [{"town": "Ulm", "signature": b"a"}]}


class Unmakeable(BaseModel):
    """Written under a name from which it cannot be made again."""

    town: str = Field(validation_alias="in", serialization_alias="out")


def test_what_cannot_come_back_is_rejected_with_a_reason_and_without_its_text() -> None:
    class Secret:
        def __repr__(self) -> str:
            return "the user's words"

    made = Unmakeable.model_validate({"in": "the user's words"})
    for value in (Secret(), {"a": [Secret()]}, {(1, 2): "x"}, {Secret(): 1}, made, object):
        with pytest.raises(NotStorableError) as caught:
            as_json(value)
        assert "the user's words" not in str(caught.value)
        assert str(caught.value).startswith("it")
    assert issubclass(NotStorableError, TypeError)


def test_plain_json_of_earlier_versions_is_read_as_it_is() -> None:
    assert from_json('{"a": [1, null, "x"], "b": {"type": "bytes"}}') == {
        "a": [1, None, "x"],
        "b": {"type": "bytes"},
    }
    moment = date(2026, 1, 2), time(3, 4), timedelta(days=-1), Decimal("1.10"), UUID(int=1)
    assert back(list(moment)) == list(moment)
