"""`RedisServer` on a real Redis server."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.redis import RedisServer
from llm_optimizers.errors import ConfigurationError, StoreError
from support.programs import needs_redis
from support.redis_server import RedisProcess, redis_server

pytestmark = [pytest.mark.loopback, needs_redis]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def server(url: str) -> Iterator[RedisServer]:
    with closing(RedisServer(url)) as server:
        yield server


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def increment(server: RedisServer, key: str) -> int:
    return int(await server.acall(lambda redis: redis.incr(key)))


def test_threads_and_event_loops_share_a_server(server: RedisServer, key: str) -> None:
    async def many() -> None:
        await asyncio.gather(*(increment(server, key) for _ in range(20)))

    def sync() -> None:
        for _ in range(20):
            server.call(lambda redis: redis.incr(key))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(2)]
    threads += [threading.Thread(target=sync) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A loop that ends closes its client; the next loop gets another.
    asyncio.run(many())
    assert server.call(lambda redis: redis.get(key)) == b"100"


async def test_a_closed_client_is_replaced_by_another(server: RedisServer, key: str) -> None:
    for _ in range(2):
        await increment(server, key)
        await server.aclose()
    server.close()
    assert server.call(lambda redis: redis.get(key)) == b"2"


async def test_a_script_runs_also_after_the_server_has_dropped_it(
    server: RedisServer, key: str
) -> None:
    script = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), ARGV[2]}"
    for total in (2, 4):
        assert server.eval(script, [key], [2, b"\xff"]) == [total, b"\xff"]
    server.call(lambda redis: redis.script_flush())
    assert await server.aeval(script, [key], [2, "x"]) == [6, b"x"]


def test_time_is_the_clock_of_the_server(server: RedisServer) -> None:
    before = server.time()
    assert before <= server.time() <= before + 60


async def test_a_refused_command_raises_and_does_not_open_the_breaker(
    server: RedisServer, key: str
) -> None:
    server.call(lambda redis: redis.set(key, "text"))
    for _ in range(2):
        with pytest.raises(StoreError, match="refused: WRONGTYPE"):
            server.call(lambda redis: redis.lpush(key, "x"))
        with pytest.raises(StoreError, match="refused: WRONGTYPE"):
            await server.acall(lambda redis: redis.lpush(key, "x"))


async def test_a_cancelled_call_does_not_disturb_others(server: RedisServer, key: str) -> None:
    async def wait_for_nothing() -> Any:
        return await server.acall(lambda redis: redis.blpop([key], timeout=60))

    for _ in range(5):
        call = asyncio.create_task(wait_for_nothing())
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await server.acall(lambda redis: redis.echo("mine")) == b"mine"


async def test_a_wrong_password_is_reported_without_showing_it() -> None:
    with RedisProcess("--requirepass", "secret") as process:
        right = RedisServer(process.url.replace("redis://", "redis://:secret@"))
        assert right.call(lambda redis: redis.ping())
        right.close()
        for url in (process.url, process.url.replace("redis://", "redis://:wr0ng@")):
            wrong = RedisServer(url)
            with pytest.raises(StoreError, match="password") as caught:
                wrong.call(lambda redis: redis.ping())
            assert "wr0ng" not in str(caught.value)
            assert wrong.name == f"Redis at {process.url.removeprefix('redis://')[:-2]}"
            wrong.close()


async def test_a_stopped_server_is_skipped_and_used_again_after_its_restart(key: str) -> None:
    clock = Clock()
    with RedisProcess() as process:
        server = RedisServer(process.url, breaker=CircuitBreaker(clock))
        assert await increment(server, key) == 1
        assert server.call(lambda redis: redis.incr(key)) == 2
        process.stop()
        with pytest.raises(StoreError, match=r"cannot be reached.*is it up"):
            await increment(server, key)
        asked: list[Any] = []
        with pytest.raises(StoreError, match="skipped for now"):
            server.call(asked.append)
        with pytest.raises(StoreError, match="skipped for now"):
            await increment(server, key)
        assert not asked
        clock.now += 1.0
        with pytest.raises(StoreError, match="cannot be reached"):
            server.call(lambda redis: redis.incr(key))
        process.start()
        clock.now += 2.0
        assert await increment(server, key) == 1
        assert server.call(lambda redis: redis.incr(key)) == 2
        await server.aclose()
        server.close()


async def test_dropped_connections_are_replaced_without_an_error(key: str) -> None:
    with RedisProcess() as process:
        server = RedisServer(process.url)
        assert await increment(server, key) == 1
        assert server.call(lambda redis: redis.incr(key)) == 2
        # In threads, so that this loop notices the end of its connection.
        await asyncio.to_thread(process.stop)
        await asyncio.to_thread(process.start)
        assert await increment(server, key) == 1
        assert server.call(lambda redis: redis.incr(key)) == 2
        await server.aclose()
        server.close()


async def test_a_server_that_does_not_answer_raises_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        server = RedisServer(url, deadline=0.05, breaker=CircuitBreaker(Clock(), first_pause=0.0))
        for _ in range(2):
            with pytest.raises(StoreError, match=r"did not answer within 0\.05 s"):
                server.call(lambda redis: redis.ping())
            with pytest.raises(StoreError, match=r"did not answer within 0\.05 s"):
                await server.acall(lambda redis: redis.ping())
        await server.aclose()
        server.close()


async def test_the_deadline_covers_all_commands_of_one_call(url: str) -> None:
    server = RedisServer(url, deadline=0.02, breaker=CircuitBreaker(Clock(), first_pause=0.0))

    async def one_after_the_other(redis: Any) -> None:
        for _ in range(5_000):
            await redis.ping()

    for _ in range(10):
        with pytest.raises(StoreError, match="did not answer within"):
            await server.acall(one_after_the_other)
    await server.aclose()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks need POSIX")
def test_a_forked_child_uses_its_own_clients(server: RedisServer, key: str) -> None:
    async def many(prefix: str) -> None:
        async def one(number: int) -> None:
            name = f"{prefix}{number}"
            assert await server.acall(lambda redis: redis.echo(name)) == name.encode()

        await asyncio.gather(*(one(number) for number in range(20)))

    def both(prefix: str) -> None:
        for number in range(200):
            name = f"{prefix}{number}"
            assert server.call(lambda redis, name=name: redis.echo(name)) == name.encode()
        asyncio.run(many(prefix))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(many("before"))
    both("before")
    child = os.fork()
    if child == 0:
        try:
            both("child")
        except BaseException:
            os._exit(1)
        os._exit(0)
    both("parent")
    _, status = os.waitpid(child, 0)
    # The child's use of its copy of this loop's client did not close the parent's.
    loop.run_until_complete(many("after"))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert status == 0


def test_urls_with_tls_sockets_and_settings() -> None:
    tls = RedisServer("rediss://user:secret@redis.example:6380/3?ssl_cert_reqs=none")
    assert tls.name == "Redis at redis.example:6380"
    local = RedisServer("unix:///run/redis.sock?db=1")
    assert local.name == "Redis at /run/redis.sock"


async def test_rediss_urls_use_tls() -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                hello.append(connection.recv(3))

        thread = threading.Thread(target=accept)
        thread.start()
        server = RedisServer(f"rediss://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(StoreError, match="cannot be reached"):
            server.call(lambda redis: redis.ping())
        thread.join()
        server.close()
    assert hello[0][:2] == b"\x16\x03"  # a TLS handshake (RFC 8446, 5.1)


@pytest.mark.parametrize(
    "url",
    ["localhost:6379", "http://localhost", "", "redis://h:port", "redis://h?socket_timeout=x"],
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisServer(url)


def test_without_the_extra_the_error_names_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "llm_optimizers.connections.redis")
    with pytest.raises(ImportError, match=r"pip install 'llm-optimizers\[redis\]'"):
        importlib.import_module("llm_optimizers.connections.redis")
