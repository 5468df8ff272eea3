"""The model that a wrapper is given: made from its name, or refused with the order that works."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable, RunnableConfigurableFields
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.retry import RunnableRetry

from langchain_llm_optimizers.binding import chosen_later, models_in
from langchain_llm_optimizers.delegating import DelegatingChatModel
from llm_optimizers.errors import ConfigurationError

__all__ = ["WrapperOfOne", "chat_model_for", "resolve_model"]


class WrapperOfOne(DelegatingChatModel):
    """A wrapper of one chat model, which is its first argument."""

    model: BaseChatModel
    """The model to call, or its name for `init_chat_model`, such as `openai:gpt-4o-mini`."""

    def __init__(self, model: BaseChatModel | str, **settings: Any) -> None:
        given = chat_model_for(type(self).__name__, model)
        super().__init__(model=given, **settings)  # type: ignore[call-arg]  # pydantic's own

    @property
    def _child(self) -> BaseChatModel:
        # Not `self.model`: without the field, that would ask for the child again.
        return cast("BaseChatModel", self.__dict__["model"])


def chat_model_for(wrapper: str, given: Any) -> BaseChatModel:
    """Return the chat model that a wrapper was given, made from its name if it is a text.

    Raises:
        ConfigurationError: it is no chat model; the message shows the order that works.
    """
    model = resolve_model(given)
    if isinstance(model, BaseChatModel):
        return model
    raise ConfigurationError(f"{wrapper} wraps a chat model, not {_refusal(wrapper, model)}")


def resolve_model(model: Any) -> Any:
    """Create a model from its name, such as `openai:gpt-4o-mini`; return anything else unchanged.

    Raises:
        ConfigurationError: a name is given, but the `langchain` package is not installed, or it
            does not know the name.
    """
    if not isinstance(model, str):
        return model
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ConfigurationError(
            f"the model name {model!r} needs langchain: pip install 'llm-optimizers[langchain]'"
        ) from error
    return init_chat_model(model)


def _refusal(wrapper: str, given: Any) -> str:
    """Return what was given instead of a chat model, and what to write instead."""
    kind = type(given).__name__
    if given is None:
        return "None: give it a model, or a model's name such as 'openai:gpt-4o-mini'"
    if isinstance(given, type):
        return f"the class {given.__name__}: make a model of it, {given.__name__}(…)"
    if isinstance(given, BaseLLM):
        return f"the completion model {kind}: set `cache=HybridCache()` on it, or use a chat model"
    if chosen_later(given):
        return (
            f"a model that is chosen at each call ({kind}): name the model and put what can be "
            f"configured after the wrapper, {wrapper}(init_chat_model('openai:gpt-4o-mini'))"
            ".configurable_fields(…)"
        )
    names = [type(model).__name__ for model in models_in(given)]
    if not names:
        return f"{kind}: give it a model such as ChatOpenAI(…), or its name"
    step = _last_step(given)
    if isinstance(given, RunnableWithFallbacks):
        others = ", ".join(_wrapped(wrapper, name) for name in names[1:])
        step = f".with_fallbacks([{others}])"
    elif step is None:
        sequence = f"… | {_wrapped(wrapper, names[0])} | …"
        return f"{kind}: put the wrapper around the model in the chain, {sequence}"
    return f"{kind}: wrap the model first, {_wrapped(wrapper, names[0])}{step}"


def _wrapped(wrapper: str, name: str) -> str:
    return f"{wrapper}([{name}(…), …])" if wrapper.endswith("Router") else f"{wrapper}({name}(…))"


def _last_step(given: Runnable[Any, Any]) -> str | None:
    """Return the call that made this of a chat model, None for a chain."""
    if isinstance(given, RunnableRetry):
        return ".with_retry(…)"
    if isinstance(given, RunnableBindingBase):
        made_by = "bind_tools" if "tools" in given.kwargs else "bind"
        return f".{made_by}(…)" if given.kwargs else ".with_config(…)"
    if isinstance(given, RunnableConfigurableFields):
        return ".configurable_fields(…)"
    if isinstance(given, DynamicRunnable):
        return ".configurable_alternatives(…)"
    if isinstance(given, RunnableSequence) and any(models_in(given.first)):
        return ".with_structured_output(…)"
    return None
