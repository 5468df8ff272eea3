"""Every compiled pattern of a package, how it is used, and texts that make a bad one slow.

The texts are made from the pattern itself: each of its parts is repeated, after what comes before
it and before something that it does not match. Growth is judged by CPU time at several sizes,
never by the time itself: a slow machine slows all sizes down.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

Shape = tuple[str, str, str]
"""What a text begins with, what is repeated, and what it ends with."""
_op: Any = _constants
_parse: Callable[[str, int], Any] = _parser.parse
_REPEATS = (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT)
_SAMPLES = "aB7 \n,.-:([{<>\"'`|#*=_/\u00e9\u4e2d\u0e01"
_REPEATED = (
    *(", ", " ", "\n", " \n", "\t", "\r\n", "{", "(", "[", "<", "<a", "`", "'", '"', '"a', "|"),
    *("| ", "- ", "-", "=", "7", "7,", "7.", "a.", "a", "A", "a ", "A ", "a,", ": ", "a:", "/"),
    *("http://a", "\u00e9", "e\u0301", "\u0e01", "\u4e2d", "\\", "# ", "*", "_", ".", "!", "?"),
    *("\u200b", "\ufeff", "a'", "a-", "\U0001f600", "\ud83d", "a\n", "\n\n a", "> ", "<a>"),
    *("</a>", '"\\', "{}", "a=", "@", "$ ", "~", "+", "%"),
)
_ENDINGS = ("", "\n\x00a")


@dataclass(frozen=True, kw_only=True)
class Use:
    """A pattern and whether it is only ever matched at one place, never searched for."""

    name: str
    pattern: re.Pattern[str]
    anchored: bool

    def run(self, text: str) -> None:
        """Use the pattern on a text in the slowest way in which it is used."""
        if self.anchored:
            self.pattern.match(text)
            self.pattern.fullmatch(text)
        else:
            for _ in self.pattern.finditer(text):
                pass


def uses(packages: Iterable[str], *, matched: Iterable[str] = ()) -> Iterator[Use]:
    """Yield the patterns in the globals of all modules, also those in collections and closures.

    `matched` are names of patterns that are handed on to a function that only matches them.
    """
    seen = set()
    for module in (module for package in packages for module in _modules(package)):
        methods = _methods(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))
        for name, value in vars(module).items():
            full = f"{module.__name__}.{name}"
            at_one_place = full in matched or (
                isinstance(value, re.Pattern) and methods.get(name, {""}) <= {"match", "fullmatch"}
            )
            for pattern in _patterns(value):
                key = pattern.pattern, pattern.flags, at_one_place
                if isinstance(pattern.pattern, str) and key not in seen:
                    seen.add(key)
                    yield Use(name=full, pattern=pattern, anchored=at_one_place)


def hostile(pattern: re.Pattern[str]) -> Iterator[Shape]:
    """Yield texts that the pattern may need long for."""
    parts = _repeated(_parse(pattern.pattern, pattern.flags & ~re.DEBUG), pattern.flags)
    shapes = {(start, part) for start, part in parts if part and len(start) + len(part) < 300}
    shapes |= {("", part) for part in _REPEATED}
    for start, part in sorted(shapes):
        for ending in _ENDINGS:
            yield start, part, ending


def text_of(shape: Shape, size: int) -> str:
    """Return a text of about `size` characters."""
    start, part, ending = shape
    return start + part * (size // len(part)) + ending


def grows_too_fast(run: Callable[[str], object], shape: Shape) -> bool:
    """Whether the CPU time grows much faster than the text.

    Four times the text takes 4 times as long where time is linear, 16 times where it is quadratic.
    """
    size, before = 500, _seconds(run, shape, 500)
    while size < 4_000:
        size *= 2
        now = _seconds(run, shape, size)
        if now > 0.05 or (now > 3 * before and now > 1e-4):
            break
        before = now
    else:
        return False
    # A bounded repeat is quadratic up to its bound: it is judged beyond it.
    size = max(size, 1_000) if now > 0.002 else 4_000
    return all(
        min(_seconds(run, shape, 4 * size) for _ in range(2))
        > 9 * min(_seconds(run, shape, size) for _ in range(3))
        for _ in range(2)
    )


def _seconds(run: Callable[[str], object], shape: Shape, size: int) -> float:
    text = text_of(shape, size)
    began = time.thread_time()
    run(text)
    return time.thread_time() - began


def _modules(package: str) -> Iterator[ModuleType]:
    top = importlib.import_module(package)
    yield top
    for each in pkgutil.walk_packages(top.__path__, f"{package}."):
        if not each.name.endswith("__main__"):
            yield importlib.import_module(each.name)


def _patterns(value: object, depth: int = 4) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
        return
    inside: Iterable[object] = ()
    if depth == 0:
        return
    if isinstance(value, Mapping):
        inside = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    elif isinstance(getattr(value, "__self__", None), re.Pattern):  # such as `_WORD.findall`
        inside = [getattr(value, "__self__", None)]
    elif isinstance(cells := getattr(value, "__closure__", None), tuple):
        inside = [each.cell_contents for each in cells]
    for each in inside:
        yield from _patterns(each, depth - 1)


def _methods(tree: ast.AST) -> dict[str, set[str]]:
    """Return the methods called on each name; "" where the name is handed on."""
    found: dict[str, set[str]] = {}
    owners = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
            owners.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in owners:
            found.setdefault(node.id, set()).add("")
    return found


def _repeated(parts: Any, flags: int, start: str = "") -> Iterator[tuple[str, str]]:
    """Yield what comes before a part and that part, for all parts of a parsed pattern."""
    items = list(parts)
    for choice in range(3):
        whole = ""
        for item in items:
            whole += _sample(item, flags, choice)
            yield "", start + whole
            yield start, whole
    for at, (kind, of) in enumerate(items):
        before = start + _samples(items[:at], flags)
        yield from ((before, letter) for letter in _letters(kind, of, flags))
        if kind in _REPEATS:
            inner = of[2]
            for choice in range(4):
                once = _samples(inner, flags, choice)
                yield from ((before, once), ("", once), (_samples(items[:at], flags, choice), once))
            yield before, _samples(inner, flags) * 8 + _samples(items[at + 1 : at + 2], flags)
            yield from _repeated(inner, flags, before)
        elif kind is _op.SUBPATTERN:
            yield from _repeated(of[-1], flags, before)
        elif kind is _op.ATOMIC_GROUP:
            yield from _repeated(of, flags, before)
        elif kind is _op.BRANCH:
            for option in of[1][:12]:
                yield from _repeated(option, flags, before)
        elif kind in (_op.ASSERT, _op.ASSERT_NOT):
            yield from _repeated(of[1], flags, before)


def _samples(parts: Any, flags: int, choice: int = 0) -> str:
    return "".join(_sample(item, flags, choice) for item in parts)


def _sample(item: Any, flags: int, choice: int) -> str:
    """Return a short text that a part matches; there are several choices."""
    kind, of = item
    if kind in _REPEATS:
        times = max(1 if choice < 2 else of[0], min(of[0], 20))
        return _samples(of[2], flags, choice) * times
    if kind is _op.SUBPATTERN:
        return _samples(of[-1], flags, choice)
    if kind is _op.ATOMIC_GROUP:
        return _samples(of, flags, choice)
    if kind is _op.BRANCH:
        return _samples(of[1][choice % len(of[1])], flags, choice)
    letters = _letters(kind, of, flags)
    return letters[choice % len(letters)] if letters else ""


def _letters(kind: Any, of: Any, flags: int) -> list[str]:
    """Return some characters that a part matches, if it matches one character."""
    if kind is _op.LITERAL:
        return [chr(of)]
    if kind is _op.ANY:
        return ["a", " ", ","]
    if kind is _op.NOT_LITERAL:
        return [letter for letter in "a ,\n<" if ord(letter) != of][:3]
    if kind is not _op.IN:
        return []
    found = [letter for letter in _SAMPLES if _is_in(letter, of)]
    listed = [chr(each if sort is _op.LITERAL else each[0]) for sort, each in of if _says(sort)]
    return found[:4] if of[0][0] is _op.NEGATE else [*found[:3], *listed[:2], *listed[-1:]]


def _says(sort: Any) -> bool:
    return sort in (_op.LITERAL, _op.RANGE)


def _is_in(letter: str, members: Any) -> bool:
    negated = members[0][0] is _op.NEGATE
    return negated != any(
        (sort is _op.LITERAL and ord(letter) == each)
        or (sort is _op.RANGE and each[0] <= ord(letter) <= each[1])
        or (sort is _op.CATEGORY and _is_of(letter, str(each)))
        for sort, each in members
    )


def _is_of(letter: str, category: str) -> bool:
    if "DIGIT" in category:
        known = letter.isdigit()
    elif "SPACE" in category:
        known = letter.isspace()
    else:
        known = letter.isalnum() or letter == "_"
    return known != ("NOT" in category)
