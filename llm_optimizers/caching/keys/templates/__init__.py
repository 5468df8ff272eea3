"""Where a prompt that is made from a template asks its question.

splitting.py  `split_question`: a prompt as its question and the text around it
forms.py      the forms of templates that are known
marks.py      the labels, tags and rules of a prompt
"""

from __future__ import annotations

from llm_optimizers.caching.keys.templates.splitting import SplitPrompt, split_question

__all__ = ["SplitPrompt", "split_question"]
