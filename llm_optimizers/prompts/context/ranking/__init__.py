"""How likely a passage or a part of it answers a question.

analysis.py     question and passages as terms, misspellings
answers.py      what kind of answer a question asks for
clauses.py      the questions inside a question that asks for several things
words.py        the words of questions, from data/
features.py     what the ranking weighs
rankings.py     the result, and how those of several clauses are combined
model.py        `rank`: probabilities of passages and their parts; the weights are in ranking.json
data/           words of questions, by language
"""
