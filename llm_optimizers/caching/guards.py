"""Vetoes: what two lookalike questions may not differ in."""

from __future__ import annotations

import re

__all__ = ["vetoes"]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|without|cannot|\w+n['\u2019]t)\b", re.IGNORECASE)
_LITERAL = re.compile(r"`[^`]+`|\"[^\"]+\"|https?://\S+|\S+@\S+")


def vetoes(a: str, b: str) -> tuple[str, ...]:
    """The names of the guards that keep the two texts apart; empty if none does."""
    fired = []
    if set(_NUMBER.findall(a)) != set(_NUMBER.findall(b)):
        fired.append("number")
    if bool(_NEGATION.search(a)) != bool(_NEGATION.search(b)):
        fired.append("negation")
    if set(_LITERAL.findall(a)) != set(_LITERAL.findall(b)):
        fired.append("literal")
    return tuple(fired)
