"""Paths that users give: what is refused, where they lead, and how files are made and written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching import JobQueue, ProviderBatch
from llm_optimizers.batching.provider.requests import read_jsonl
from llm_optimizers.caching import ResponseCache
from llm_optimizers.connections.paths import file_path, make_folders, private_append, replacing
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.evidence.labels import Label, read_labels, write_labels
from llm_optimizers.evidence.samples import SampleStore, read_traffic
from llm_optimizers.replay.log import read_log
from llm_optimizers.routing.learning.artefact import read_artefact

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes, pipes and links")


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"file.sqlite"


class NoClient:
    """A provider of batches that is never asked."""

    provider, limits = "none", None

    def create(self, *_: Any) -> Any:
        raise AssertionError

    find = look = results = cancel = create


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path | str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


TAKE_A_PATH: dict[str, Callable[[Any], object]] = {
    "cache": lambda path: ResponseCache[str](path=path),
    "ledger": Ledger,
    "queue": lambda path: JobQueue(path=path),
    "batch": lambda path: ProviderBatch(NoClient(), path=path),
    "samples": SampleStore,
    "traffic": lambda path: list(read_traffic(path)),
    "labels": read_labels,
    "labels written": lambda path: write_labels(path, [Label(prompt="p", scores={"a": 1})]),
    "router file": read_artefact,
    "log": read_log,
    "requests": read_jsonl,
}
WRONG: list[object] = [
    "",
    " ",
    b"file.sqlite",
    BytesPath(),
    "a\0b",
    "\ud800",
    5,
    ["file.sqlite"],
    "folder",
    Path("folder"),
    "new/",
    "~",
    "~no-such-user/file.sqlite",
    "redis://user:s3cret@host/0",
    Path("redis://user:s3cret@host/0"),
    " rediss://user:s3cret@host",
    "unix:///run/redis.sock",
    "sqlite:///file.sqlite",
    "file:file.sqlite?mode=ro",
    "file:///file.sqlite",
    "https://user:s3cret@host/file",
    "s3://bucket/key",
    "postgresql+psycopg://user:s3cret@host/db",
]


@pytest.mark.parametrize("taker", TAKE_A_PATH)
def test_what_is_no_files_path_is_refused_by_name_everywhere(taker: str, tmp_path: Path) -> None:
    for value in WRONG:
        with pytest.raises(ConfigurationError, match=r"^`path` is .*; give ") as raised:
            TAKE_A_PATH[taker](value)
        assert "s3cret" not in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@posix
@pytest.mark.parametrize("taker", ["cache", "ledger", "queue", "batch", "samples"])
@pytest.mark.parametrize("value", ["pipe", "/dev/null"])
def test_a_database_is_no_pipe_and_no_device(taker: str, value: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="not of a pipe or a device"):
        TAKE_A_PATH[taker](value)


def test_a_name_that_leaves_no_room_for_the_log_beside_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a name of at most"):
        Ledger("x" * 250)


def test_the_message_names_the_argument_that_takes_a_url() -> None:
    with pytest.raises(ConfigurationError, match="give it as `url`") as raised:
        JobQueue(path="redis://user:s3cret@host/0")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["a?b#c%20d", "ü\n✓", "$HOME", "x:y", "a b", "-wal", "deep/er/file", "c:\\x"]
)
def test_names_of_files_are_taken_as_they_are(name: str, tmp_path: Path) -> None:
    with Ledger(f"{name}.sqlite") as ledger:
        ledger.note("seen", {})
        assert ledger.dropped == 0
    assert (tmp_path / f"{name}.sqlite").is_file()


@posix
def test_a_tilde_is_a_home_and_a_relative_path_stays_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    user = pwd.getpwuid(os.getuid())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert file_path("path", "~/x") == tmp_path / "home" / "x"
    assert file_path("path", f"~{user.pw_name}/x") == Path(user.pw_dir) / "x"
    assert file_path("path", Path("x")) == tmp_path / "x"
    assert file_path("path", "a~b") == tmp_path / "a~b"


# --- Modes


@posix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_what_is_made_belongs_to_its_owner_under_any_umask(
    mask: int, tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(mask)
    with replacing(tmp_path / "new" / "file") as file:
        file.write("private")
    with private_append(tmp_path / "other" / "lines") as lines:
        lines.line("private")
    with Ledger(tmp_path / "third" / "deep" / "ledger") as ledger:
        ledger.note("seen", {})
        assert ledger.dropped == 0
        made = [each for each in tmp_path.rglob("*") if each.name != "folder"]
        assert {each.name for each in made} >= {"file", "lines", "ledger", "ledger-wal"}
        assert {each: mode(each) for each in made} == {
            each: 0o700 if each.is_dir() else 0o600 for each in made
        }


@posix
def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old\n")
    path.chmod(0o640)
    tmp_path.chmod(0o755)
    with replacing(path) as file:
        file.write("new\n")
    with private_append(path) as lines:
        lines.line("more")
    make_folders(tmp_path)
    assert path.read_text() == "new\nmore\n"
    assert (mode(path), mode(tmp_path)) == (0o640, 0o755)


# --- Writing


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write("half of")
            file.flush()
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


@posix
def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    (tmp_path / "dangling").symlink_to("new/file")
    for name in ("link", "dangling"):
        with replacing(tmp_path / name) as file:
            file.write("text")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "text"
    with replacing(Path("/dev/null")) as file:
        file.write("text")
    assert not Path("/dev/null").is_file()


FULL = """
import resource, signal, sys
from pathlib import Path
from llm_optimizers.connections.paths import private_append, replacing
from llm_optimizers.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
path = Path(sys.argv[1])
try:
    with replacing(path) as file:
        file.write("x" * 200)
except StoreError as error:
    print(error)
try:
    with private_append(path) as lines:
        lines.line("y" * 60)
        lines.line("z" * 60)
except StoreError as error:
    print(error)
"""


@posix
def test_a_full_disk_leaves_no_half_of_a_file_and_no_half_of_a_line(tmp_path: Path) -> None:
    """A limit on the file's size makes writes fail as a full disk does."""
    path = tmp_path / "file"
    path.write_text("old\n")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.count("cannot be written") == 2, done.stdout + done.stderr
    assert path.read_text() == "old\n" + "y" * 60 + "\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_line_is_not_appended_to_an_unended_one(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"prompt": "a", "scores": {"m": 1}}')
    write_labels(path, [Label(prompt="b\u2028c", scores={"m": 0})])
    assert [label.prompt for label in read_labels(path)] == ["a", "b\u2028c"]


def test_labels_are_written_as_they_come(tmp_path: Path) -> None:
    """Each may have cost calls to several models."""

    def labels() -> Iterator[Label]:
        yield Label(prompt="paid", scores={"m": 1})
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        write_labels(tmp_path / "new" / "labels.jsonl", labels())
    assert [label.prompt for label in read_labels(tmp_path / "new" / "labels.jsonl")] == ["paid"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "let this user"),
        (errno.EMFILE, "ulimit"),
        (errno.EIO, "its disk fails"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(StoreError, match=advice), replacing(tmp_path / "new" / "file"):
        pass
    samples = SampleStore(tmp_path / "new" / "samples")
    with pytest.raises(StoreError, match=advice):
        samples.count()


@pytest.mark.parametrize("reader", ["labels", "log", "requests", "router file"])
def test_a_missing_file_to_read_is_named(reader: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.jsonl"):
        TAKE_A_PATH[reader](tmp_path / "missing.jsonl")
