"""Count the tokens of texts, images and requests, and say whether the number is exact.

tokens.py          TokenCounter: texts, messages, whole requests and calls
definitions.py     tools and schemas of the answer, in each provider's shape
counts.py          TokenCount: a number, and whether it is exact
images.py          images, by OpenAI's documented rules; audio.py: sound, by its length
vocabularies.py    which vocabulary a model uses, and how to load it without a network
"""

from __future__ import annotations

from llm_optimizers.prompts.counting.counts import TokenCount
from llm_optimizers.prompts.counting.tokens import TokenCounter
from llm_optimizers.prompts.counting.vocabularies import bare_name, is_recent_openai

__all__ = ["TokenCount", "TokenCounter", "bare_name", "is_recent_openai"]
