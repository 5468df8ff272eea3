"""Lossless passes, which shorten a prompt without changing its meaning.

passes.py         `shorten`: runs the passes over a text, block by block
json_layout.py    JSON without whitespace, or as a table
repeats.py        removes repeated instructions and paragraphs
"""

from __future__ import annotations

from llm_optimizers.prompts.lossless.json_layout import minified, to_table
from llm_optimizers.prompts.lossless.passes import LOSSLESS, PassName, Shortened, shorten
from llm_optimizers.prompts.lossless.repeats import instruction_key, is_example

__all__ = [
    "LOSSLESS",
    "PassName",
    "Shortened",
    "instruction_key",
    "is_example",
    "minified",
    "shorten",
    "to_table",
]
