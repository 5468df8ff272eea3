"""Checks of arguments: what cannot work is refused where it is given, by name.

Each check returns the value it was given, as its type, so that a constructor checks and keeps it in
one line. Every message has the same form: "`concurrency` is 1.5; give a whole number of 1 or more".

    self._slots = whole("concurrency", concurrency, least=1)
    self._limit = optional(number, "max_cost", max_cost, above=0)

refusal.py   refuse: the error, with the value as it may be shown
numbers.py   whole, number, numbers, amount (dollars), share, flag, moment
texts.py     text, string, one_of, names, sequence, values, mapping, scores, shares
objects.py   function, instance, with_methods; fields of frozen objects and of pydantic's
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from llm_optimizers.arguments.numbers import amount, flag, moment, number, numbers, share, whole
from llm_optimizers.arguments.objects import (
    Kinds,
    field,
    fields,
    fields_check,
    function,
    instance,
    keep,
    with_methods,
)
from llm_optimizers.arguments.refusal import refuse
from llm_optimizers.arguments.texts import (
    mapping,
    names,
    one_of,
    scores,
    sequence,
    shares,
    string,
    text,
    values,
)

__all__ = [
    "Kinds",
    "amount",
    "field",
    "fields",
    "fields_check",
    "flag",
    "function",
    "instance",
    "keep",
    "mapping",
    "moment",
    "names",
    "number",
    "numbers",
    "one_of",
    "optional",
    "refuse",
    "scores",
    "sequence",
    "share",
    "shares",
    "string",
    "text",
    "values",
    "whole",
    "with_methods",
]

T = TypeVar("T")
P = ParamSpec("P")


def optional(
    check: Callable[Concatenate[str, Any, P], T],
    name: str,
    value: object,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | None:
    """Check an argument that may be None."""
    return None if value is None else check(name, value, *args, **kwargs)
