"""Nothing writes its warnings by itself: the log is a listener to events like any other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("llm_optimizers", "integrations") for path in (ROOT / folder).rglob("*.py")
)
THE_LOG = ROOT / "llm_optimizers/events/log.py"
LEVELS = frozenset({"warning", "error", "exception", "critical", "warn", "fatal"})
LOGGERS = ("log", "logging", "logger", "safe_logger(", "getLogger(")


def written(source: str) -> Iterator[str]:
    """Return the calls that write a warning or worse to a log, by whatever name the log has."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        method, of = node.func.attr, ast.unparse(node.func.value).lower()
        if method in LEVELS and any(name.lower() in of for name in LOGGERS):
            yield f"line {node.lineno}: {ast.unparse(node.func)}"
        if method == "log" and "WARN" in ast.unparse(node.args[0] if node.args else node).upper():
            yield f"line {node.lineno}: {ast.unparse(node.func)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_warnings_are_events(path: Path) -> None:
    if path != THE_LOG:
        found = list(written(path.read_text("utf-8")))
        assert not found, "emit a `Notice` (llm_optimizers/events), which the log writes"


def test_the_log_itself_writes_them() -> None:
    assert list(written(THE_LOG.read_text("utf-8")))


@pytest.mark.parametrize(
    "line",
    [
        "_log.warning('x')",
        "logger.error('x')",
        "self._log.exception('x')",
        "logging.getLogger('x').critical('x')",
        "safe_logger(__name__).warning('x')",
        "log.log(logging.WARNING, 'x')",
    ],
)
def test_each_way_is_seen(line: str) -> None:
    assert list(written(line))


@pytest.mark.parametrize("line", ["future.exception()", "_log.debug('x')", "sys.exception()"])
def test_what_is_no_warning_is_left_alone(line: str) -> None:
    assert not list(written(line))
