import sys
from dataclasses import dataclass, replace
from types import ModuleType

import pytest

from llm_optimizers.lazy import lazy_names, renamed_attributes


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("made_package")
    made.__getattr__, made.__dir__ = lazy_names(  # type: ignore[method-assign]
        "made_package", {"New": "home"}, renamed={"Old": "New"}
    )
    home = ModuleType("made_package.home")
    home.New = type("New", (), {})
    monkeypatch.setitem(sys.modules, "made_package", made)
    monkeypatch.setitem(sys.modules, "made_package.home", home)
    return made


def test_a_former_name_works_and_warns_with_the_new_one(package: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match=r"made_package\.Old is now called New"):
        assert package.Old is package.New


def test_an_unknown_name_raises_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        package.Other  # noqa: B018 - the access is the test


def test_dir_lists_no_former_name(package: ModuleType) -> None:
    assert "New" in dir(package)
    assert "Old" not in dir(package)


@renamed_attributes(rung="rank")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    rank: int


def test_a_former_attribute_works_and_says_the_new_one() -> None:
    ranked = Ranked(rank=3)
    with pytest.warns(DeprecationWarning, match="Ranked.rung is now called rank") as caught:
        assert ranked.rung == 3  # type: ignore[attr-defined]
    assert caught[0].filename == __file__


def test_a_former_keyword_works_and_says_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match="Ranked.rung is now called rank") as caught:
        assert Ranked(rung=3) == Ranked(rank=3)  # type: ignore[call-arg]
    assert caught[0].filename == __file__
    assert replace(Ranked(rank=3), rank=4).rank == 4
