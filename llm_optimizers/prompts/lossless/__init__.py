"""Passes that leave what a prompt says as it is: blanks, markup noise, JSON, repeats.

passes.py     `shorten`: the passes over a text, block by block
records.py    JSON without blanks, or as a table
repeats.py    what is said twice
"""

from __future__ import annotations

from llm_optimizers.prompts.lossless.json_layout import minified, to_table
from llm_optimizers.prompts.lossless.passes import LOSSLESS, PassName, Shortened, shorten
from llm_optimizers.prompts.lossless.repeats import instruction, is_example

__all__ = [
    "LOSSLESS",
    "PassName",
    "Shortened",
    "instruction",
    "is_example",
    "minified",
    "shorten",
    "to_table",
]
