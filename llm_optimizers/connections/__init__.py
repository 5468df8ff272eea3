"""Connections to SQLite files and Redis servers, shared by all stores.

sqlite.py    Database: one SQLite file, or memory
schema.py    Schema: the tables a file must hold, their version and migrations
redis.py     RedisServer: one server, its sync and async clients (extra `redis`)
breaker.py   CircuitBreaker: skip calls to something that keeps failing
forks.py     ProcessLock, at_fork: stay correct when the process forks
lru.py       LRUCache: the values used last, shared by threads
"""
