"""What every test gets: no network but loopback where asked for, and examples without a clock.

A test whose program is not installed is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import certifi
import pytest
from hypothesis import HealthCheck, Phase, settings

from support.postgres_server import PostgresProcess
from support.programs import PROGRAMS, missing

LOOPBACK = ["127.0.0.1", "::1", "localhost"]

# No test is about time: on a busy machine any example may take long. Named with
# --hypothesis-profile; `explore` is the one without the option.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", _CALM, max_examples=200)
settings.register_profile("ci", _CALM, max_examples=200, derandomize=True)
settings.register_profile("thorough", _CALM, max_examples=1_000)
settings.register_profile(
    "mutants",  # One failure is enough: it need not be the smallest.
    _CALM,
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("explore")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests marked `loopback`, and notebooks, reach this machine and nothing else."""
    absent = {mark: reason for mark in PROGRAMS if (reason := missing(mark)) is not None}
    for item in items:
        if item.get_closest_marker("loopback") or item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
        for mark in absent.keys() & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.skip(reason=absent[mark]))
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(900))  # --nbmake-timeout ends a cell before
    if "MUTANT_UNDER_TEST" in os.environ:
        # mutmut collects several times in one process, and each time pytest escapes the letters
        # of such a name once more: the test would be missing, and the mutant seem killed.
        config.hook.pytest_deselected(items=[item for item in items if "\\" in item.nodeid])
        items[:] = [item for item in items if "\\" not in item.nodeid]


@pytest.fixture(autouse=True, scope="session")
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give HTTP clients one certificate authority: each reads all of them, and no test uses TLS."""
    authority, end, _ = certifi.contents().partition("-----END CERTIFICATE-----")
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(authority + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A PostgreSQL server; a test that stops it starts it again."""
    with PostgresProcess() as process:
        yield process
