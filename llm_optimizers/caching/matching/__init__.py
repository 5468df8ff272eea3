"""Decide whether a stored question asks the same as a new one.

index.py          the nearest stored questions of a scope, by FAISS
matcher.py        the decision: guards first, then a score; weights in matcher.json
guards.py         differences that forbid a match, whatever the vectors say
pair_features.py  the features of a pair that the score weighs
text_features.py  what is compared of one text
amounts.py        its numbers, units, currencies, dates and codes
vocabulary.py     the word lists in data/, one folder a language
"""
