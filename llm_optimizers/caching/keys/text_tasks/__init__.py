"""Recognise requests to work on a text: summarise, translate, classify, rewrite or correct it.

detection.py  whether a request is one, from all its messages
prompts.py    system prompts that make every message a text to work on
messages.py   a user's message that asks for work on a text attached to it
reading.py    the words of a text with their roles; the word lists in data/, one folder a language
"""
