"""Names of parametrised tests that are the same in every process, as parallel runs need them."""

from __future__ import annotations

import re

__all__ = ["steady_id"]

_ADDRESS = re.compile(r" (?:object )?at 0x[0-9a-f]+")


def steady_id(value: object) -> str:
    """Return the value as text: sets in order, objects without their address."""
    shown = sorted(map(str, value)) if isinstance(value, set | frozenset) else value
    return _ADDRESS.sub("", str(shown))
