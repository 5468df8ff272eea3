"""Settings that a wrapper is given but does not have, which pydantic would drop silently."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from llm_optimizers.errors import ConfigurationError

__all__ = ["check_known"]


def check_known(
    wrapper: str, given: Iterable[str], *, known: Collection[str | None], own: Iterable[str]
) -> None:
    """Check that a wrapper has the settings it is given.

    `known` are all names that it takes, `own` those that are not the framework's.

    Raises:
        ConfigurationError: it lacks one; the message names its own.
    """
    unknown = sorted(name for name in given if name not in known)
    if unknown:
        raise ConfigurationError(
            f"{wrapper} has no setting {unknown[0]!r}: its own are {', '.join(own)}. "
            "What belongs to a model, a cache or an optimizer is set on that"
        )
