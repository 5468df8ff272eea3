"""What the workflow, the hooks and the pages say is true: targets, versions, marks, notes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.programs import PROGRAMS

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
PAGES = [
    ".ci/run",
    ".github/PULL_REQUEST_TEMPLATE.md",
    ".github/workflows/ci.yml",
    ".pre-commit-config.yaml",
    "CONTRIBUTING.md",
    "README.md",
    "benchmarks/README.md",
]


def recipe(target: str) -> list[str]:
    """A target's commands."""
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found is not None, f"the Makefile has no target {target}"
    return [line.strip() for line in found[1].splitlines()]


def pythons(job: str) -> list[str]:
    """The versions that a job of the workflow runs on."""
    steps = WORKFLOW["jobs"][job]["steps"]
    (version,) = [step["with"]["python-version"] for step in steps if "setup-python" in str(step)]
    matrix = WORKFLOW["jobs"][job].get("strategy", {}).get("matrix", {})
    return matrix["python"] if "matrix." in version else [version]


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"(?:`|\$ |run: |^)make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert recipe(target)


def test_every_phony_target_has_a_line_of_help() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_the_workflow_runs_the_pythons_that_the_classifiers_name() -> None:
    classified = [
        each.rpartition(" ")[2]
        for each in PROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", each)
    ]
    assert pythons("test") == classified


def test_the_oldest_python_is_the_same_everywhere() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert pythons("test")[0] == oldest
    assert pythons("check") == pythons("lowest") == [oldest]
    assert f"LOWEST_PYTHON ?= python{oldest}\n" in MAKEFILE
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def test_the_workflow_makes_what_a_change_must_pass() -> None:
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    made = {step["run"].split()[1] for step in steps if "run" in step}
    landing = set(re.findall(r"^make (\S+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    assert made == landing | {"test-lowest", "test-newest"}


def test_the_hooks_run_tools_of_make_check() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/").split() for hook in local["hooks"]]
    checks = [line.removeprefix("$(BIN)/").split() for line in recipe("check")]
    assert local["repo"] == "local"
    assert [_command(each) for each in entries] == [_command(each) for each in checks]


def _command(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith(("-", "."))]


def test_every_lowest_version_is_stated() -> None:
    project = PROJECT["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in group:
            assert re.search(r">=|==|^llm-optimizers\[", requirement), requirement


def test_the_marks_of_programs_are_registered() -> None:
    markers = PROJECT["tool"]["pytest"]["ini_options"]["markers"]
    assert set(PROGRAMS) < {each.partition(":")[0] for each in markers}


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")))
def test_an_issue_form_names_its_fields(form: Path) -> None:
    found: dict[str, Any] = yaml.safe_load(form.read_text())
    assert found.keys() >= {"name", "description", "body"}
    fields = [each for each in found["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)
