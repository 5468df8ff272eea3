"""A value enters a key by its content: what is read, what is told apart, what is refused."""

from __future__ import annotations

import collections
import functools
import io
import json
import logging
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypeVar
from uuid import UUID

import httpx
import numpy as np
import pytest
from pydantic import AnyUrl, BaseModel, Field, SecretBytes, SecretStr, field_serializer
from typing_extensions import TypedDict

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest, fingerprint


class Grade(Enum):
    LOW = 1
    HIGH = 2


class Rank(IntEnum):
    LOW = 1


class Word(StrEnum):
    ONE = "1"


class Hiding(BaseModel):
    """Hides a field from its `repr`."""

    shown: int = 0
    hidden: int = Field(repr=False)
    secret: SecretStr = SecretStr("a")


@dataclass
class Record:
    name: str
    hidden: list[int] = field(default_factory=list, repr=False, compare=False)


class Slotted:
    __slots__ = ("_b", "a")

    def __init__(self, a: int, b: int) -> None:
        self.a, self._b = a, b


class Liar:
    """All of them look and compare alike."""

    def __init__(self, content: object) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "Liar"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def method(self) -> object:
        return self.content


class Pair(NamedTuple):
    a: int


def made(source: str, **names: Any) -> Callable[..., Any]:
    """The function `f` of a piece of source, as another process or cell would have it."""
    space: dict[str, Any] = {"__name__": "somewhere", **names}
    # Without this module's own `from __future__ import annotations`.
    exec(compile(source, "<cell>", "exec", dont_inherit=True), space)
    found: Callable[..., Any] = space["f"]
    return found


def schema(source: str, **names: Any) -> Any:
    """A class `Shape`, defined again under its name as a notebook's cell does."""
    space: dict[str, Any] = {
        "__name__": "somewhere",
        "BaseModel": BaseModel,
        "Field": Field,
        "TypedDict": TypedDict,
        "dataclass": dataclass,
        "field": field,
        "Annotated": Annotated,
        "Literal": Literal,
        "Enum": Enum,
        **names,
    }
    exec(compile(source, "<cell>", "exec", dont_inherit=True), space)
    return space["Shape"]


def adding(number: int) -> Callable[[int], int]:
    def add(x: int) -> int:
        return x + number

    return add


def long_array(middle: int) -> Any:
    """numpy writes only both ends of it."""
    array = np.arange(5_000)
    array[2_500] = middle
    return array


T = TypeVar("T")
NAIVE = datetime.fromisoformat("2026-01-01T00:00:00")

DIFFERENT: dict[str, list[Any]] = {
    "numbers": [
        1, True, 1.0, "1", Decimal(1), Fraction(1), np.int64(1), np.float32(1), b"1", Rank.LOW,
        Word.ONE, Grade.LOW, -0.0, 0.0, float("nan"), float("inf"), 1 + 0j, False, 0,
    ],
    "nothing": [None, "null", "None", "", [], {}, set(), Ellipsis, NotImplemented],
    "keys of a mapping": [
        {1: "x"}, {"1": "x"}, {True: "x"}, {"true": "x"}, {None: "x"}, {"null": "x"}, {1.5: "x"},
        {(1,): "x"}, {Grade.LOW: "x"},
    ],
    "marks": [{1}, {"\x00kind": "set", "items": [1]}, {"\x00kind": "set"}, {"items": [1]}],
    "collections": [[1], [[1]], {1}, {2}, range(1), range(2), [range(1)]],
    "dates": [
        date(2026, 1, 1), NAIVE, datetime(2026, 1, 1, tzinfo=UTC), time(1),
        NAIVE.replace(fold=1), "2026-01-01", timedelta(1), UTC, timezone(timedelta(hours=1)),
    ],
    "names of things": [
        Path("a"), Path("b"), PureWindowsPath("a"), "a", UUID(int=1), UUID(int=2),
        re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a"),
    ],
    "secrets": [SecretStr("a"), SecretStr("b"), SecretBytes(b"a"), "**********"],
    "addresses": [
        AnyUrl("http://u:a@h/"), AnyUrl("http://u:b@h/"), httpx.URL("http://u:a@h/"),
        httpx.URL("http://u:b@h/"), httpx.Timeout(3), httpx.Timeout(4),
    ],
    "arrays": [
        long_array(1), long_array(2), long_array(1).reshape(50, 100), long_array(1).astype(float),
        np.array([1, None], dtype=object), np.array([2, None], dtype=object),
    ],
    "objects that look alike": [
        Liar(1), Liar(2), Liar([1]), Slotted(1, 1), Slotted(1, 2), SimpleNamespace(a=1),
        SimpleNamespace(a=2),
    ],
    "pydantic objects": [
        Hiding(hidden=1), Hiding(hidden=2), Hiding(hidden=1, secret=SecretStr("b")),
        Hiding(hidden=1, shown=0),
    ],
    "records": [Record("a"), Record("a", [1]), Record("b")],
    "functions": [
        made("def f(x): return x + 1"), made("def f(x): return x - 1"),
        made("def f(x): return x + 2"), made("def f(x): return y + 1"),
        made("def f(x): return y + 1", y=1), made("def f(x): return y + 1", y=2),
        made("def f(x): return x.a"), made("def f(x): return x.b"),
        made("def f(x, y=1): return x"), made("def f(x, y=2): return x"),
        made("def f(x, *, y=1): return x"), made("def f(x, *, y=2): return x"),
        made("def f(x): return x"), made("def f(y): return y"), made("def f(*x): return x"),
        made("def f(x: int): return x"), made("def f(x: str): return x"),
        made("def f(x):\n    'does a'"), made("def f(x):\n    'does b'"),
        made("def f(x):\n    def g(y): return y + 1\n    return g(x)"),
        made("def f(x):\n    def g(y): return y + 2\n    return g(x)"),
        made("def g(x): return x + 1\ndef f(x): return g(x)"),
        made("def g(x): return x + 2\ndef f(x): return g(x)"),
        adding(1), adding(2), lambda x: x + 1, lambda x: x + 2, len, str.upper,
    ],
    "callables": [
        functools.partial(adding, 1), functools.partial(adding, 2), Liar(1).method, Liar(2).method,
        functools.lru_cache(adding), [].append, [1].append,
    ],
    "annotations": [
        int, list[int], list[str], dict[str, int], int | None, Literal["a"], Literal["b"],
        Annotated[int, "a"], Annotated[int, "b"], Callable[[int], str], Callable[[str], str], Any,
        T, int | str,
    ],
    "logs and modules": [logging.getLogger("a"), logging.getLogger("b"), json, re],
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENT)
def test_different_values_have_different_digests(kind: str) -> None:
    digests = [digest(value) for value in DIFFERENT[kind]]
    assert len(set(digests)) == len(digests)


SCHEMAS = [
    "class Shape(BaseModel):\n    a: int",
    "class Shape(BaseModel):\n    'Scores a text.'\n    a: int",
    "class Shape(BaseModel):\n    a: str",
    "class Shape(BaseModel):\n    a: int = 1",
    "class Shape(BaseModel):\n    a: int = Field(description='1 is best')",
    "class Shape(BaseModel):\n    a: int = Field(description='10 is best')",
    "class Shape(BaseModel):\n    a: int = Field(ge=1)",
    "class Shape(BaseModel):\n    a: int = Field(examples=[1])",
    "class Shape(BaseModel):\n    a: int = Field(json_schema_extra={'unit': 'cm'})",
    "class Shape(BaseModel):\n    a: Literal['x']",
    "class Shape(BaseModel):\n    a: Literal['y']",
    "class Shape(TypedDict):\n    a: int",
    "class Shape(TypedDict):\n    'Scores a text.'\n    a: int",
    "class Shape(TypedDict):\n    a: Annotated[int, ..., '1 is best']",
    "class Shape(TypedDict):\n    a: Annotated[int, ..., '10 is best']",
    "class Shape(TypedDict, total=False):\n    a: int",
    "class Inner(TypedDict):\n    x: int\nclass Shape(TypedDict):\n    a: Inner",
    "class Inner(TypedDict):\n    x: str\nclass Shape(TypedDict):\n    a: Inner",
    "@dataclass\nclass Shape:\n    a: int",
    "@dataclass\nclass Shape:\n    a: str",
    "@dataclass\nclass Shape:\n    a: int = None",
    "@dataclass\nclass Shape:\n    a: int = field(metadata={'unit': 'cm'})",
    "class Shape(Enum):\n    A = 1",
    "class Shape(Enum):\n    A = 2",
    "class Shape:\n    a: int",
    "class Shape:\n    a = 1",
    "class Shape:\n    def a(self): return 1",
    "class Shape:\n    def a(self): return 2",
    "class Inner:\n    def a(self): return 1\nclass Shape(Inner): pass",
    "class Inner:\n    def a(self): return 2\nclass Shape(Inner): pass",
]


def test_classes_of_one_name_are_told_apart_by_what_they_declare() -> None:
    digests = [digest(schema(source)) for source in SCHEMAS]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("source", SCHEMAS)
def test_a_class_that_is_defined_again_is_the_same(source: str) -> None:
    assert digest(schema(source)) == digest(schema(source))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: "x", "a": 2}, {"a": 2, 1: "x"}),
        ({"c", "a", "b"}, {"b", "c", "a"}),
        ({"c", "a"}, frozenset({"a", "c"})),
        ((1, 2), [1, 2]),
        (Pair(1), [1]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (b"a", bytearray(b"a")),
        (Liar(1), Liar(1)),
        (Slotted(1, 2), Slotted(1, 2)),
        (Hiding(hidden=1), Hiding(hidden=1)),
        (adding(1), adding(1)),
        (functools.partial(adding, 1), functools.partial(adding, 1)),
        (made("def f(x): return x + 1"), made("def f(x): return x + 1")),
        (np.arange(3), np.arange(3)),
        (Optional[int], int | None),  # noqa: UP045 - the older form
    ],
)
def test_equal_values_have_one_digest_whatever_their_repr(one: object, other: object) -> None:
    assert digest(one) == digest(other)


def test_a_method_that_writes_a_field_counts() -> None:
    def factor(by: int) -> Any:
        class Written(BaseModel):
            a: int

            @field_serializer("a")
            def write(self, value: int) -> int:
                return value * by

        return Written(a=1)

    assert digest(factor(2)) != digest(factor(3))
    assert digest(factor(2)) == digest(factor(2))


def test_plain_values_stay_as_they_are() -> None:
    value = {"text": "a", "list": [1, 1.5, True, None], "nested": {"a": {"b": []}}}
    assert fingerprint(value) == value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        [object()],
        {"a": {"b": object()}},
        threading.Lock(),
        Liar(threading.Lock()),
        random.Random(1),
        io.StringIO("a"),
        iter([1]),
        (x for x in [1]),
        Hiding.model_construct(hidden=threading.Lock()),
        adding(threading.Lock()),  # type: ignore[arg-type]
        made("def f(x): return lock", lock=threading.Lock()),
        functools.partial(adding, threading.Lock()),
        10**5_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_read_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError):
        digest(value)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="__fingerprint__"):
        digest(Liar(threading.Lock()))


def test_a_class_may_say_what_distinguishes_its_objects() -> None:
    class Counted:
        def __init__(self, level: int) -> None:
            self.level = level
            self.lock = threading.Lock()

        def __fingerprint__(self) -> object:
            return self.level

    assert digest(Counted(1)) == digest(Counted(1))
    assert digest(Counted(1)) != digest(Counted(2))


def test_an_error_in_the_users_code_is_a_refusal() -> None:
    class Failing:
        def __fingerprint__(self) -> object:
            raise KeyError("a secret")

    with pytest.raises(ConfigurationError, match="raised KeyError") as caught:
        digest(Failing())
    assert "secret" not in str(caught.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigurationError, match="holds itself"):
        digest(endless)


def test_functions_and_objects_may_refer_to_themselves() -> None:
    source = "def f(x): return f(x - {0}) if x else g(x)\ndef g(x): return f(x)"
    assert digest(made(source.format(1))) == digest(made(source.format(1)))
    assert digest(made(source.format(1))) != digest(made(source.format(2)))
    one, other = Liar(1), Liar(2)
    one.content, other.content = [one, 1], [other, 2]
    assert digest(one) != digest(other)


def test_a_schema_with_a_type_that_is_found_nowhere_is_refused() -> None:
    source = "class Shape(TypedDict):\n    a: 'Missing'"
    with pytest.raises(ConfigurationError, match="cannot be found"):
        digest(schema(source))
    unwritable = schema("class Shape(BaseModel):\n    a: Callable", Callable=Callable)
    with pytest.raises(ConfigurationError, match="JSON schema"):
        digest(unwritable)


def test_everything_that_is_read_can_be_written_down() -> None:
    for values in DIFFERENT.values():
        for value in values:
            text = json.dumps(fingerprint(value))
            assert json.dumps(json.loads(text)) == text


def test_no_secret_is_in_what_is_read() -> None:
    value = [SecretStr("my-secret"), Hiding(hidden=1, secret=SecretStr("my-secret"))]
    assert "my-secret" not in json.dumps(fingerprint(value))
