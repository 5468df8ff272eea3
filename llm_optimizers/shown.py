"""Make a text from outside safe to show: in a terminal, a log line, an error, a table.

Names, tags, errors and prompts come from users and providers. A control character in them could
clear the screen, forge a line of a log, hide text, or turn it round (bidirectional overrides), and
a text of a megabyte could bury the rest. JSON output does not need this: it escapes by itself.
"""

from __future__ import annotations

import logging
import unicodedata

from llm_optimizers.secrets import redacted

__all__ = ["safe_logger", "shown", "shown_lines", "without_controls"]

LONGEST = 300
LONGEST_LINES = 20_000
_LONGEST_RECORD = 2_000
_SPACES = "Zs"  # such as the no-break space; `str.isprintable` counts them as not printable


def shown(value: object, *, most: int = LONGEST) -> str:
    """Return a value's text on one line: without secrets and control characters, and not long."""
    text = _text_of(value)
    if len(text) <= most and text.isprintable():
        return redacted(text)
    # Cut before and after: what is escaped or removed changes the length.
    cut = without_controls(redacted(text[: most + LONGEST]), keep="")
    return cut if len(cut) <= most and len(text) <= most else f"{cut[: most - 1]}…"


def shown_lines(value: object, *, most: int = LONGEST_LINES) -> str:
    """Return a value's text as `shown` does, but with its line breaks."""
    text = _text_of(value)
    cut = without_controls(redacted(text[:most]).replace("\r\n", "\n"))
    return cut if len(text) <= most else f"{cut}…"


def without_controls(text: str, *, keep: str = "\n") -> str:
    r"""Return the text with every character that shows nothing as an escape, such as \x1b.

    Those are control and format characters (zero-width, bidirectional), line separators and
    halves of surrogate pairs, except those in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in keep or unicodedata.category(letter) == _SPACES
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an error's own text may fail
        return type(value).__name__


class _SafeRecords(logging.Filter):
    """Makes a log record safe to show: one line, without secrets and control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = shown(record.msg, most=_LONGEST_RECORD)
        if isinstance(record.args, tuple):
            record.args = tuple(
                each if isinstance(each, int | float) else shown(each, most=_LONGEST_RECORD)
                for each in record.args
            )
        if record.exc_info and not record.exc_text:
            found = logging.Formatter().formatException(record.exc_info)
            record.exc_text = shown_lines(found)
        return True


_SAFE = _SafeRecords()


def safe_logger(name: str) -> logging.Logger:
    """Return the logger of a module of this package; every record of it is safe to show."""
    found = logging.getLogger(name)
    found.addFilter(_SAFE)  # once, however often it is added
    return found
