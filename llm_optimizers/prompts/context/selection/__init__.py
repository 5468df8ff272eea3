"""What to keep of some passages within a budget.

selector.py     PassageSelector: selects passages and their parts
knapsack.py     fills a budget with parts by value against cost
kept.py         what is kept of some passages
keeping.py      how far a context is cut: to its budget, less, or not at all
tasks.py        which requests are questions, and which are tasks that need all of the documents
data/           words of such tasks, by language
"""
