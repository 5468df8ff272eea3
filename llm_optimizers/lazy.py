"""Public names that are imported when they are first used, so that an app pays for what it uses."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str,
    homes: Mapping[str, str],
    renamed: Mapping[str, str] | None = None,
    extra: str = "",
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__` (https://peps.python.org/pep-0562/).

    Args:
        package: the package's `__name__`.
        homes: for each public name, the module of the package that defines it.
        renamed: for each former public name, the one that replaces it. The former name still
            works and warns (DeprecationWarning) with the new one.
        extra: the extra of `llm-optimizers` that the modules need; where a package of it is not
            installed, the first use of a name raises an ImportError with the command to run.
    """
    former = renamed or {}

    def find(name: str) -> Any:
        if name in former:
            new = former[name]
            warnings.warn(f"{package}.{name} is now called {new}", DeprecationWarning, stacklevel=2)
            return getattr(sys.modules[package], new)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            home = import_module(f"{package}.{homes[name]}")
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").startswith(package):
                raise
            raise ImportError(
                f"{package}.{name} needs {error.name}, which is not installed: "
                f"pip install 'llm-optimizers[{extra}]'",
                name=error.name,
            ) from error
        return getattr(home, name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, names
