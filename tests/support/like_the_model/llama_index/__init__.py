"""Every way to use an LLM of LlamaIndex, through every wrapper, beside the bare LLM.

`server` answers by what is asked, `wrappers` are the columns and `ways` the rows of the table,
`observed` compares two runs of a way, and `differences` lists what may differ.
"""
