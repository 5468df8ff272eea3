"""Cheap answers that are checked before they are served.

checks.py    what can be said of an answer without knowing the right one
verifier.py  from checks and a judge's grade to a verdict
worth.py     whether the cascade pays for what its cheap calls cost
"""
