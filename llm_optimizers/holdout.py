"""A random group that goes without any strategy, to measure what the strategies really save.

The account compares each call with the same call made without strategies, which was never made: a
counterfactual. Leaving a few users or runs untouched and comparing the cost of both groups needs no
such assumption (Kohavi, Tang, Xu: Trustworthy Online Controlled Experiments, 2020, chapter 17):

    group = HoldoutGroup(0.02)
    with group.assign(request.user_id):
        chain.invoke(...)

As with `attributed`, a stream belongs to the code that starts it; read its chunks inside the block.
A generator may yield inside its own block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from types import TracebackType

from llm_optimizers.arguments import number, string, text
from llm_optimizers.scopes import Entered, Scopes

__all__ = [
    "BUCKETS",
    "Assignment",
    "HoldoutGroup",
    "current_assignment",
    "is_held_out",
    "untouched",
]

BUCKETS = 40
"""Each group is divided into so many random parts, whose spread gives the interval."""
_SCALE = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The group of a user or run: `held_out` or not, and its bucket, 0 to `BUCKETS` - 1."""

    held_out: bool
    bucket: int


_blocks: Scopes[Assignment] = Scopes("llm_optimizers_holdout", __file__)
_untouched: ContextVar[bool] = ContextVar("llm_optimizers_untouched", default=False)


@dataclass(frozen=True, slots=True)
class HoldoutGroup:
    """A random `share` of users or runs whose calls go untouched: 0.01 to 0.05 is usual.

    The same unit always comes into the same group, in every process. Another `salt` draws another
    group, so that the same users do not go without forever.

    Raises:
        ConfigurationError: the share is not from 0 to 0.5.
    """

    share: float = 0.02
    salt: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", number("share", self.share, least=0, most=0.5))
        string("salt", self.salt)

    def assignment(self, unit: str) -> Assignment:
        """Return the group of a unit, such as a user's or a run's id.

        Raises:
            ConfigurationError: the unit is no text, or empty: all unnamed users would be one unit.
        """
        text("unit", unit)
        drawn = blake2b(
            unit.encode(errors="surrogatepass"),
            key=blake2b(self.salt.encode(errors="surrogatepass"), digest_size=32).digest(),
            digest_size=16,
        ).digest()
        share, bucket = (int.from_bytes(part, "big") for part in (drawn[:8], drawn[8:]))
        return Assignment(held_out=share < self.share * _SCALE, bucket=bucket % BUCKETS)

    def assign(self, unit: str) -> AbstractContextManager[Assignment]:
        """Let the calls inside the block belong to the group of this unit, and return that.

        A block inside another replaces it, so assign once, where a request or a run begins.

        Raises:
            ConfigurationError: as in `assignment`.
        """
        return _Block(self.assignment(unit))


class _Block:
    """The calls inside belong to this group; it may be entered again, also inside itself."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._entered: list[Entered[Assignment]] = []

    def __enter__(self) -> Assignment:
        self._entered.append(_blocks.enter(self._assignment))
        return self._assignment

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _blocks.leave(self._entered)


def current_assignment() -> Assignment | None:
    """Return the group of the running code, None if it is not part of a measurement."""
    block = _blocks.around_here()
    return None if block is None else block.value


def is_held_out() -> bool:
    """Whether the running code's calls must go untouched."""
    assignment = current_assignment()
    return _untouched.get() if assignment is None else assignment.held_out


@contextmanager
def untouched(held_out: bool) -> Iterator[None]:
    """Let calls in the block go untouched, for several callers who are; each has its own bucket."""
    token = _untouched.set(held_out)
    try:
        yield
    finally:
        _untouched.reset(token)
