"""Tests that need a program from outside PyPI: skipped without it, run with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import PROGRAMS, Program, wanted

ROOT = Path(__file__).parents[2]


def pytest_says(test: Path, path: Path) -> str:
    """What pytest prints of a test with this repository's settings and programs of one folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "pyproject.toml", str(test)],
        cwd=ROOT,
        env={**os.environ, "PATH": str(path), "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def install(program: Program, folder: Path) -> None:
    (folder / program.commands[0]).touch(mode=0o755)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, program in PROGRAMS.items():
        on_path = Program(program.what, program.commands[:1], program.package)
        monkeypatch.setitem(PROGRAMS, name, on_path)
    return tmp_path


def test_a_test_is_skipped_without_its_program_and_says_what_to_install(tmp_path: Path) -> None:
    test = tmp_path / "test_page.py"
    test.write_text(f"import pytest\n\n@pytest.mark.{'browser'}\ndef test_page(): pass\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    said = pytest_says(test, programs)
    assert "needs a web browser: apt-get install chromium" in said
    assert "1 skipped" in said
    install(PROGRAMS["browser"], programs)
    assert "1 passed" in pytest_says(test, programs)


def test_a_program_is_found_on_the_path_or_at_its_place(tmp_path: Path) -> None:
    for version in ("9", "15"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "serve").touch()
    assert Program("a server", ("no-such-command", f"{tmp_path}/*/serve"), "server").path() in (
        f"{tmp_path}/9/serve",
        f"{tmp_path}/15/serve",
    )
    assert Program("a server", ("no-such-command", f"{tmp_path}/*/other"), "server").path() is None


@pytest.mark.parametrize("mark", PROGRAMS)
def test_only_packages_that_a_mark_asks_for_are_wanted(mark: str, nothing_installed: Path) -> None:
    tests = nothing_installed / "tests"
    tests.mkdir()
    (tests / "test_plain.py").write_text("import pytest\npytestmark = pytest.mark.loopback\n")
    assert wanted([tests]) == []
    (tests / "test_marked.py").write_text(f"import pytest\npytestmark = [pytest.mark.{mark}]\n")
    assert wanted([tests]) == [PROGRAMS[mark].package]
    install(PROGRAMS[mark], nothing_installed)
    assert wanted([tests]) == []
