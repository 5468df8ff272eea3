"""Files, and connections to SQLite files and Redis servers, shared by all stores.

paths.py     file_path: the paths that users give; files that are made, replaced, appended to
sqlite.py    Database: one SQLite file, or memory
opening.py   Opener: a file is opened for writing, or only read
files.py     Place: which file is at a path, and what lies beside it
schema.py    Schema: the tables a file must hold, their version and migrations
redis.py     RedisServer: one server, its sync and async clients (extra `redis`)
breaker.py   CircuitBreaker: skip calls to something that keeps failing
forks.py     at_fork, Unforked: stay correct when the process forks
lru.py       LRUCache: the values used last, shared by threads
"""
