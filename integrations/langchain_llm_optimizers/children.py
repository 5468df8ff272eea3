"""The model that a wrapper is given: made from its name, or refused with the order that works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable, RunnableConfigurableFields
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.retry import RunnableRetry

from langchain_llm_optimizers.binding import chosen_later, models_in
from langchain_llm_optimizers.delegating import DelegatingChatModel
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.settings.unknown import check_known

__all__ = ["WrapperOfOne", "chat_model_for", "check_settings", "resolve_model"]

_OF_LLAMA_INDEX = {
    "BatchingChatModel": "BatchedLLM",
    "CachedChatModel": "CachedLLM",
    "ChatModelRouter": "RoutedLLM",
    "OptimizedChatModel": "PromptOptimizingLLM",
}
"""The wrapper of an LLM that does the same."""


class WrapperOfOne(DelegatingChatModel):
    """A wrapper of one chat model, which is its first argument."""

    model: BaseChatModel
    """The model to call, or its name for `init_chat_model`, such as `openai:gpt-4o-mini`."""

    def __init__(self, model: BaseChatModel | str, **settings: Any) -> None:
        given = chat_model_for(model, f"{type(self).__name__}({{}})")
        check_settings(type(self), settings)
        super().__init__(model=given, **settings)  # type: ignore[call-arg]  # pydantic's own
        self._give_settings_to_models()

    def _replace_children(self, made: Callable[[BaseChatModel], BaseChatModel]) -> None:
        self.model = made(self.model)

    @property
    def _child(self) -> BaseChatModel:
        return self.model


def chat_model_for(given: Any, shown: str) -> BaseChatModel:
    """Return the chat model that a wrapper was given, made from its name if it is a text.

    `shown` is the wrapper's call in messages, with `{}` for its model.

    Raises:
        ConfigurationError: it is no chat model; the message shows the order that works.
    """
    model = resolve_model(given)
    if isinstance(model, BaseChatModel):
        return model
    wrapper, name = shown.partition("(")[0], "models" if "[" in shown else "model"
    raise ConfigurationError(
        f"`{name}`: {wrapper} wraps a chat model, not {_refusal(model, shown)}"
    )


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
    if any(each.__module__.startswith("llama_index") for each in type(given).__mro__):
        fitting = _OF_LLAMA_INDEX.get(shown.partition("(")[0], "a wrapper")
        return f"a LlamaIndex LLM ({kind}): use {fitting} of llama_index_llm_optimizers"
    models = [f"{type(model).__name__}(…)" for model in models_in(given)]
    if not models:
        return f"{kind}: give it a model such as ChatOpenAI(…), or a model's name"
    if "[" in shown and isinstance(given, RunnableWithFallbacks):
        return f"{kind}: a router falls back by itself, {_rewritten(given, shown)}"
    wrapped = _rewritten(given, shown)
    if wrapped is None:
        return f"{kind}: put the wrapper into the chain, … | {shown.format(models[0])} | …"
    return f"{kind}: wrap the model first, {wrapped}"


def _rewritten(given: Runnable[Any, Any], shown: str) -> str | None:
    """Return what was given with its model in the wrapper; None for a chain."""
    if isinstance(given, BaseChatModel):
        name = f"{type(given).__name__}(…)"
        return name if name.partition("(")[0] == shown.partition("(")[0] else shown.format(name)
    if "[" in shown and isinstance(given, RunnableWithFallbacks):
        return shown.format(", ".join(f"{type(model).__name__}(…)" for model in models_in(given)))
    inner, step = _last_step(given, shown)
    before = None if inner is None else _rewritten(inner, shown)
    return None if before is None else before + step


def _last_step(given: Runnable[Any, Any], shown: str) -> tuple[Runnable[Any, Any] | None, str]:
    """Return what a call made this of, and that call; nothing for a chain."""
    if isinstance(given, RunnableWithFallbacks):
        others = [_rewritten(each, shown) or "…" for each in given.fallbacks]
        return given.runnable, f".with_fallbacks([{', '.join(others)}])"
    if isinstance(given, RunnableRetry):
        return given.bound, ".with_retry(…)"
    if isinstance(given, RunnableBindingBase):
        made_by = "bind_tools" if "tools" in given.kwargs else "bind"
        return given.bound, f".{made_by}(…)" if given.kwargs else ".with_config(…)"
    if isinstance(given, RunnableConfigurableFields):
        return given.default, ".configurable_fields(…)"
    if isinstance(given, DynamicRunnable):
        return given.default, ".configurable_alternatives(…)"
    if isinstance(given, RunnableSequence):
        # Its first step calls the model with the schema bound.
        return next(models_in(given.first), None), ".with_structured_output(…)"
    return None, ""


def check_settings(wrapper: type[BaseChatModel], names: Iterable[str]) -> None:
    """Check that a wrapper has the settings it is given; others would be left out silently.

    Raises:
        ConfigurationError: it lacks one.
    """
    fields = wrapper.model_fields
    if wrapper.model_config.get("extra") == "allow":
        return
    common = BaseChatModel.model_fields
    own = [n for n in fields if n not in common or repr(common[n]) != repr(fields[n])]
    known = {*fields, *(field.alias for field in fields.values())}
    check_known(wrapper.__name__, names, known=known, own=own)
