"""How many answers one call asks for, by its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_optimizers.memos import of_class
from llm_optimizers.settings.nested import NESTED

__all__ = ["CHOICE_SETTINGS", "choices_of", "stated_choices"]

CHOICE_SETTINGS = (
    "n",  # OpenAI and most others; LangChain's name for every provider
    "candidate_count",  # Gemini
    "candidateCount",
    "num_generations",  # Cohere
    "numResults",  # AI21
    "num_results",
    "num_return_sequences",  # Hugging Face
    "num_completions",
)
"""The settings that ask for several answers. OpenAI's `best_of` is not one: it returns `n`."""


def choices_of(*sources: object) -> int:
    """Return how many answers are asked for: as `stated_choices` says, else 1."""
    return stated_choices(*sources) or 1


def stated_choices(*sources: object) -> int | None:
    """Return how many answers the first source that says so asks for; None if none does.

    A source is a mapping of settings, or a model with settings as fields.
    """
    found = (_found_in(source) for source in sources)
    return next((count for count in found if count is not None), None)


def _found_in(source: object) -> int | None:
    setting = source.get if isinstance(source, Mapping) else _field_reader(source)
    for name in NESTED:
        nested = setting(name)
        if nested is None:
            continue
        count = _found_in(nested) if isinstance(nested, Mapping) else None
        if count is not None:
            return count
    named = (setting(name) for name in CHOICE_SETTINGS)
    counts = (n for n in named if isinstance(n, int) and not isinstance(n, bool) and n > 0)
    return next(counts, None)


def _field_reader(model: object) -> Callable[[str], Any]:
    """Return a function that reads a model's settings by name, None for those that it lacks.

    Without asking a pydantic object for what it lacks, which takes it microseconds for each name.
    """
    kind: Any = type(model)
    names = _class_attributes(kind)
    if names is None:
        return lambda name: getattr(model, name, None)
    held = getattr(model, "__dict__", {})
    more = getattr(model, "__pydantic_extra__", None) or {}
    return lambda name: (
        held[name]
        if name in held
        else getattr(model, name, None)
        if name in names
        else more.get(name)
    )


@of_class
def _class_attributes(kind: Any) -> frozenset[str] | None:
    """Return the settings that a class itself defines; None if it may make up others."""
    dynamic = getattr(kind, "__getattr__", None)
    if dynamic is not None and not dynamic.__module__.startswith("pydantic."):
        return None
    return frozenset(name for name in (*NESTED, *CHOICE_SETTINGS) if hasattr(kind, name))
