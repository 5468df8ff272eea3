"""The Redis client of every store that several machines share.

A store passes a function: `server.call(lambda redis: redis.get(key))`, or `acall` in an event
loop. Every call has a deadline, and a failing server is skipped for a while, so that it does not
slow down the app. redis-py's own retries are off: only the store knows which calls may be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.forks import ProcessLock

try:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        NoScriptError,
        RedisError,
        ResponseError,
    )
    from redis.exceptions import TimeoutError as RedisTimeoutError
    from redis.retry import Retry
except ModuleNotFoundError as error:
    raise ImportError("Redis needs an extra: pip install 'llm-optimizers[redis]'") from error

__all__ = ["RedisServer"]

T = TypeVar("T")
C = TypeVar("C", Redis, AsyncRedis)

_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoopClient:
    """The client of one event loop; `closer` closes it when the loop shuts down."""

    client: AsyncRedis
    closer: AsyncGenerator[None, None]
    pid: int


class RedisServer:
    """One Redis server, for any number of threads, event loops and forked processes.

    Args:
        url: redis://user:password@host:port/db, rediss:// for TLS, unix:///path?db=0; redis-py's
            settings may follow as its query.
        deadline: seconds. It limits the whole of an async call, and each network step of a sync
            call (connecting, sending, receiving).
        breaker: when to skip a failing server; by default for a second, then up to a minute.

    Replies are bytes. Error messages contain neither the password nor the data sent.

    Raises (from every call):
        StoreError: the server cannot be reached in time, is being skipped, or refused the command.
    """

    def __init__(
        self, url: str, *, deadline: float = 2.0, breaker: CircuitBreaker | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            given = f"{parts.scheme}:" if parts.scheme else "no scheme"
            raise ConfigurationError(
                f"`url` starts with {given}; give the URL of a Redis, which starts with redis://, "
                "rediss:// or unix://"
            )
        self.url = url
        self.deadline = deadline
        self.name = "Redis at " + (parts.netloc.rpartition("@")[2] or parts.path)
        self._breaker = CircuitBreaker(time.monotonic) if breaker is None else breaker
        self._lock = ProcessLock()
        self._client: Redis | None = None
        self._client_pid = 0
        self._loop_clients: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        self._inherited: list[_LoopClient] = []
        # Parses the whole URL, so that a mistake in it is reported now.
        self._make(Redis, Retry, step_timeout=deadline)

    def call(self, function: Callable[[Redis], T]) -> T:
        """Return what `function` gets from the server, waiting in this thread."""
        with self._guarded():
            return function(self._own_client())

    async def acall(
        self, function: Callable[[AsyncRedis], Awaitable[T]], *, deadline: float | None = None
    ) -> T:
        """Return what `function` gets from the server, without blocking the event loop.

        `deadline` replaces the server's own for this call.
        """
        with self._guarded():
            async with asyncio.timeout(self.deadline if deadline is None else deadline):
                return await function(await self._own_loop_client())

    def eval(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        """Run a Lua script atomically and return its result; its text is sent only once."""
        rest = (*keys, *args)

        def run(redis: Redis) -> Any:
            try:
                return redis.evalsha(_sha(script), len(keys), *rest)
            except NoScriptError:
                return redis.eval(script, len(keys), *rest)

        return self.call(run)

    async def aeval(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | float],
        *,
        deadline: float | None = None,
    ) -> Any:
        """Run a script as `eval` does, without blocking the event loop."""
        rest = (*keys, *args)

        async def run(redis: AsyncRedis) -> Any:
            try:
                return await redis.evalsha(_sha(script), len(keys), *rest)
            except NoScriptError:
                return await redis.eval(script, len(keys), *rest)

        return await self.acall(run, deadline=deadline)

    def time(self) -> float:
        """Return the server's time in seconds since the epoch: one clock for all its clients."""
        seconds, microseconds = self.call(lambda redis: redis.time())
        return float(seconds) + float(microseconds) / 1e6

    def failure(self, error: Exception) -> StoreError:
        """Record an error of this server, and return the error to raise for it."""
        self._breaker.failed()
        reason = str(error) or type(error).__name__
        if isinstance(error, AuthenticationError):
            return StoreError(f"{self.name} refuses the user or password in its URL ({reason})")
        if isinstance(error, TimeoutError | RedisTimeoutError):
            return StoreError(f"{self.name} did not answer within {self.deadline} s; is it up?")
        return StoreError(f"{self.name} cannot be reached ({reason}); is it up?")

    def close(self) -> None:
        """Close this process's sync client; a later call opens another."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None and self._client_pid == os.getpid():
                client.close()

    async def aclose(self) -> None:
        """Close this event loop's client; `asyncio.run` does so by itself when it ends."""
        with self._lock:
            found = self._loop_clients.pop(asyncio.get_running_loop(), None)
        if found is not None and found.pid == os.getpid():
            await found.closer.aclose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if not self._breaker.allow():
            raise StoreError(f"{self.name} failed a moment ago and is being skipped for now")
        try:
            yield
        except ResponseError as error:
            self._breaker.succeeded()
            raise StoreError(f"{self.name} refused: {error}") from error
        except (RedisError, OSError) as error:
            raise self.failure(error) from error
        self._breaker.succeeded()

    def _own_client(self) -> Redis:
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client = self._make(Redis, Retry, step_timeout=self.deadline)
                self._client_pid = os.getpid()
            return self._client

    async def _own_loop_client(self) -> AsyncRedis:
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._loop_clients.get(loop)
            if found is not None and found.pid == os.getpid():
                return found.client
            for other in [other for other in self._loop_clients if other.is_closed()]:
                del self._loop_clients[other]
            if found is not None:
                # Closing the parent's connections here would close them for the parent too.
                self._inherited.append(found)
            # With a `socket_timeout` redis-py sends through `asyncio.wait_for`, which before Python
            # 3.12 often swallows a cancellation (https://github.com/python/cpython/issues/86296):
            # the deadline of `acall` would be lost. It covers every step anyway.
            client = self._make(AsyncRedis, AsyncRetry, step_timeout=None)
            closer = _close_with_loop(client)
            self._loop_clients[loop] = _LoopClient(client=client, closer=closer, pid=os.getpid())
        await anext(closer)
        return client

    def _make(self, client: type[C], retry: Any, *, step_timeout: float | None) -> C:
        try:
            return client.from_url(
                self.url,
                socket_timeout=step_timeout,
                socket_connect_timeout=self.deadline,
                retry=retry(NoBackoff(), 0),
                protocol=2,
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"the URL of {self.name} cannot be used: {error}") from error


async def _close_with_loop(client: AsyncRedis) -> AsyncGenerator[None, None]:
    """Close the client in the loop's `shutdown_asyncgens`, which runs before the loop ends."""
    try:
        yield
    finally:
        await client.aclose()


def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
