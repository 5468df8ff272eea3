"""Paths that users give: checked and opened in one way, for every file the package has.

`~` and `~user` mean a home directory, `$NAME` stays as it is, a relative path means the working
directory of the moment it was given. New files hold text that is nobody else's business: they have
mode 0600 and new folders 0700 under any umask; files that exist keep their mode.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from llm_optimizers.arguments import refuse
from llm_optimizers.errors import ConfigurationError, StoreError

__all__ = [
    "advice_for",
    "file_path",
    "make_file",
    "make_folders",
    "opened_to_read",
    "private_append",
    "replacing",
]

# `Path` makes one slash of two: "redis://host" may come as "redis:/host".
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|:/(?=[^/]))|(file|sqlite):", re.ASCII)
_FILE_SCHEMES = ("file", "sqlite")
_ADVICE: Mapping[int, str] = {
    errno.EACCES: "let this user read and write it, and its folder",
    errno.EPERM: "let this user read and write it, and its folder",
    errno.EROFS: "its disk is read-only: give a path on another one",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room: this user's share of the disk is full",
    errno.EIO: "its disk fails: give a path on another one",
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: raise its limit",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "its symbolic links lead in a circle: give another path",
    errno.ENOTDIR: "a folder in it is a file: give another path",
    errno.EISDIR: "it is a folder: give the path of a file",
    errno.ENOENT: "there is no such file",
}


def file_path(name: str, value: object, *, url: str | None = None) -> Path:
    """Check the path of a file, which need not exist, and return it as an absolute path.

    `url` is the argument that takes a server's URL, if the same function has one.

    Raises:
        ConfigurationError: it can be no file's path: empty, bytes, a folder, a device, a URL.
    """
    given = _text_of(name, value)
    if not given.strip():
        refuse(name, given, "the path of a file")
    found = _URL.match(given.strip())
    if found is not None:
        _refuse_url(name, (found[1] or found[2]).lower(), url)
    if "\0" in given or not _encodable(given):
        refuse(name, given, "a path without characters that no file name can have")
    try:
        path = Path(given).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(
            f"`{name}` is {given!r}, but the home directory is unknown; give the whole path"
        ) from error
    if given.endswith(os.sep) or os.path.isdir(path):  # noqa: PTH112 - it raises no errors
        refuse(name, given, "the path of a file, not of a folder")
    return path


def advice_for(error: OSError) -> str:
    """Return what to do about an error of the operating system."""
    return _ADVICE.get(error.errno or 0, "see the reason given")


def make_folders(folder: Path) -> None:
    """Create missing folders, readable by their owner only."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            each.mkdir(mode=0o700)
            each.chmod(0o700)  # whatever the umask takes away


def make_file(path: Path) -> bool:
    """Create an empty file, readable by its owner only; False if there is one already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb"):
        _set_mode(descriptor, 0o600)
    return True


@contextmanager
def opened_to_read(path: Path) -> Iterator[None]:
    """Turn an error of the file read in this block into one that says what to do.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror or error}); {advice_for(error)}"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of `path` at the end of the block.

    A killed process or a full disk leaves the former file, or none, and never half of one. What is
    no ordinary file (/dev/stdout, a pipe) is written to directly.

    Raises:
        StoreError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    with _written(path):
        make_folders(target.parent)
        known = target.stat() if target.exists() else None
        if known is not None and not stat.S_ISREG(known.st_mode):
            with target.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            return
        descriptor, partial = tempfile.mkstemp(prefix=".part-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                _set_mode(descriptor, 0o600 if known is None else stat.S_IMODE(known.st_mode))
                yield file
                file.flush()
                os.fsync(descriptor)
            os.replace(partial, target)  # noqa: PTH105 - `partial` is a text
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial)  # noqa: PTH108 - as above
            raise


@contextmanager
def private_append(path: Path) -> Iterator[PrivateAppend]:
    """Open a file to append lines to; see `PrivateAppend`.

    Raises:
        StoreError: the file cannot be written.
    """
    with _written(path):
        target = Path(os.path.realpath(path))
        make_folders(target.parent)
        make_file(target)
        descriptor = os.open(target, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
    try:
        yield PrivateAppend(path, descriptor)
    finally:
        os.close(descriptor)


class PrivateAppend:
    """Appends whole lines: each is written at once, and taken back if there is no room for it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._ordinary = stat.S_ISREG(os.fstat(descriptor).st_mode)

    def line(self, text: str) -> None:
        """Append a line.

        Raises:
            StoreError: the file cannot be written; it holds nothing of this line.
        """
        data = f"{text}\n".encode("utf-8", "surrogatepass")
        with _written(self._path):
            size = os.fstat(self._descriptor).st_size
            if self._ordinary and size:
                os.lseek(self._descriptor, size - 1, os.SEEK_SET)
                if os.read(self._descriptor, 1) != b"\n":
                    data = b"\n" + data  # its last line was not ended
            try:
                self._write(data)
            except OSError:
                if self._ordinary:
                    os.ftruncate(self._descriptor, size)
                raise

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}); {advice_for(error)}"
        ) from error


def _text_of(name: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        refuse(name, value, "the path of a file, as a text or a Path")
    return text


def _refuse_url(name: str, scheme: str, url: str | None) -> NoReturn:
    """Refuse a URL without showing it, since it may hold a password."""
    if scheme in _FILE_SCHEMES:
        give = "the path of the file alone, such as 'answers.sqlite'"
    elif url is not None and scheme in ("redis", "rediss", "unix"):
        give = f"it as `{url}`, or the path of a file"
    else:
        give = "the path of a file"
    raise ConfigurationError(f"`{name}` is a URL ({scheme}:); give {give}")


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _set_mode(descriptor: int, mode: int) -> None:
    """Set a file's mode, whatever the umask took away; Windows has no such modes."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
