"""What every test gets: no network but loopback where asked for, and vocabularies on disk."""

from __future__ import annotations

import pytest

LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests marked `loopback`, and notebooks, reach this machine and nothing else."""
    for item in items:
        if item.get_closest_marker("loopback") or item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
