"""A joint class passes `isinstance` for two classes and keeps the first one's fields."""

import gc
import weakref

import pytest
from pydantic import BaseModel

from llm_optimizers.joint_class import (
    class_of_wrapper,
    has_own,
    joint_class,
    own_attribute,
    shared_class,
)


class Base(BaseModel):
    name: str = ""


class Wrapper(Base):
    inner: Base

    @property
    def __class__(self):
        return joint_class(type(self), type(self.inner))


class First(Base):
    size: int = 1


class Second(First):
    pass


class Slotted:
    __slots__ = ("a",)


def test_an_object_is_found_as_both_classes_and_keeps_its_own_fields():
    wrapper = Wrapper(inner=First())
    assert isinstance(wrapper, First)
    assert isinstance(wrapper, Wrapper)
    assert not isinstance(wrapper, Second)
    assert type(wrapper) is Wrapper
    wrapper.name = "b"
    assert wrapper.model_dump() == {"name": "b", "inner": {"name": ""}}
    assert wrapper == wrapper.model_copy()
    assert wrapper.__class__.__name__ == "Wrapper"


class Named(Base):
    @property
    def inner(self):
        return "a property of what is wrapped"


def test_a_property_of_the_wrapped_class_is_not_set_in_place_of_a_field():
    wrapper = Wrapper(inner=Named())
    wrapper.inner = other = Named()
    assert wrapper.inner is other


def test_a_call_of_a_joint_class_makes_a_wrapper():
    wrapper = Wrapper(inner=First())
    another = wrapper.__class__(inner=Second(), name="b")
    assert type(another) is Wrapper
    assert isinstance(another, Second)


def test_what_has_no_joint_class_stays_the_first():
    assert joint_class(Second, First) is Second
    assert joint_class(First, int) is First


def test_the_nearest_class_that_all_are():
    assert shared_class([Second, First], below=Base) is First
    assert shared_class([Second], below=Base) is Second
    assert shared_class([First, Wrapper], below=Base) is None
    assert shared_class([], below=Base) is None


class Unfinished(Base):
    """A wrapper that cannot name what it wraps, and whose property fails."""

    @property
    def __class__(self):
        return class_of_wrapper(self, lambda wrapper: [wrapper.inner], below=Base)

    def __getattr__(self, name):
        return own_attribute(self, name)

    @property
    def size(self):
        return self.inner.size


def test_a_wrapper_without_its_models_is_of_its_own_class():
    wrapper = Unfinished()
    assert wrapper.__class__ is Unfinished
    assert not hasattr(wrapper, "inner")


def test_an_own_property_keeps_its_error():
    with pytest.raises(AttributeError, match="'inner'"):
        _ = Unfinished().size


@pytest.mark.parametrize("name", ["name", "size", "model_dump"])
def test_what_is_a_wrappers_own(name: str):
    assert has_own(Unfinished(), name)
    assert not has_own(Unfinished(), "other")


def test_a_joint_class_is_not_announced_to_the_class_it_joins() -> None:
    announced: list[type] = []

    class Sealed(Base):
        def __init_subclass__(cls, **kwargs: object) -> None:
            announced.append(cls)
            raise ValueError("no subclasses")

    assert isinstance(Wrapper(inner=Sealed()), Sealed)
    assert announced == []


class Wrapping(Base):
    inner: Base

    @property
    def __class__(self):
        return class_of_wrapper(self, lambda wrapper: [wrapper.inner], below=Base)


def test_a_users_class_is_let_go_with_the_last_wrapper_of_it():
    def wrapped_once():
        class Third(First):
            pass

        wrapper = Wrapping(inner=Third())
        assert isinstance(wrapper, Third)
        assert wrapper.__class__ is wrapper.__class__
        return weakref.ref(Third)

    gone = wrapped_once()
    for _ in range(3):  # a class is let go in steps
        gc.collect()
    assert gone() is None
