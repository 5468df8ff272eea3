"""Keys: which requests are the same, and which may be matched by meaning.

key.py        the key of a request: exact, normalised, and the scope of a semantic match
characters.py what of a text's characters says nothing: composition, width, French spaces
capitals.py   capitals that may make another word, as in units, ids and addresses
questions.py  a question's normalised form, and its keys in a scope
templates/    where a prompt that is made from a template asks its question
unmatched.py  why a request has no question to be matched by meaning
text_tasks/   requests to work on a text, which are matched exactly only
"""

from llm_optimizers.caching.keys.key import CacheKey, cache_key
from llm_optimizers.caching.keys.questions import (
    keys_of_question,
    normalise,
    scope_digest,
)
from llm_optimizers.caching.keys.templates import SplitPrompt, split_question
from llm_optimizers.caching.keys.unmatched import Unmatched

__all__ = [
    "CacheKey",
    "SplitPrompt",
    "Unmatched",
    "cache_key",
    "keys_of_question",
    "normalise",
    "scope_digest",
    "split_question",
]
