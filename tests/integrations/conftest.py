"""Other providers' models come with the extra `providers`; without it their tests are left out."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

_WITHOUT = find_spec("langchain_anthropic") is None
collect_ignore = ["providers"] if _WITHOUT else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _WITHOUT:
        terminalreporter.write_line(
            "tests/integrations/providers was left out: pip install -e '.[providers]'"
        )
