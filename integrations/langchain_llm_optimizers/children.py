"""The model that a wrapper is given: made from its name, or refused with the order that works."""

from __future__ import annotations

from collections.abc import Callable
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
        given = chat_model_for(model, f"{type(self).__name__}({{}})")
        super().__init__(model=given, **settings)  # type: ignore[call-arg]  # pydantic's own

    def _replace_children(self, made: Callable[[BaseChatModel], BaseChatModel]) -> None:
        self.model = made(self.model)

    @property
    def _child(self) -> BaseChatModel:
        # Not `self.model`: without the field, that would ask for the child again.
        return cast("BaseChatModel", self.__dict__["model"])


def chat_model_for(given: Any, shown: str) -> BaseChatModel:
    """Return the chat model that a wrapper was given, made from its name if it is a text.

    `shown` is the wrapper's call in messages, with `{}` for its model.

    Raises:
        ConfigurationError: it is no chat model; the message shows the order that works.
    """
    model = resolve_model(given)
    if isinstance(model, BaseChatModel):
        return model
    wrapper = shown.partition("(")[0]
    raise ConfigurationError(f"{wrapper} wraps a chat model, not {_refusal(model, shown)}")


def resolve_model(model: Any) -> Any:
    """Create a model from its name, such as `openai:gpt-4o-mini`; return anything else unchanged.

    Raises:
        ConfigurationError: a name is given, but the `langchain` package is not installed.
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


def _refusal(given: Any, shown: str) -> str:
    """Return what was given instead of a chat model, and what to write instead."""
    kind = type(given).__name__
    if given is None:
        return "None: give it a model, or a model's name such as 'openai:gpt-4o-mini'"
    if isinstance(given, type):
        return f"the class {given.__name__}: make a model of it, {given.__name__}(…)"
    if isinstance(given, BaseLLM):
        return f"the completion model {kind}: set `cache=HybridCache()` on it, or use a chat model"
    if chosen_later(given):
        named = shown.format("init_chat_model('openai:gpt-4o-mini')")
        return (
            f"a model that is chosen at each call ({kind}): name a model, and put what is "
            f"configured after the wrapper, {named}.configurable_alternatives(…)"
        )
    several = "[" in shown
    models = [f"{type(model).__name__}(…)" for model in models_in(given)]
    if not models:
        return f"{kind}: give it a model such as ChatOpenAI(…), or a model's name"
    if several and isinstance(given, RunnableWithFallbacks):
        return f"{kind}: a router falls back by itself, {shown.format(', '.join(models))}"
    step = _last_step(given, [shown.format(model) for model in models[1:]])
    if step is None:
        return f"{kind}: put the wrapper into the chain, … | {shown.format(models[0])} | …"
    return f"{kind}: wrap the model first, {shown.format(models[0])}{step}"


def _last_step(given: Runnable[Any, Any], others: list[str]) -> str | None:
    """Return the call that made this of a chat model and others, None for a chain."""
    if isinstance(given, RunnableWithFallbacks):
        return f".with_fallbacks([{', '.join(others)}])"
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
