"""The settings in the `llm_string` by which LangChain tells a cache's entries apart.

LangChain writes a model's constructor as JSON and a call's settings as the `repr` of a list. Here
the settings are read back as data. What does not read back is an object whose `repr` may hide its
content, so that its call is not cached; `CachedChatModel` sees the object itself.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.load import Serializable
from pydantic import BaseModel

from langchain_llm_optimizers.identity import TRACED, identity_of_call
from langchain_llm_optimizers.providers import Sent, serialised_provider
from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest, fingerprint, name_of
from llm_optimizers.settings.bookkeeping import CALL_SETTINGS, Apis, shaping_settings
from llm_optimizers.settings.choices import choices_of
from llm_optimizers.settings.provider_state import state_settings
from llm_optimizers.settings.sampling import asks_for_sample

__all__ = ["LLMStrings", "identity_of_string", "string_of_call"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_CLASS = re.compile(r"<class '([^']+)'>")
_MEMBER = re.compile(r"<[A-Za-z_][\w.]*: ([^<>]*)>")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>", re.IGNORECASE)
_TOOLS = ("tools", "functions")
_NOT_THE_MODELS = frozenset({"_type", "stop", "tool_choice", "response_format", *_TOOLS})
_KEPT, _KEPT_BYTES = 256, 2**23
"""Strings that are kept with what was read from them, and the bytes for that."""


def identity_of_string(llm_string: str) -> dict[str, Any]:
    """Return the settings in an `llm_string`.

    Raises:
        ConfigurationError: it holds an object whose content cannot be read.
    """
    return LLMStrings().call_of_string(llm_string)[0]


class LLMStrings:
    """What a cache has read from its `llm_string`s, of which an app has few; up to 8 MB each."""

    def __init__(self) -> None:
        self._read: LRUCache[str, _Read] = LRUCache(
            _KEPT, max_bytes=_KEPT_BYTES, size=lambda string, _: _size_of(string)
        )
        self._shaping: LRUCache[tuple[str, Apis], Mapping[str, Any]] = LRUCache(
            _KEPT, max_bytes=_KEPT_BYTES, size=lambda key, _: _size_of(key[0])
        )

    def call_of_string(self, llm_string: str) -> tuple[dict[str, Any], tuple[Sent, ...] | None]:
        """Return the settings in a string, and what its model sends of a message if known.

        Raises:
            ConfigurationError: it holds an object whose content cannot be read.
        """
        found = self._checked(llm_string)
        identifier = found.model.get("id") if isinstance(found.model, Mapping) else None
        provider = serialised_provider(identifier)
        apis: Apis = frozenset() if provider is None else frozenset({provider.api})
        shaping = self._once(self._shaping, (llm_string, apis), lambda: _shaping(found, apis))
        identity: dict[str, Any] = {
            **shaping,
            **found.state,
            **({"n": found.choices} if found.choices > 1 else {}),
        }
        if found.text:
            identity["text"] = found.text
        if found.classes:
            identity["schemas"] = {name: _schema(name) for name in found.classes}
        if any(_is_given(found.settings, name) for name in _TOOLS):
            identity["tools"] = True
        return identity, None if provider is None else (provider.sent,)

    def given_in_string(self, llm_string: str) -> dict[str, Any]:
        """Return all that a model was made with, and the call's own settings, by name.

        Raises:
            ConfigurationError: it holds an object whose content cannot be read.
        """
        found = self._once(self._read, llm_string, lambda: _read(llm_string))
        return {**_made_with(found.model), **_named(found.settings)}

    def sampled_by_string(self, llm_string: str) -> bool:
        """Return whether the settings in a string ask for varying answers.

        Of a completion model it holds the class's defaults too.

        Raises:
            ConfigurationError: it holds an object whose content cannot be read.
        """
        return self._checked(llm_string).sampled

    def check(self, llm_string: str) -> None:
        """Check that no model of another class may have this string.

        To be done at every call: such a class may have been defined since the last one.

        Raises:
            ConfigurationError: one may, or the string holds an object.
        """
        self._checked(llm_string)

    def clear(self) -> None:
        """Forget all strings."""
        self._read.clear()
        self._shaping.clear()

    def _checked(self, llm_string: str) -> _Read:
        found = self._once(self._read, llm_string, lambda: _read(llm_string))
        if found.kind is not None and _states_nothing(found.kind):
            raise _unstated()
        return found

    def _once(self, kept: LRUCache[K, V], key: K, make: Callable[[], V]) -> V:
        value = kept.get(key)
        if value is None:
            value = make()
            kept.put(key, value)
        return value


def _size_of(string: str) -> int:
    """Return about how many bytes a string takes with what is read from it."""
    return 1_000 + 8 * len(string)


def _shaping(read: _Read, apis: Apis) -> Mapping[str, Any]:
    """Return a model's constructor and a call's settings without what shapes no answer."""
    model, pairs, named = read.model, read.settings, _named(read.settings)
    if isinstance(model, Mapping):
        model = {**model, "kwargs": shaping_settings(_made_with(model), apis, fields=True)}
    if isinstance(pairs, list) and len(named) == len(pairs):
        called = {name: value for name, value in named.items() if name not in TRACED}
        pairs = list(shaping_settings(called, apis).items())
    return {"llm": model, "settings": pairs}


def string_of_call(model: BaseChatModel, stop: list[str] | None, kwargs: Mapping[str, Any]) -> str:
    """Return the `llm_string` of a call to a wrapper: a digest of what affects its answer.

    A call whose settings cannot be read gets a string that no other call gets.
    """
    try:
        identity = identity_of_call(model, stop, kwargs)
        return str([("call", digest(identity)), ("tools", bool(identity.get("tools")))])
    except ConfigurationError:
        return f"<call at 0x{secrets.token_hex(16)}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An `llm_string` as data; with its text if a class or an enum's member stands in it."""

    model: Any = None
    settings: Any = None
    text: str = ""
    classes: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    choices: int = 1
    sampled: bool = False
    kind: Any = None
    """The `_type` of a model without a JSON form."""


def _read(llm_string: str) -> _Read:
    """Read a string that LangChain makes; any other text is a name that stands for itself."""
    if llm_string.startswith("{"):
        constructor, rest = _constructor(llm_string)
        return _settings(rest.removeprefix("---"), constructor)
    model, dashes, rest = llm_string.partition("---")
    if llm_string.startswith("["):
        return _stated(_settings(llm_string))
    if dashes and rest.startswith("["):
        return _settings(rest, model)
    if _ADDRESS.search(llm_string) or _CLASS.search(llm_string):
        raise _unreadable("the name that the cache was given holds an object")
    return _Read(model=llm_string)


def _stated(read: _Read) -> _Read:
    """Refuse settings in which a model says nothing of itself, as one without a JSON form may."""
    named = _named(read.settings)
    if "_type" not in named:
        return read
    if named.keys() <= _NOT_THE_MODELS:
        raise _unstated()
    return replace(read, kind=named["_type"])


def _unstated() -> ConfigurationError:
    return ConfigurationError(
        "the model states none of its settings, so that LangChain's cache cannot tell it from "
        "another of its class and its calls are not cached: define `_identifying_params` in "
        "its class, or use CachedChatModel, which reads its fields"
    )


def _states_nothing(kind: Any) -> bool:
    """Whether a class of this `_type` leaves LangChain's `_identifying_params` empty.

    All that stands in the string are then the call's own settings, whichever model is asked.
    """
    return any(
        each._identifying_params is BaseLanguageModel._identifying_params
        and each.lc_attributes is Serializable.lc_attributes
        and _type_of(each) == kind
        for each in _classes(BaseLanguageModel)  # type: ignore[type-abstract]
    )


def _classes(base: type[BaseLanguageModel[Any]]) -> Iterator[type[BaseLanguageModel[Any]]]:
    for each in base.__subclasses__():
        yield each
        yield from _classes(each)


def _type_of(kind: type[BaseLanguageModel[Any]]) -> str | None:
    """Return a class's `_type`, None where only an object has one."""
    try:
        return str(kind._llm_type.fget(None))  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - a property that reads its object
        return None


def _constructor(llm_string: str) -> tuple[Any, str]:
    """Return a model's constructor, and the text after it."""
    try:
        model, end = json.JSONDecoder().raw_decode(llm_string)
    except (ValueError, RecursionError) as error:
        raise _unreadable("the model's settings are no JSON") from error
    for name in _hidden(model):
        raise _unreadable(f"the model's setting {name} is an object")
    return model, llm_string[end:]


def _hidden(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names of settings of which LangChain writes only the class."""
    if isinstance(value, Mapping):
        if value.get("type") == "not_implemented" and "lc" in value:
            yield name
            return
        for key, item in value.items():
            if key not in CALL_SETTINGS:
                yield from _hidden(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _hidden(item, name)


def _settings(text: str, model: Any = None) -> _Read:
    """Read the `repr` of settings; a class is read as a name, an enum's member as its value."""
    if _ADDRESS.search(text):
        raise _unreadable("a setting of the call is an object")
    classes = tuple(sorted(set(_CLASS.findall(text))))
    plain = _MEMBER.sub(r"(\1)", _CLASS.sub("'a class'", text))
    try:
        read = ast.literal_eval(plain) if plain else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise _unreadable("a setting of the call is an object") from error
    if "..." in text and _holds_ellipsis(read):
        raise _unreadable("a setting of the call is shortened")
    # The call's settings come before those that its model was made with.
    sources = [source for source in (_named(read), _made_with(model)) if source]
    return _Read(
        model=model,
        settings=read,
        text="" if plain == text else text,
        classes=classes,
        state=state_settings(*sources),
        choices=choices_of(*sources),
        sampled=asks_for_sample(*reversed(sources)),
    )


def _named(settings: Any) -> dict[str, Any]:
    """Return settings, a list of pairs, by name."""
    pairs = settings if isinstance(settings, list) else ()
    named = (pair for pair in pairs if isinstance(pair, tuple) and len(pair) == 2)
    return {str(name): value for name, value in named}


def _made_with(model: Any) -> dict[str, Any]:
    """Return the arguments in a constructor's JSON."""
    arguments = model.get("kwargs") if isinstance(model, Mapping) else None
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _holds_ellipsis(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_ellipsis, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_ellipsis, value))
    return value is Ellipsis


def _is_given(settings: Any, name: str) -> bool:
    """Whether settings, a list of pairs, give this one a value."""
    return bool(_named(settings).get(name))


def _schema(name: str) -> Any:
    """Return what the schema class of this name declares.

    The class is looked up among those in memory: LangChain's text has only its name, and a name may
    stand for a class that was since defined again.
    """
    found = [fingerprint(each) for each in _schemas(BaseModel) if name_of(each) == name]
    if found and all(each == found[0] for each in found):
        return found[0]
    raise ConfigurationError(
        f"{len(found) or 'no'} different schemas have the name {name}, by which LangChain's cache "
        "knows them, so that calls with it are not cached: use a pydantic class with a name of its "
        "own, or CachedChatModel, which sees the class itself"
    )


def _schemas(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from _schemas(each)


def _unreadable(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} whose content is not in LangChain's text of the settings, so that its calls are "
        "not cached: give it as data, or use CachedChatModel, which sees the object itself"
    )
