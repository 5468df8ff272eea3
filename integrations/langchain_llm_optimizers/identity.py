"""The model settings that are part of a cache key, as values that can be read by content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_llm_optimizers.binding import DEFERRED_BINDING, DeferredBinding
from langchain_llm_optimizers.providers import apis_of
from langchain_llm_optimizers.wrappers import Wrapper, is_wrapper, underlying_models
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import MODEL_SETTINGS, digest_of_read, fingerprint, settings_of
from llm_optimizers.settings.bookkeeping import shaping_settings
from llm_optimizers.settings.choices import choices_of
from llm_optimizers.settings.provider_state import state_settings
from llm_optimizers.settings.sampling import asks_for_sample

__all__ = ["TRACED", "identity_of_call", "identity_of_model", "sampled"]

_BASE_FIELDS = frozenset(BaseChatModel.model_fields) - {"output_version"}
_TOOLS = ("tools", "functions")
TRACED = frozenset({"ls_structured_output_format", "structured_output_format"})
"""What `BaseChatModel` takes from a call for its traces, and passes on to no model."""


def identity_of_call(
    model: BaseChatModel, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a call: its own, and a digest of the model's.

    Tools and schemas that a router binds later are those that each of its models would be sent.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    models = tuple(underlying_models(model))
    choices = choices_of(kwargs, *models)
    return {
        **_settings_sent(model, kwargs),
        **({"n": choices} if choices > 1 else {}),
        **state_settings(*models),
        "stop": stop,
        MODEL_SETTINGS: digest_of_read(identity_of_model(model)),
    }


def identity_of_model(model: BaseLanguageModel[Any]) -> dict[str, Any]:
    """Return what affects a model's answers, with that of the models inside it, as read.

    Raises:
        ConfigurationError: a field of the model cannot be read.
    """
    if is_wrapper(model):
        return {
            "wrapper": type(model).__name__,
            "own": fingerprint(model._own_settings()),
            "models": [identity_of_model(child) for child in model._children],
        }
    secrets = getattr(model, "lc_secrets", {})
    apis = apis_of([model])
    own = settings_of(model, skip=_BASE_FIELDS | secrets.keys(), read=_read, apis=apis)
    # What a model says of itself may not be in its fields.
    stated = shaping_settings(model._identifying_params, apis, fields=bool(apis))
    return {"fields": own, "stated": fingerprint(stated)}


def sampled(model: BaseChatModel, kwargs: Mapping[str, Any]) -> bool:
    """Return whether settings of the user ask for varying answers, at any model that may answer.

    A class's own default is not the user's.
    """
    return any(asks_for_sample(_given(each), kwargs) for each in underlying_models(model))


def _given(model: BaseChatModel) -> dict[str, Any]:
    """Return the settings that the model was made with."""
    return {name: getattr(model, name, None) for name in model.model_fields_set}


def _settings_sent(model: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's settings as the model sends them, or each of the models inside it.

    Without those that shape the answer of none of these models.
    """
    deferred: DeferredBinding | None = kwargs.get(DEFERRED_BINDING)
    if deferred is None or not is_wrapper(model):
        given = {name: _translated(value) for name, value in kwargs.items() if name not in TRACED}
        return shaping_settings(given, apis_of(underlying_models(model)))
    sent = [_sent_by(model, child, kwargs) for child in model._children]
    if not any(sent):
        raise ConfigurationError(
            "none of the router's models can bind the tools or the schema, so that the call is not "
            "cached: give the router a model that can"
        )
    tools = any(each.get(name) for each in sent if each is not None for name in _TOOLS)
    return {"bound": sent, **({"tools": True} if tools else {})}


def _sent_by(
    model: Wrapper, child: BaseChatModel, kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what one child sends, None if it cannot bind the tools and so cannot answer."""
    try:
        settings = model._settings_for(child, kwargs)
    except Exception:  # noqa: BLE001 - the child's own method; the router leaves it out as well
        return None
    return _settings_sent(child, settings)


def _read(value: Any) -> Any:
    return fingerprint(_translated(value))


def _translated(value: Any) -> Any:
    """Return a value with LangChain's objects in it as data."""
    if isinstance(value, BaseTool):
        return {**convert_to_openai_tool(value), "extras": getattr(value, "extras", None)}
    if isinstance(value, BaseLanguageModel):
        return digest_of_read(identity_of_model(value))
    if isinstance(value, list | tuple):
        return [_translated(item) for item in value]
    if type(value) is dict:
        return {name: _translated(item) for name, item in value.items()}
    return value
