"""A real PostgreSQL on this machine, for one test session or one benchmark."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.programs import PROGRAMS
from support.redis_server import free_port

PASSWORD = "s3cret-of-postgres"  # which no message may show
_QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "log_min_messages": "panic",
}


class PostgresProcess:
    """A server on a free port of 127.0.0.1 that can be stopped and started.

    It keeps its data in a temporary folder until the end of the block. As root it runs under
    another user, since PostgreSQL refuses root.
    """

    def __init__(self, **settings: object) -> None:
        found = PROGRAMS["postgres"].path()
        assert found is not None
        self._programs = Path(found).resolve().parent
        self._user = _other_user()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._port = free_port()
        self._settings = {**_QUICK, "max_connections": "100", **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/{database}"

    def create(self) -> None:
        """Make the files of a new server."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            for path in (self.folder, secret):
                shutil.chown(path, self._user)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8", "--locale=C",
                  "--no-sync", "--auth-host=scram-sha-256", "--auth-local=trust",
                  f"--pwfile={secret}")  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += ["-p", str(self._port), "-h", "127.0.0.1", "-k", str(self.folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            user=self._user,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        limit = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "postgres ended; is its port taken?"
            assert time.monotonic() < limit, "postgres does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once; its clients lose their connections."""
        process, self._process = self._process, None
        if process is not None:
            self._signal(process, signal.SIGCONT)  # in case it is paused
            process.send_signal(signal.SIGINT)  # a "fast shutdown"
            process.wait()

    def pause(self) -> None:
        """Let it hang: its connections stay open and nothing is answered."""
        assert self._process is not None
        self._signal(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._signal(self._process, signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run statements as the server's owner, and return the rows as text."""
        done = self._run("psql", "-h", self.folder, "-p", str(self._port), "-U", "postgres",
                         "-d", database, "-v", "ON_ERROR_STOP=1", "-qAtc", statement)  # fmt: skip
        return done.strip()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def __enter__(self) -> Self:
        self.create()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run([*command, "-q", "-t", "5"], check=False).returncode == 0

    def _run(self, program: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [str(self._programs / program), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=self._user,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal to the server and all its workers, each in a process group of its own."""
        children: Any = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for pid in (process.pid, *map(int, children.read_text().split())):
            os.kill(pid, number)


def _end_with_parent() -> None:
    """Have this process ended when the one that tests is killed (Linux: PR_SET_PDEATHSIG)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _other_user() -> str | None:
    """Who runs the server when the tests run as root, None if they do not."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
