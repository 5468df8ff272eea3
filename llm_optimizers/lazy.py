"""Public names that are imported when they are first used, so that an app pays for what it uses."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, str], renamed: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__` (https://peps.python.org/pep-0562/).

    Args:
        package: the package's `__name__`.
        homes: for each public name, the module of the package that defines it.
        renamed: for each former public name, the one that replaces it. The former name still
            works and warns (DeprecationWarning) with the new one.
    """
    former = renamed or {}

    def find(name: str) -> Any:
        if name in former:
            new = former[name]
            warnings.warn(f"{package}.{name} is now called {new}", DeprecationWarning, stacklevel=2)
            return getattr(sys.modules[package], new)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, names
