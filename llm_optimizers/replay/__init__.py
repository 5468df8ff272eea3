"""Replay a log of requests through a real app and measure what the strategies would have saved.

log.py       the log's format: one OpenAI chat request per line
app.py       the interface of an app that requests are replayed through, one per framework
run.py       sends the requests, without and with strategies, one by one and in a provider batch
judging.py   counts right answers and wrong hits
figures.py   the figures of a replay
table.py     the figures as a table for the terminal

answers.py   the answers of the recorded provider: the protocol, and answers from a log
provider.py  the recorded provider without HTTP: completions, files, batches, the bill
server.py    the recorded provider over HTTP, with OpenAI's API

shipped.py   the sample day that ships with the package, its router and its provider
data/        the log of that day, and labels of the week before
"""
