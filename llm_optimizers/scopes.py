"""Values that hold inside `with` blocks, across awaits, framework threads and generators.

A generator that yields inside a block may be resumed in another context, where the block does not
hold, or while another generator's block does: a web framework may read each piece of a stream in
another thread. `Scopes` knows the blocks that generators have open.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from contextvars import Context, ContextVar, Token
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar

__all__ = ["Entered", "Scope", "Scopes"]

T = TypeVar("T")
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Scope(Generic[T]):
    """One block.

    `in_generator` if a generator entered it, which may be resumed in any context. `gone` if it was
    left while another generator's block, entered later, was still open; `broken` if it was left in
    another context, so that the one it was entered in still has it.
    """

    __slots__ = ("broken", "gone", "in_generator", "outer", "value")

    def __init__(self, value: T, outer: Scope[T] | None = None, *, in_generator: bool = False):
        self.value = value
        self.outer = outer
        self.in_generator = in_generator
        self.gone = False
        self.broken = False

    def around(self) -> Iterator[Scope[T]]:
        """Yield this block and those around it, from the inside out."""
        scope: Scope[T] | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


@dataclass(frozen=True, slots=True)
class Entered(Generic[T]):
    """What leaves a block that was entered."""

    scope: Scope[T]
    token: Token[Scope[T] | None]
    frame: FrameType | None


class Scopes(Generic[T]):
    """The blocks of one kind. `file` is that of the class that users write `with` for."""

    def __init__(self, name: str, file: str) -> None:
        self._current: ContextVar[Scope[T] | None] = ContextVar(name, default=None)
        self._own = (file, __file__, contextlib.contextmanager.__code__.co_filename)
        self._generators: dict[FrameType, list[Scope[T]]] = {}  # open blocks by their frame

    @property
    def innermost(self) -> Scope[T] | None:
        """The block of the running context."""
        return self._current.get()

    def around_here(self) -> Scope[T] | None:
        """Return the block around the running code: of its generator, else of its context.

        One that was left elsewhere no longer holds in the context that still has it.
        """
        scope = self.of_generator() or self._current.get()
        while scope is not None and scope.broken:
            scope = scope.outer
        return scope

    def enter(self, value: T) -> Entered[T]:
        """Enter a block."""
        frame = self._generator_around()
        scope = Scope(value, self._outer(frame), in_generator=frame is not None)
        if frame is not None:
            self._generators.setdefault(frame, []).append(scope)
        return Entered(scope, self._current.set(scope), frame)

    def enter_in(self, context: Context, scope: Scope[T]) -> None:
        """Give a new context this block and no other."""
        context.run(self._current.set, scope)

    def leave(self, blocks: list[Entered[T]]) -> bool:
        """End a block; return whether that happens in the context in which it was entered.

        `blocks` are those that one object has open, maybe in several threads or tasks.
        """
        entered = self._to_leave(blocks)
        blocks.remove(entered)
        scope, frame = entered.scope, entered.frame
        if frame is not None:
            self._generators[frame].remove(scope)
            if not self._generators[frame]:
                del self._generators[frame]
        innermost = self._current.get()
        try:
            self._current.reset(entered.token)
        except ValueError:
            scope.broken = True
            return False
        if innermost is not scope:
            scope.gone = True
            self._current.set(innermost)
        else:
            outer = self._current.get()
            if outer is not None and outer.gone:
                self._current.set(next((each for each in outer.around() if not each.gone), None))
        return True

    def _to_leave(self, blocks: list[Entered[T]]) -> Entered[T]:
        """Return the block of this context, else of this generator, else the last."""
        current, found = self._current.get(), blocks[::-1]
        here = next((each for each in found if each.scope is current), None)
        if here is None and len(found) > 1:
            frame = self._generator_around()
            here = next((each for each in found if frame is not None and each.frame is frame), None)
        return here or found[0]

    def of_generator(self) -> Scope[T] | None:
        """Return the block that the innermost generator around the running code has open.

        None if there is no such generator, or the running code is inside its block.
        """
        if not self._generators:
            return None
        frame = inspect.currentframe()
        while frame is not None and frame not in self._generators:
            frame = frame.f_back
        if frame is None:
            return None
        expected, scope = self._generators[frame][-1], self._current.get()
        while scope is not None and scope is not expected and not scope.in_generator:
            scope = scope.outer
        return None if scope is expected else expected

    def _outer(self, frame: FrameType | None) -> Scope[T] | None:
        """Return the block around one that is being entered, by a generator with this frame.

        A generator that waits at a `yield` is not around another, though its block is in the
        context: both are read by turns.
        """
        scope = self.around_here()
        while frame is not None and scope is not None and scope.in_generator:
            owners = [each for each, open_ in list(self._generators.items()) if scope in open_]
            if not any(each is not frame and _waits(each) for each in owners):
                break
            scope = scope.outer
        return scope

    def _generator_around(self) -> FrameType | None:
        """Return the frame that enters a block, if a generator's and not a context manager's."""
        frame = self._caller(inspect.currentframe())
        if frame is None or not frame.f_code.co_flags & _GENERATOR:
            return None
        return frame if self._caller(frame.f_back) is frame.f_back else None

    def _caller(self, frame: FrameType | None) -> FrameType | None:
        """Return the innermost frame that belongs neither to the blocks nor to contextlib."""
        while frame is not None and frame.f_code.co_filename in self._own:
            frame = frame.f_back
        return frame


def _waits(frame: FrameType) -> bool:
    """Whether a plain generator is between two of its values; of an async one nobody can say."""
    return frame.f_back is None and bool(frame.f_code.co_flags & inspect.CO_GENERATOR)
