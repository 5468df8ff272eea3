"""The packages import nothing that pyproject.toml does not name, such as what openai 2 brings."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"llm_optimizers", "langchain_llm_optimizers", "llama_index_llm_optimizers"}
FOR_DEVELOPERS = {"bench", "dev", "providers"}
# What a framework cannot do without, whichever version of it is installed.
OF_FRAMEWORKS = {
    "langgraph": "langchain",
    "langsmith": "langchain-core",
    "llama-index-instrumentation": "llama-index-core",
    "llama-index-workflows": "llama-index-core",
    "pydantic-core": "pydantic",
    "scipy": "scikit-learn",
    "threadpoolctl": "scikit-learn",
}


def _named(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((each.name, path) for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module, path


@pytest.mark.parametrize("folder", ["llm_optimizers", "integrations"])
def test_every_import_is_of_a_named_dependency(folder: str) -> None:
    extras = PROJECT["optional-dependencies"]
    groups = [PROJECT["dependencies"], *(extras[x] for x in extras.keys() - FOR_DEVELOPERS)]
    named = {_named(requirement) for group in groups for requirement in group}
    named |= {part for part, whole in OF_FRAMEWORKS.items() if whole in named}
    brought = packages_distributions()
    unnamed = {
        f"{module} in {path.relative_to(ROOT)}"
        for module, path in imported(ROOT / folder)
        if (top := module.partition(".")[0]) not in sys.stdlib_module_names | OWN
        and named.isdisjoint(_named(each) for each in brought.get(top, [top]))
    }
    assert not unnamed
