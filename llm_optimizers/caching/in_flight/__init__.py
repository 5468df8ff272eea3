"""Calls in flight: identical calls at the same time are made once.

single_flight.py  who makes the call, and how the others wait for its answer
pacing.py         streams that say whether their reader or their provider is slow
"""
