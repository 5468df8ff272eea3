"""What a refused argument's message says: its name, the value, and what to give instead."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from numbers import Integral, Real
from pathlib import PurePath
from types import NoneType
from typing import Any, NoReturn

from llm_optimizers.errors import ConfigurationError

__all__ = ["kinds_named", "listed", "refuse"]

_SHOWN = 60  # characters of a wrong value in a message
_PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    Callable: "function",
    Integral: "whole number",
    Mapping: "mapping",
    dict: "mapping",
    Real: "number",
    Sequence: "list",
    NoneType: "None",
}
_SECRET = re.compile(r"(?<=://)[^/@\s]{1,500}@|\bsk-[\w-]{8,500}")
"""The password of a URL, an API key."""
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _SHOWN


def refuse(name: str, value: object, give: str) -> NoReturn:
    """Refuse an argument; `give` says what to give instead.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(f"`{name}` is {_described(value)}; give {give}")


def _described(value: object) -> str:
    """Return a value as it is shown in a message: plain ones whole, others by their class."""
    if isinstance(value, str):
        return _short.repr(_SECRET.sub("…", value))
    if value is None or isinstance(value, bytes | int | float | Decimal | PurePath | timedelta):
        return _short.repr(value)
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return _SECRET.sub("…", _short.repr(value))
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{_article(type(value).__name__)} {type(value).__name__}"


def kinds_named(kind: type | tuple[type, ...], *, of_many: bool = False) -> str:
    """Return classes as a message names them: "a text or None", "whole numbers"."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    called = dict.fromkeys(_PLAIN.get(each, each.__name__) for each in kinds)
    return listed(
        [
            each if each == "None" else f"{each}s" if of_many else f"{_article(each)} {each}"
            for each in called
        ],
        last="or",
        quoted=False,
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiouAEIO" or word.startswith("LLM") else "a"


def listed(choices: list[Any], *, last: str, quoted: bool = True) -> str:
    """Return choices with commas and a `last` word between them."""
    shown = [repr(each) if quoted else str(each) for each in choices]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
