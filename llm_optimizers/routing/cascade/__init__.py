"""Cheap answers that are checked before they are served.

checks.py      checks of an answer that do not need the right one
verifier.py    combines checks and a judge's grade: accept the answer or escalate
break_even.py  fits a verifier, and tests whether the cascade saves more than its cheap calls cost
"""
