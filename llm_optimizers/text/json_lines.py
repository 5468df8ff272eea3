"""JSON Lines: one JSON value a line, read and written in one way for every file of the package.

Only a line feed ends a line (https://jsonlines.org). `str.splitlines` also splits at U+2028, U+0085
and others, which a JSON string may hold unescaped
(https://www.rfc-editor.org/rfc/rfc8259#section-7). Lines may end with CR LF, start with a byte
order mark, or be blank; the file may be gzipped. Of a key that stands twice, the last counts.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

__all__ = ["JSONLine", "json_line", "json_lines", "opened_lines"]

LONGEST_LINE = 2**26  # bytes; a longer line is skipped and never held in memory as a whole
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class JSONLine:
    """A line that is not blank: its number, counted from 1, and its value.

    `reason` says why it cannot be read, and is None if it can.
    """

    number: int
    value: Any = None
    reason: str | None = None

    def read(self) -> Any:
        """Return the value.

        Raises:
            ValueError: the line cannot be read; says why.
        """
        if self.reason is not None:
            raise ValueError(self.reason)
        return self.value


@contextmanager
def opened_lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Open a file as lines of bytes; gzip is recognised by content, not by name.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield _bounded(unpacked)
        else:
            yield _bounded(file)


def json_lines(
    lines: Iterable[bytes], *, any_number: bool = False, replace_bytes: bool = False
) -> Iterator[JSONLine]:
    """Parse lines; one that cannot be read has its reason instead of a value.

    Args:
        lines: the lines, with or without their line feeds.
        any_number: accept NaN and Infinity, which Python writes and JSON does not have.
        replace_bytes: read a line that is not UTF-8 with its wrong bytes replaced.
    """
    parse = json.loads if any_number else _strictly
    errors = "replace" if replace_bytes else "strict"
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(codecs.BOM_UTF8)
            if not text.strip():
                continue
            value, reason = None, None
            try:
                value = parse(_short(text).decode(errors=errors))
            except (ValueError, RecursionError) as error:
                reason = _reason(error, text, number)
            yield JSONLine(number=number, value=value, reason=reason)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield JSONLine(
            number=number + 1,
            reason="the gzip file is cut off or damaged here and cannot be read further",
        )


def json_line(value: Any) -> str:
    """Return a value as one line of JSON, with its line feed.

    Letters of all languages stay readable; everything else that is not printable is escaped, so
    that the line stays one line for every reader, and half of a surrogate pair can be written.
    """
    text = json.dumps(value, ensure_ascii=False)
    return (text if text.isprintable() else json.dumps(value)) + "\n"


def _short(line: bytes) -> bytes:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
    return line


def _strictly(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _reason(error: ValueError | RecursionError, text: bytes, number: int) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if not isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error}"
    if number == 1 and text.lstrip().startswith(b"["):
        return "the file is one JSON array: write each of its values on a line"
    if not text.endswith(b"\n"):
        return f"not JSON: {error.msg} (was the file cut off here?)"
    return f"not JSON: {error.msg}"


def _bounded(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is too long, only its first bytes."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)
