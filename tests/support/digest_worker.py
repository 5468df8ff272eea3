"""Prints the digests of values of every kind, one a line: the same in every process."""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from llm_optimizers.fingerprint import digest
from llm_optimizers.routing import ModelSpec, Router, UserTier
from llm_optimizers.routing.policies.cascade import CascadePolicy
from llm_optimizers.routing.policies.keyword import KeywordPolicy


class Word(StrEnum):
    """An enum of a user's."""

    ONE = "one"


class Shape(BaseModel):
    """A schema of a user's."""

    kind: Literal["a", "b"] = Field(description="of the shape")


class Row(TypedDict):
    """A typed dict of a user's."""

    a: Annotated[int, ..., "of the row"]


@dataclass
class Record:
    """A dataclass of a user's."""

    names: frozenset[str]


class Longer:
    """A policy of a user's."""

    def __init__(self, limit: int) -> None:
        self.words = {"prove", "derive", "explain"}
        self.limit = limit

    def choose(self, policy_input: object) -> object:
        """Choose nothing."""
        return None if len(self.words & {"a", "b", "c"}) > LIMITS["words"] else policy_input


LIMITS = {"words": 1}


def router(policy: object) -> Router:
    """A router with tiers."""
    tiers = {"free": UserTier(allowed=frozenset({"weak", "strong"}))}
    specs = [ModelSpec("weak", capabilities=frozenset({"tools", "vision"})), ModelSpec("strong")]
    return Router(specs, policy=policy, tiers=tiers)  # type: ignore[arg-type]


def shouted(text: str) -> str:
    """Write in capitals."""
    return text.upper() + ("!" if text in {"a", "b", "c", "d"} else "")


VALUES = [
    {"b": [1, 1.0, True, None], "a": "x", 1: (2, 3)},
    {"c", "a", "b", "d", "e"},
    [Word.ONE, b"bytes", Decimal("1.5"), PurePosixPath("a"), re.compile("a", re.IGNORECASE)],
    datetime(2026, 1, 1, tzinfo=UTC),
    SecretStr("a"),
    np.arange(3_000).reshape(30, 100),
    Shape,
    Shape(kind="a"),
    Row,
    Record,
    Record(frozenset({"x", "y", "z"})),
    shouted,
    functools.partial(shouted, text="a"),
    Longer(3).choose,
    Longer,
    router(None),
    router(Longer(3)),
    router(KeywordPolicy(weak="weak", strong="strong")),
    router(CascadePolicy(cheap="weak", strong="strong", samples=("weak",))),
]

if __name__ == "__main__":
    for value in VALUES:
        sys.stdout.write(f"{digest(value)}\n")
