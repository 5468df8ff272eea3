"""Decide whether a stored question asks the same as a new one.

index.py          the nearest stored questions of a scope, by FAISS
matcher.py        the decision: guards first, then a score; weights in matcher.json
guards.py         differences that forbid a match, whatever the vectors say
function_guard.py which differences in small words are harmless
order.py          whether two things changed places
pair_features.py  the features of a pair that the score weighs
text_features.py  what is compared of one text
tokens.py         its words, signs, names, codes and quotations
amounts.py        its numbers, units, currencies and dates
function_words.py its small words, any of which may be what is asked
word_use.py       a letter as a name, a verb or an auxiliary, a word that is spoken about
vocabulary.py     the word lists in data/, one folder a language
"""
