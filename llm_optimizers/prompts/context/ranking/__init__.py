"""How likely a passage or a part of it answers a question.

analysis.py     question and passages as terms; misspellings, types of answer
features.py     what the ranking weighs
model.py        `rank`: probabilities of passages and their parts; the weights are in ranking.json
"""
