"""Chat models that wrap others: what the identity of a call needs to know of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from langchain_core.language_models import BaseChatModel

__all__ = ["Wrapper", "is_wrapper", "underlying_models"]


class Wrapper(Protocol):
    """A model around others: each of them, and what the wrapper itself does to an answer."""

    @property
    def _children(self) -> Sequence[BaseChatModel]: ...

    def _own_settings(self) -> Mapping[str, Any]: ...

    def _settings_for(
        self, child: BaseChatModel, kwargs: Mapping[str, Any]
    ) -> Mapping[str, Any]: ...


def is_wrapper(model: object) -> TypeGuard[Wrapper]:
    """Whether a model is a wrapper of others."""
    return hasattr(type(model), "_own_settings")


def underlying_models(model: BaseChatModel) -> Iterator[BaseChatModel]:
    """Yield the models that may answer for this one: itself, or those that it wraps."""
    if not is_wrapper(model):
        yield model
        return
    for child in model._children:
        yield from underlying_models(child)
