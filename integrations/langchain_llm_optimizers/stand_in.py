"""`StandIn`: a chat model that opens a run in the place of another model and answers itself.

Callbacks, traces and event streams must see the same run whether a model was called or its answer
came from a cache or a combined call: its name, tags, metadata, callbacks and parameters. A tag can
decide who may see an answer (LangGraph's `nostream`), so none may be lost.
"""

from __future__ import annotations

from typing import Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from pydantic import Field

from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.delegating import DelegatingChatModel

__all__ = ["StandIn", "called_model"]

_ATTACHED = (
    "name",
    "callbacks",
    "tags",
    "metadata",
    "verbose",
    "output_version",
    "custom_get_token_ids",
)


def called_model(
    model: BaseChatModel, call: ModelCall, answer: AIMessage | None = None
) -> tuple[BaseChatModel, ModelCall]:
    """Return the model behind all wrappers that would open the run, and the call it would get.

    Each wrapper on the way adds its own callbacks, tags and metadata to the call. `answer`, if
    known, says which model a router chose.
    """
    while isinstance(model, DelegatingChatModel):
        model, call, answer = model._passed_on(call, answer)
    return model, call


class StandIn(BaseChatModel):
    """Opens a run as `stands_for` would; subclasses answer.

    Only its rate limiter is left out, since no request goes to a provider.
    """

    stands_for: BaseChatModel = Field(exclude=True, repr=False)
    """The model that would have opened the run; it is no wrapper."""

    @classmethod
    def of(cls, model: BaseChatModel, **own: Any) -> Self:
        """Return a stand-in with all that is attached to the model."""
        attached = {name: getattr(model, name) for name in _ATTACHED}
        return cls(stands_for=model, **{**attached, **own})

    @property
    def _llm_type(self) -> str:
        return self.stands_for._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.stands_for._identifying_params)

    @property
    def _serialized(self) -> dict[str, Any]:
        return self.stands_for._serialized

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self.stands_for._get_invocation_params(stop=stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self.stands_for._get_ls_params(stop=stop, **kwargs)

    def _get_ls_params_with_defaults(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self.stands_for._get_ls_params_with_defaults(stop=stop, **kwargs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return self.stands_for._get_llm_string(stop=stop, **kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> Any:
        return self.stands_for._combine_llm_outputs(llm_outputs)
