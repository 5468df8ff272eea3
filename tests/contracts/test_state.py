"""Pickled and copied components: settings travel, the original stays whole, losses are errors."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from support.state_cases.core import CORE, Case
from support.state_cases.langchain import LANGCHAIN
from support.state_cases.llama_index import LLAMA_INDEX

CASES = [pytest.param(case, id=case.name) for case in (*CORE, *LANGCHAIN, *LLAMA_INDEX)]


@pytest.mark.parametrize("case", CASES)
class TestEveryComponent:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickled_it_keeps_its_settings_and_the_original_stays_whole(
        self, case: Case, protocol: int, tmp_path: Path
    ) -> None:
        original = case.make(tmp_path)
        expected, held = case.use(original), dict(vars(original))
        again = pickle.loads(pickle.dumps(original, protocol))
        assert type(again) is type(original)
        assert case.use(again) == expected
        assert vars(original).keys() == held.keys()
        assert all(vars(original)[name] is value for name, value in held.items())
        assert case.use(original) == expected

    def test_a_pickle_of_a_copy_of_a_pickle_works(self, case: Case, tmp_path: Path) -> None:
        original = case.make(tmp_path)
        expected = case.use(original)
        once = pickle.loads(pickle.dumps(original))
        twice = pickle.loads(pickle.dumps(copy.copy(once)))
        assert case.use(twice) == expected

    def test_copies_work(self, case: Case, tmp_path: Path) -> None:
        original = case.make(tmp_path)
        expected = case.use(original)
        for copied in (copy.copy(original), copy.copy(copy.copy(original))):
            assert type(copied) is type(original)
            assert case.use(copied) == expected


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in (*CORE, *LANGCHAIN)])
def test_a_deep_copy_works(case: Case, tmp_path: Path) -> None:
    original = case.make(tmp_path)
    expected = case.use(original)
    copied = copy.deepcopy(original)
    assert type(copied) is type(original)
    assert case.use(copied) == expected
    assert case.use(original) == expected
