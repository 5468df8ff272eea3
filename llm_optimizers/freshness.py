"""Whether the running code wants fresh answers: the model's own, and not a cache's.

A regenerate button asks for one:

    with fresh_answers():
        chain.invoke(...)

As with `tenant`, a stream belongs to the code that starts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar

from llm_optimizers.arguments import flag

__all__ = ["fresh_answers", "fresh_asked_for"]

_fresh: ContextVar[bool] = ContextVar("llm_optimizers_fresh", default=False)


def fresh_answers(wanted: bool = True) -> AbstractContextManager[None]:
    """Answer the calls inside the block by the model; their answers replace the stored ones.

    `fresh_answers(False)` inside such a block lets the cache answer again.

    Raises:
        ConfigurationError: `wanted` is no bool.
    """
    return _block(flag("wanted", wanted))


@contextmanager
def _block(wanted: bool) -> Iterator[None]:
    token = _fresh.set(wanted)
    try:
        yield
    finally:
        # A generator that yields inside the block may be resumed in another context, as a web
        # framework does with each piece of a stream. That context has no block to end.
        with suppress(ValueError):
            _fresh.reset(token)


def fresh_asked_for() -> bool:
    """Return whether the running code is inside `fresh_answers()`."""
    return _fresh.get()
