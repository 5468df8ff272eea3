"""The settings of a model or embedder: the fields of a pydantic object that affect its answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, SecretStr

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint.beside import SECRETS, attributes_beside, outline_of
from llm_optimizers.fingerprint.code import is_installed, written_code_of
from llm_optimizers.fingerprint.data import KIND, PLAIN, name_of
from llm_optimizers.fingerprint.reading import fingerprint
from llm_optimizers.memos import of_class
from llm_optimizers.settings.bookkeeping import (
    CALL_SETTINGS,
    Apis,
    shaping_headers,
    shaping_settings,
)

__all__ = ["MODEL_SETTINGS", "settings_of"]

MODEL_SETTINGS = "the model's settings"
"""The name, which no setting of a call has, under which a model's digest is among them."""
_HTTP_CLIENTS = ("http_client", "http_async_client", "async_http_client")
_SDK_CLIENTS = ("client", "async_client", "aclient")
_ADDRESSES = ("openai_api_base", "api_base", "base_url")
_OWN_CLIENTS = (*_HTTP_CLIENTS, "client", "async_client")
"""In an object that is no pydantic one; there, the others are made from the settings."""


def settings_of(
    component: object,
    *,
    skip: Collection[str] = (),
    read: Callable[[Any], Any] = fingerprint,
    apis: Apis = frozenset(),
) -> dict[str, Any]:
    """Return a component's class and the fields that affect what it answers, as read.

    Left out are fields that are None or in `skip`, those that shape no answer (at its API, if
    that is known), iterators (the answers that a test double has left), and secrets that identify
    an account. Of private attributes and of fields that are excluded from its JSON, only text,
    switches and mappings count, and in a class of the user's outlines of objects. Of an HTTP client
    only what it adds to requests counts. `read` reads the fields; an adapter's knows its
    framework's objects. An installed pydantic class is known by its name, another by its code.

    Raises:
        ConfigurationError: a field's content cannot be read; the message names the field.
    """
    kind: Any = type(component)
    found: dict[str, Any] = {KIND: "settings"}
    private: Mapping[str, Any] = {}
    clients: Collection[str] = _HTTP_CLIENTS
    names: Collection[str]
    if isinstance(component, BaseModel):
        found["class"] = [name_of(kind), written_code_of(kind)]
        names = _fields_of(kind, frozenset(skip))
        private = component.__pydantic_private__ or {}
        hidden = _hidden_settings(component, skip, read, apis)
        if hidden:
            found["hidden"] = hidden
        if beside := attributes_beside(component, read):
            found["beside"] = beside
        if not apis and (objects := _objects_of(component)):
            found["objects"] = objects
    else:
        found["class"], clients = fingerprint(kind), _OWN_CLIENTS
        names = [each for each in _attributes_of(component) if each not in CALL_SETTINGS]
    values = vars(component)
    named = {name: value for name in names if (value := values.get(name)) is not None}
    for name, value in (shaping_settings(named, apis) if apis else named).items():
        if _is_account(name, value) or isinstance(value, Iterator):
            continue
        try:
            found[name] = value if type(value) in PLAIN else read(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{kind.__name__}.{name}: {error}") from error
    used = (values.get(name) or private.get(f"_{name}") for name in clients)
    added = {each for each in map(_added_by_client, used) if any(each)}
    if apis:
        added |= _added_by_sdk_clients(values, private)
    if added:  # the same whether one client adds it or two, for sync and async calls
        found["added by the client"] = sorted(added)
    return found


def _hidden_settings(
    component: BaseModel, skip: Collection[str], read: Callable[[Any], Any], apis: Apis
) -> dict[str, Any]:
    """Return the settings in private attributes and excluded fields, by name, as read.

    Some integrations keep a provider's whole configuration there. Anything else there is a client,
    a counter or a list of what was done, and so is a mapping in which nothing can be read.

    Raises:
        ConfigurationError: a part of a configuration cannot be read.
    """
    values = vars(component)
    excluded = {name: values.get(name) for name in _excluded_fields_of(type(component))}
    hidden = {
        name.removeprefix("_"): value
        for name, value in {**excluded, **(component.__pydantic_private__ or {})}.items()
        if isinstance(value, str | bool | Mapping) and value and name not in skip
    }
    found = {}
    for public, value in shaping_settings(hidden, apis, fields=True).items():
        if not _is_account(public, value):
            with suppress(_NothingReadError):
                found[public] = _read_hidden(value, read)
    return found


def _objects_of(component: BaseModel) -> dict[str, Any]:
    """Return outlines of the objects by which an object of the user's class may answer.

    They are its clients, which its code may use in any way, and the user's objects in its private
    attributes. An installed class's there may be a client that is made at the first call.
    """
    values, private = vars(component), component.__pydantic_private__ or {}
    held = {name: values.get(name) for name in _own_clients_of(type(component))}
    held |= {name: each for name, each in private.items() if hasattr(each, "__dict__")}
    return {
        name: outline_of(each)
        for name, each in held.items()
        if hasattr(each, "__dict__") and (name not in private or not is_installed(type(each)))
    }


@of_class
def _own_clients_of(kind: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the clients that a class of the user's declares."""
    own = [base for base in kind.__mro__ if not is_installed(base)]
    declared = {name for base in own for name in vars(base).get("__annotations__", {})}
    return tuple(name for name in ("client", "async_client") if name in declared)


class _NothingReadError(ConfigurationError):
    """Nothing in a mapping can be read."""


def _read_hidden(value: Any, read: Callable[[Any], Any]) -> Any:
    """Return a hidden setting as read; of a client in it, what it adds to requests.

    Raises:
        ConfigurationError: another part of it cannot be read.
    """
    try:
        return read(value)
    except ConfigurationError as error:
        if not isinstance(value, Mapping):
            raise
        refused: ConfigurationError = error
    found, unread = {}, 0
    for name, item in value.items():
        try:
            found[str(name)] = _read_hidden(item, read)
        except _NothingReadError:
            continue
        except ConfigurationError as error:
            if "client" in str(name):
                found[str(name)] = _added_by_client(item)
            else:
                unread, refused = unread + 1, error
    if unread == len(value) or not any(map(_says_something, found.values())):
        raise _NothingReadError(str(refused))
    if unread:
        raise refused
    return found


def _says_something(read: Any) -> bool:
    return any(read) if isinstance(read, tuple) else read is not None


def _attributes_of(component: object) -> Collection[str]:
    """Return the names of an object's attributes.

    Raises:
        ConfigurationError: it has none, so that its content is elsewhere.
    """
    if not hasattr(component, "__dict__"):
        raise ConfigurationError(f"the content of a {type(component).__qualname__} cannot be read")
    return sorted(vars(component))


def _is_account(name: str, value: object) -> bool:
    if isinstance(value, SecretStr):
        return name.endswith(SECRETS)
    return isinstance(value, str) and name.endswith("api_key")


def _added_by_client(client: object) -> tuple[str, ...]:
    """Return where a client of the user's sends requests, and what it adds to each."""
    headers, base_url = getattr(client, "headers", None), getattr(client, "base_url", None)
    shaping = shaping_headers(headers) if isinstance(headers, Mapping) else {}
    added = sorted(f"{name}: {value}" for name, value in shaping.items())
    is_address = isinstance(base_url, str) or hasattr(type(base_url), "copy_with")
    address = str(base_url) if is_address else ""
    parameters = getattr(client, "params", None)
    return (address, str(parameters) if isinstance(parameters, Mapping) else "", *added)


def _added_by_sdk_clients(
    values: Mapping[str, Any], private: Mapping[str, Any]
) -> set[tuple[str, ...]]:
    """Return what clients of a provider's SDK add that are not made from the settings.

    A user may give a model a client of another address. One that the model made at its first call
    has the address in its settings.
    """
    given = [values.get(name) or private.get(f"_{name}") for name in _SDK_CLIENTS]
    own = {str(values.get(name) or "").rstrip("/") for name in _ADDRESSES}
    found = set()
    for held in filter(None, given):
        client = getattr(held, "_client", held)  # `client.chat.completions` has it there
        headers = getattr(client, "_custom_headers", None)
        address = str(getattr(client, "base_url", "")).rstrip("/")
        shaping = shaping_headers(headers) if isinstance(headers, Mapping) else {}
        if address and (address not in own or shaping):
            found.add((address, *sorted(f"{name}: {value}" for name, value in shaping.items())))
    return found


@of_class
def _fields_of(kind: type[BaseModel], skip: frozenset[str]) -> tuple[str, ...]:
    """Return the names of the fields that count; a class's fields do not change."""
    return tuple(
        name
        for name, field in kind.model_fields.items()
        if not (field.exclude or name in CALL_SETTINGS or name in skip)
    )


@of_class
def _excluded_fields_of(kind: type[BaseModel]) -> tuple[str, ...]:
    return tuple(name for name, field in kind.model_fields.items() if field.exclude)
