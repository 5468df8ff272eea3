"""Read any value as JSON-like data that differs whenever the value does.

A value enters a key by its content and never by its `repr`, which may hide content (a secret, the
middle of an array, `Field(repr=False)`) or hold an address that another object has later. What
cannot be read is refused, and then nothing is cached.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint.code import class_of, code_of, object_of
from llm_optimizers.fingerprint.data import PLAIN, data_of, tagged, written_mapping
from llm_optimizers.fingerprint.schemas import annotation_of, schema_of

__all__ = ["compact_json", "digest", "digest_of_read", "fingerprint", "json_text"]


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def fingerprint(value: object) -> Any:
    """Return the value as JSON-like data: equal for equal values, different for different ones.

    Text, numbers, lists and mappings with text as keys stay as they are; a tuple is a list. All
    else is marked with its kind. A class may have a method `__fingerprint__` that returns what
    distinguishes an object as data.

    Raises:
        ConfigurationError: it holds something whose content cannot be read.
    """
    if type(value) in PLAIN:
        return value
    try:
        return _Reader().read(value)
    except ConfigurationError:
        raise
    except RecursionError as error:
        raise ConfigurationError(
            "a setting cannot be written into a key: it is nested too deeply or holds itself"
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"a setting cannot be written into a key: reading it raised {type(error).__name__}"
        ) from error


def digest(value: object) -> str:
    """Return the hash of a value's fingerprint, the same in every process.

    Raises:
        ConfigurationError: it holds something whose content cannot be read.
    """
    return digest_of_read(fingerprint(value))


def digest_of_read(read: object) -> str:
    """Return the hash of a fingerprint, for one that is already there.

    Raises:
        ConfigurationError: it cannot be written as JSON (a number of thousands of digits, say).
    """
    try:
        text = _ENCODER.encode(read)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written into a key ({error})") from error
    return hashlib.sha256(text.encode()).hexdigest()


def json_text(value: object) -> str:
    """Return a value as JSON text with sorted keys; an object in it as its fingerprint.

    Raises:
        ConfigurationError: it holds something whose content cannot be read.
    """
    try:
        return json.dumps(value, sort_keys=True, default=fingerprint)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"a value cannot be written as JSON ({error})") from error


def compact_json(arguments: object) -> str:
    """Return a tool call's arguments as a model writes them: JSON without spaces.

    Text that is no JSON, as of a call that broke off, stays as it is.
    """
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(arguments)


def _is_annotation(value: object) -> bool:
    return get_origin(value) is not None or type(value).__module__.startswith("typing")


class _Reader:
    """Reads one value; a function, class or object that it has read before is only numbered."""

    def __init__(self) -> None:
        # With the object, since its address would be another's once it is gone.
        self._seen: dict[int, tuple[int, object]] = {}

    def read(self, value: object) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is dict:
            return written_mapping(value, self.read)  # type: ignore[arg-type]  # a dict
        if kind is list:
            return [i if type(i) is str else self.read(i) for i in value]  # type: ignore[attr-defined]
        if isinstance(value, list | tuple | deque):
            return [self.read(item) for item in value]
        found = data_of(value, self.read)
        return self._other(value) if found is None else found

    def _other(self, value: Any) -> Any:
        if isinstance(value, str | int | float):  # of a class of the user's own
            return value
        if isinstance(value, Mapping):
            return written_mapping(value, self.read)
        if value is Ellipsis or value is NotImplemented:
            return tagged("constant", name=repr(value))
        if not isinstance(value, type) and _is_annotation(value):
            return annotation_of(value, self.read)
        number, _ = self._seen.get(id(value), (None, None))
        if number is not None:
            return tagged("seen", number=number)
        self._seen[id(value)] = (len(self._seen), value)
        return self._content(value)

    def _content(self, value: Any) -> Any:
        if isinstance(value, type):
            return schema_of(value, self.read) or class_of(value, self.read)
        own = getattr(type(value), "__fingerprint__", None)
        if own is not None:
            return tagged("own", of=type(value).__qualname__, content=self.read(own(value)))
        found = code_of(value, self.read)
        if found is not None:
            return found
        return self._model(value) if isinstance(value, BaseModel) else object_of(value, self.read)

    def _model(self, value: BaseModel) -> dict[str, Any]:
        """Return a pydantic object: its fields, even those it hides, and what it writes of them."""
        return tagged(
            "model",
            name=type(value).__qualname__,
            fields=self.read(dict(vars(value))),
            extra=self.read(value.__pydantic_extra__),
            given=sorted(value.model_fields_set),
            written=self.read(value.model_dump(mode="json")),
        )
