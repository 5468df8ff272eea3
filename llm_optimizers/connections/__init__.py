"""How SQLite files and Redis servers are opened and kept open: once, for every store.

sqlite.py    Database: one SQLite file, or memory
schema.py    Schema: the tables a file must hold, their version and migrations
redis.py     RedisServer: one server, its sync and async clients (extra `redis`)
breaker.py   CircuitBreaker: what keeps failing is left alone for a while
forks.py     ProcessLock, at_fork: what must hold when a process forks
recent.py    Recent: the values used last, between threads
"""
