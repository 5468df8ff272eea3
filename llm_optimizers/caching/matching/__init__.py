"""Whether a stored question asks the same as a new one: found by FAISS, judged by text.

index.py     the nearest stored questions of a scope
matcher.py   the verdict: guards first, then a score (`matcher_for` an embedder)
guards.py    lookalikes that ask something else, whatever their vectors say
features.py  what the score is made of; acceptance.json holds its fitted weights
profiles.py  a text taken apart, once, for guards and score
amounts.py   its numbers, units, currencies, dates and codes
data/        the word lists of the last two: opposites, units, currencies, ...
"""
