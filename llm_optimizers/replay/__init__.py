"""Replaying a log of requests through a real app, and counting what would have been saved.

log.py       the log's format: one OpenAI chat request a line
app.py       what a framework's app offers to be replayed through, and where to find it
run.py       sends the requests, bare and with strategies, one by one and in a provider batch
judging.py   which answers were right, and which hits were wrong
figures.py   the figures of a replay
table.py     the figures as a table for the terminal

answers.py   what a recorded provider answers: the rule's protocol, and the rule of logs
provider.py  that provider's completions, files and batches, and what it billed
server.py    the same over HTTP, as OpenAI's API

shipped.py   the day that ships with the package, its router and its provider
data/        the lines of that day, and the labels of the week before
"""
