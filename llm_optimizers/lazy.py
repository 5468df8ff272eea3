"""Public names: imported when they are first used, and still found under their former names."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

__all__ = ["lazy_names", "renamed_attributes"]

T = TypeVar("T")


def lazy_names(
    package: str,
    modules: Mapping[str, str],
    renamed: Mapping[str, str] | None = None,
    extra: str = "",
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__` (https://peps.python.org/pep-0562/).

    Args:
        package: the package's `__name__`.
        modules: for each public name, the module of the package that defines it.
        renamed: for each former public name, the name that replaces it. The former name still
            works, with a DeprecationWarning that gives the new one.
        extra: the extra of `llm-optimizers` that the modules need; if a package of it is not
            installed, the first use of a name raises an ImportError with the command to run.
    """
    former = renamed or {}

    def find(name: str) -> Any:
        if name in former:
            new = former[name]
            warnings.warn(f"{package}.{name} is now called {new}", DeprecationWarning, stacklevel=2)
            return getattr(sys.modules[package], new)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(f"{package}.{modules[name]}")
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").startswith(package):
                raise
            raise ImportError(
                f"{package}.{name} needs {error.name}, which is not installed: "
                f"pip install 'llm-optimizers[{extra}]'",
                name=error.name,
            ) from error
        return getattr(module, name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return find, names


def renamed_attributes(**renamed: str) -> Callable[[type[T]], type[T]]:
    """Keep a class's former attributes and constructor keywords (former=new) working.

    Their use warns (DeprecationWarning) with the new name.
    """

    def warn(cls: type, former: str) -> None:
        text = f"{cls.__name__}.{former} is now called {renamed[former]}"
        warnings.warn(text, DeprecationWarning, stacklevel=3)

    def decorate(cls: type[T]) -> type[T]:
        construct: Callable[..., None] = cls.__init__

        @wraps(construct)
        def __init__(self: T, *args: Any, **values: Any) -> None:  # noqa: N807
            for former in renamed.keys() & values.keys():
                warn(cls, former)
                values[renamed[former]] = values.pop(former)
            construct(self, *args, **values)

        def former_attribute(former: str) -> property:
            def read(self: T) -> Any:
                warn(cls, former)
                return getattr(self, renamed[former])

            return property(read)

        cls.__init__ = __init__  # type: ignore[assignment, method-assign]
        for former in renamed:
            setattr(cls, former, former_attribute(former))
        return cls

    return decorate
