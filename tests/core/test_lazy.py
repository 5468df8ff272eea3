import sys
from types import ModuleType

import pytest

from llm_optimizers.lazy import lazy_names


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


def test_a_former_name_works_and_says_the_new_one(package: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match=r"made_package\.Old is now called New"):
        assert package.Old is package.New


def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        package.Other  # noqa: B018 - the access is the test


def test_a_former_name_is_not_advertised(package: ModuleType) -> None:
    assert "New" in dir(package)
    assert "Old" not in dir(package)
