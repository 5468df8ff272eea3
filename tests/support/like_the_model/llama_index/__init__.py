"""Every way to use an LLM of LlamaIndex, through every wrapper, beside the bare LLM.

`server` answers by what is asked, `wrappers` are the columns and `ways` the rows of the table,
`observed` compares two runs of a way, and `differences` lists what may differ.
"""

from support.like_the_model.llama_index.differences import table_of_differences

__all__ = ["table_of_differences"]
