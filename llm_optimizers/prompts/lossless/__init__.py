"""Shorter forms of a prompt: proven to change nothing, or opt-in by name.

proven.py        `shorten`: a whole text of data; LOSSLESS, what is on by default
json_layout.py   JSON without blanks, proven to have the same value
tables.py        records as a table and back: `to_table`, `from_table`
optional.py      passes for prompts that a person decides for, each as a list of edits
prose.py         the paragraphs that are surely prose
data/            words by which a text asks about what a pass would take away
"""

from __future__ import annotations

from llm_optimizers.prompts.lossless.json_layout import minified
from llm_optimizers.prompts.lossless.optional import Edit, edited, optional_edits, with_edits
from llm_optimizers.prompts.lossless.proven import LOSSLESS, PassName, shorten
from llm_optimizers.prompts.lossless.tables import from_table, to_table

__all__ = [
    "LOSSLESS",
    "Edit",
    "PassName",
    "edited",
    "from_table",
    "minified",
    "optional_edits",
    "shorten",
    "to_table",
    "with_edits",
]
