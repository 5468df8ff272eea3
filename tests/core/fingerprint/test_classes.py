"""Which installed class makes the requests of a class of the user's."""

from __future__ import annotations

import copy
import pickle
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import FakeListChatModel
from pydantic import PrivateAttr

from llm_optimizers.embeddings import FrameworkEmbedder
from llm_optimizers.fingerprint import (
    KnownClasses,
    digest,
    installed_class,
    name_of,
    settings_of,
)


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


class Sent(FakeListChatModel):
    """A model of a program's own that changes nothing."""


class Local:
    """A user's object without a framework's base class."""

    def embed_query(self, text: str) -> list[float]:
        return [float(len(text))]


def test_copying_and_pickling_change_no_class() -> None:
    # Python keeps what it finds out about a class's slots in the class, at its first copy.
    before = digest(Local())
    copy.copy(Local())
    assert digest(pickle.loads(pickle.dumps(Local()))) == before
    for kind in (FakeListChatModel, Sent):
        pickle.dumps(kind(responses=["a"]))
    assert installed_class(Sent) is FakeListChatModel


def test_a_script_has_the_same_name_in_a_spawned_process() -> None:
    def keys(module: str) -> tuple[object, ...]:
        own = type("Own", (Local,), {"__module__": module})
        model = type("Model", (Overriding,), {"__module__": module})
        return digest(own()), FrameworkEmbedder(own()).id, settings_of(model(responses=["a"]))

    assert keys("__mp_main__") == keys("__main__")


def test_what_is_known_of_a_class_holds_below_it_and_for_all_or_none() -> None:
    known = KnownClasses({name_of(FakeListChatModel): "fake"})
    fake, renamed = (kind(responses=[]) for kind in (FakeListChatModel, Renamed))
    assert known.of_each([fake, renamed]) == ("fake", "fake")
    assert known.of_each([fake, Overriding(responses=[])]) is None
    assert known.of_class(Copied) == "fake"
    assert known.of_class(Mixin) is None
