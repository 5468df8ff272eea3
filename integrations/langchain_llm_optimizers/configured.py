"""A wrapper around models with fields that a run's configuration sets."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.utils import ConfigurableFieldSpec

__all__ = ["ConfiguredWrapper"]


# Without type parameters, with which pydantic would try to make a runnable of the abstract class.
class ConfiguredWrapper(DynamicRunnable):  # type: ignore[type-arg]
    """A wrapper around models with fields that a run's configuration sets.

    A field of several models is set on all of them; its default is that of the first.
    """

    children: list[Any]
    """The models inside, each of which LangChain makes with the configured fields."""

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """See `Runnable.config_specs`."""
        specs: dict[str, ConfigurableFieldSpec] = {}
        for part in (self.default, *self.children):
            for spec in part.config_specs:
                specs.setdefault(spec.id, spec)
        return list(specs.values())

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Any, RunnableConfig]:
        settings = ensure_config(config)
        wrapper: Any = self.default
        if isinstance(wrapper, DynamicRunnable):
            wrapper, settings = wrapper.prepare(settings)
        chosen: list[BaseChatModel] = []
        for child in self.children:
            now: Any = child
            while isinstance(now, DynamicRunnable):
                now, settings = now.prepare(settings)
            chosen.append(now)
        if all(now is child for now, child in zip(chosen, wrapper._children, strict=True)):
            return wrapper, settings
        copied, models = wrapper.model_copy(), iter(chosen)
        copied._replace_children(lambda _: next(models))
        return copied, settings
