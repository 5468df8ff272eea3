"""Which stored row may answer a request: every row found is compared with whom it belongs to.

Others may write to the file of a cache: a merge, a restored copy, an editor. A row says itself
whose it is (`tenant`), what it was stored for (`scope`, `question`) and where it is found (`key`,
`normalised`). The keys follow from the other two, so they are derived again and compared. The
payload and the times are not proven: a writer of the file can forge an answer.
"""

from __future__ import annotations

from llm_optimizers.caching.answers import Tier
from llm_optimizers.caching.answers.cacheability import Cacheability, reason_not_to_cache
from llm_optimizers.caching.keys import CacheKey, keys_of_question, scope_digest
from llm_optimizers.caching.stores.protocol import Entry

__all__ = ["MAX_PAYLOAD", "reason_not_to_serve", "reason_not_to_use"]

MAX_PAYLOAD = 2**25
"""Characters of the longest answer that is stored or served."""
_CLOCK_STEP_S = 300.0
"""Seconds by which a clock may have been set back since an entry was stored."""


def reason_not_to_serve(entry: Entry, key: CacheKey, tier: Tier, now: float) -> str | None:
    """Return why an entry found for `key` must not answer it, None if it may."""
    if entry.tenant != key.tenant:
        return "it belongs to another tenant"
    if entry.created > now + _CLOCK_STEP_S:
        return "it was created in the future"
    if len(entry.payload) > MAX_PAYLOAD:
        return "its answer is too long"
    same_model = tier != "semantic" or entry.scope == key.scope
    if scope_digest(entry.scope) != scope_digest(key.scope) or not same_model:
        return "it belongs to another scope"
    found_by = {"exact": (entry.key, key.exact), "normalised": (entry.normalised, key.normalised)}
    found, asked = found_by.get(tier, (None, None))
    if found != asked:
        return "it belongs to another question"
    if entry.question is None:
        return None if tier == "exact" else "it does not say what it answers"
    exact, normalised = key.exact, key.normalised  # these follow from `key.asked`
    if entry.question != key.asked:
        exact, normalised = keys_of_question(entry.scope, entry.question)
    if entry.key != exact or entry.normalised not in (None, normalised):
        return "its keys do not follow from its question"
    return None


def reason_not_to_use(cacheability: Cacheability, key: CacheKey) -> str | None:
    """Return why an answer must not be stored under `key`, or served for it; None if it may."""
    reason = reason_not_to_cache(cacheability, choices=key.choices)
    if reason is not None:
        return reason
    if cacheability.completion not in (None, key.completion):
        return "it is a completion" if cacheability.completion else "it is a chat message"
    return None
