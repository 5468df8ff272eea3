"""Without its framework, a package says which command installs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if (name + ".").startswith({missing!r} + "."):
            raise ModuleNotFoundError("No module named " + repr({missing!r}), name={missing!r})

sys.meta_path.insert(0, NotInstalled())
import {package}
assert {name!r} in dir({package})
try:
    {package}.{name}
except ImportError as error:
    print(error)
    print("cause:", type(error.__cause__).__name__)
"""


def first_use(package: str, name: str, missing: str) -> subprocess.CompletedProcess[str]:
    """The first use of a name in a process that cannot import `missing`."""
    script = SCRIPT.format(package=package, name=name, missing=missing)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("package", "name", "missing", "extra"),
    [
        ("langchain_llm_optimizers", "HybridCache", "langchain_core", "langchain"),
        ("langchain_llm_optimizers", "CostCallbackHandler", "langchain_core", "langchain"),
        ("langchain_llm_optimizers.middleware", "CacheMiddleware", "langchain", "langchain"),
        ("llama_index_llm_optimizers", "CachedLLM", "llama_index", "llama-index"),
        ("llama_index_llm_optimizers", "CostEventHandler", "llama_index", "llama-index"),
    ],
)
def test_the_first_use_of_a_name_says_what_to_install(
    package: str, name: str, missing: str, extra: str
) -> None:
    run = first_use(package, name, missing)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (
        f"{package}.{name} needs {missing}, which is not installed: "
        f"pip install 'llm-optimizers[{extra}]'\ncause: ModuleNotFoundError\n"
    )


def test_an_error_inside_the_package_is_not_a_missing_extra() -> None:
    run = first_use("langchain_llm_optimizers", "HybridCache", "langchain_llm_optimizers.codec")
    assert run.stdout == "No module named 'langchain_llm_optimizers.codec'\ncause: NoneType\n"
