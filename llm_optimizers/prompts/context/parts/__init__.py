"""The smallest parts of a document that may be kept alone.

splitting.py    `split_parts`: a document split into its parts, block by block
part.py         a part, what it needs around it, and the text of those that are kept
prose.py        sentences over wrapped lines, list items
code.py         statements of code, prompts with their output
tables.py       the rows of a table with their header
json_values.py  the members of a JSON value
data_blocks.py  YAML, TOML, INI: entries with what is nested in them
fences.py       the fenced blocks of a text
chunks.py       parts in chunks that are ranked as passages
"""
