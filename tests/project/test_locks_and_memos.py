"""No lock of the package can stay locked in a forked child, and no memo keeps texts or classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("llm_optimizers", "integrations") for path in (ROOT / folder).rglob("*.py")
)
RENEWED = {
    # Made again in a child by `Coalescer.renew`.
    "coalescing/coalescer.py",
    "coalescing/dispatch.py",
    "coalescing/threads.py",
    "llm_optimizers/forks.py",
    "costs/ledger/buffer.py",  # by `EntryBuffer.renew`
}
OF_FEW_ARGUMENTS = {
    # Memos of the process whose arguments no user's text can be: paths, names of APIs, nothing.
    "embeddings/static.py": 2,
    "settings/bookkeeping.py": 1,
    "context/ranking/model.py": 1,
    "langchain_llm_optimizers/refusals.py": 1,
    "langchain_llm_optimizers/combining.py": 1,  # of its own object: schemas, 64 of them
    "llm_optimizers/memos.py": 2,
    "fingerprint/code.py": 1,  # asks only for the class of such a function
}


def calls(path: Path, *names: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in names:
                yield called


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_locks_are_new_in_a_forked_child(path: Path) -> None:
    if not any(str(path).endswith(each) for each in RENEWED):
        made = calls(path, "threading.Lock", "threading.RLock", "threading.Condition", "Lock")
        assert not list(made), "use llm_optimizers.forks.ProcessLock"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_memos_of_the_process_keep_no_texts(path: Path) -> None:
    found = [n for n in calls(path, "lru_cache", "functools.lru_cache") if n]
    allowed = [n for end, n in OF_FEW_ARGUMENTS.items() if str(path).endswith(end)]
    assert len(found) <= sum(allowed), "use llm_optimizers.memos, or a memo of the object it serves"
