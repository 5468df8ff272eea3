"""The pass that is on by default, and tables: a whole text of data in fewer characters.

Only a text that is data as a whole is changed, and only to a form that is parsed and compared
first. JSON inside other text may be a program's literal, a test's expected output or an example of
how to write it, so it stays.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from llm_optimizers.prompts.lossless.json_layout import shorter_json
from llm_optimizers.prompts.lossless.tables import shorter_table

__all__ = ["LONGEST", "LOSSLESS", "PassName", "shorten"]

PassName: TypeAlias = Literal["json", "tables", "embedded_json", "markup", "whitespace", "repeats"]
LOSSLESS: frozenset[PassName] = frozenset({"json"})
"""The passes that are on by default: what is proven to change nothing."""

LONGEST = 2_000_000
"""Characters; a longer text fits no model, so it is not worth reading."""

_BLANKS = " \t\r\n"


def shorten(text: str, *, passes: frozenset[PassName] = LOSSLESS) -> str:
    """Return a text that is JSON as a whole in a shorter form with the same value.

    `json` takes the blanks out of JSON and of lines of JSON objects, `tables` writes records with
    the same keys as a table. Any other text, and the blanks around the data, stay as they are.
    """
    data = text.strip(_BLANKS)
    if not data or len(text) > LONGEST:
        return text
    shorter = shorter_table(data) if "tables" in passes else None
    if shorter is None and "json" in passes:
        shorter = shorter_json(data)
    return text if shorter is None else text.replace(data, shorter, 1)
