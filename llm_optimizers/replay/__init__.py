"""Replaying a log of requests through a real chain, and counting what would have been saved.

log.py      reads a log, one OpenAI chat request a line
sheet.py    the log's answers, with what a provider would count for them
server.py   gives them over HTTP, as an OpenAI-compatible provider
batches.py  that provider's files and batches
app.py      the framework's side: what a chain has to offer to be replayed through
run.py      sends the requests and gathers the figures
later.py    sends what nobody waits for as a provider batch
judging.py  which answers were right, and which hits were wrong
show.py     the figures as a table and as JSON
data/       the day that `llm-optimizers demo` replays, and the labels its router is fitted on
"""
