"""Shorter prompts: what is kept of a context, what the lossless passes change, and how fast.

data_sets.py    the prompts of each set, and the weights to measure them with
prompt.py       a question with its documents and answers
questions.py    our own questions, about the documentation of installed packages
docs.py         that documentation, in chunks (chunks.py)
methods.py      our selector and other tools (bm25.py)
retention.py    answers still there after a selection
forms.py        the ways in which apps write documents into a prompt
entrance.py     answers still there after `RequestOptimizer`
declined.py     contexts of which less is cut, or nothing
speed.py        milliseconds

lossless.py     texts that mean something else after the passes
corpus/         those texts, from files of this machine
places.py       where a text can stand in a request
judges.py       whether two texts mean the same
agents.py       the tool outputs of recorded agents' runs
"""
