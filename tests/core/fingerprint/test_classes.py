"""Which installed class makes the requests of a class of the user's."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from langchain_core.language_models import FakeListChatModel
from pydantic import PrivateAttr

from llm_optimizers.fingerprint import KnownClasses, installed_class, name_of


class Renamed(FakeListChatModel):
    """Says other things of itself, has a field, another default and state of its own."""

    team: str = "a"
    sleep: float | None = 1.0
    _count: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "renamed"

    def helper(self) -> str:
        return self.team


class Overriding(FakeListChatModel):
    def _call(self, *args: Any, **kwargs: Any) -> str:
        return "mine"


class Replacing(FakeListChatModel):
    _get_ls_params: ClassVar[Any] = None
    with_retry: ClassVar[Any] = None


class Mixin:
    def invoke(self, *args: Any, **kwargs: Any) -> str:
        return "mixed in"


class Mixed(Mixin, FakeListChatModel):
    pass


class Below(Overriding):
    pass


class Copied(Renamed):
    pass


@pytest.mark.parametrize(
    ("kind", "installed"),
    [
        (FakeListChatModel, FakeListChatModel),
        (Renamed, FakeListChatModel),
        (Copied, FakeListChatModel),
        (Overriding, None),
        (Below, None),
        (Replacing, None),
        (Mixed, None),
    ],
)
def test_a_class_is_its_base_until_it_changes_a_request(kind: type, installed: Any) -> None:
    assert installed_class(kind) is installed


def test_what_is_known_of_a_class_holds_below_it_and_for_all_or_none() -> None:
    known = KnownClasses({name_of(FakeListChatModel): "fake"})
    fake, renamed = (kind(responses=[]) for kind in (FakeListChatModel, Renamed))
    assert known.of_each([fake, renamed]) == ("fake", "fake")
    assert known.of_each([fake, Overriding(responses=[])]) is None
    assert known.of_class(Copied) == "fake"
    assert known.of_class(Mixin) is None
