"""Schema classes as a model is shown them, and annotations by what they say.

A class's name alone says nothing: a notebook defines another class under the same name, and a
description, an example or the values of an enum change what a model answers.
"""

from __future__ import annotations

import sys
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, ForwardRef, TypeVar, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint.data import Read, tagged

__all__ = ["annotation_of", "annotations_of", "schema_of"]


def schema_of(value: type, read: Read) -> dict[str, Any] | None:
    """Return what a schema class declares, None if the class is not a schema.

    Raises:
        ConfigurationError: the class has no JSON schema.
    """
    if issubclass(value, BaseModel):
        return tagged("schema", name=value.__name__, schema=read(_json_schema(value)))
    older = sys.modules.get("pydantic.v1")
    if older is not None and issubclass(value, older.BaseModel):
        return tagged("schema", name=value.__name__, schema=read(value.schema()))  # type: ignore[attr-defined]
    if issubclass(value, Enum):
        members = {name: read(member.value) for name, member in value.__members__.items()}
        return tagged("choices", name=value.__name__, doc=value.__doc__, members=members)
    if not (_is_typed_dict(value) or is_dataclass(value) or _is_named_tuple(value)):
        return None
    return tagged(
        "fields",
        name=value.__name__,
        doc=value.__doc__,
        annotations=annotations_of(value, read, complete=True),
        required=sorted(getattr(value, "__required_keys__", ())),
        defaults=_defaults(value, read),
        schema=_adapted(value, read),
    )


def annotations_of(value: Any, read: Read, *, complete: bool = False) -> dict[str, Any]:
    """Return the annotations of a class or function, with what `Annotated` adds to them.

    Raises:
        ConfigurationError: they are to be `complete`, and a name in them is defined nowhere.
    """
    try:
        hints = typing.get_type_hints(value, include_extras=True)
    except Exception as error:
        if complete:
            raise ConfigurationError(
                f"an annotation of {value.__name__} names a class that cannot be found, so that "
                "calls with it are not cached: define the class at the top level of the module"
            ) from error
        hints = dict(getattr(value, "__annotations__", {}))
    return {name: annotation_of(hint, read) for name, hint in hints.items()}


def annotation_of(hint: Any, read: Read) -> Any:
    """Return one annotation: its class, its arguments, and the values in them."""
    if isinstance(hint, str):
        return tagged("forward", name=hint)
    if isinstance(hint, ForwardRef):
        return tagged("forward", name=hint.__forward_arg__)
    if isinstance(hint, TypeVar):
        bounds = [read(hint.__bound__), read(hint.__constraints__)]
        return tagged("variable", name=hint.__name__, bounds=bounds)
    if isinstance(hint, typing.NewType):
        return tagged("new type", name=hint.__name__, of=annotation_of(hint.__supertype__, read))
    if isinstance(hint, type) and get_origin(hint) is None:
        return read(hint)
    if hasattr(hint, "__value__"):  # an alias, made by `type Name = ...`
        return tagged("alias", of=annotation_of(hint.__value__, read))
    origin = get_origin(hint)
    if origin is None:
        return _bare(hint, read)
    metadata = getattr(hint, "__metadata__", None)
    if metadata is not None:
        inner = annotation_of(hint.__origin__, read)
        return tagged("annotated", of=inner, notes=[read(note) for note in metadata])
    arguments = get_args(hint)
    if origin is typing.Literal:
        return tagged("literal", values=[read(argument) for argument in arguments])
    name = "Union" if origin in (typing.Union, types.UnionType) else _bare(origin, read)
    return tagged("generic", of=name, arguments=[_argument(each, read) for each in arguments])


def _argument(argument: Any, read: Read) -> Any:
    if isinstance(argument, list | tuple):  # the arguments in Callable[[…], …]
        return [_argument(each, read) for each in argument]
    return annotation_of(argument, read)


def _bare(hint: Any, read: Read) -> Any:
    if isinstance(hint, type) or not type(hint).__module__.startswith("typing"):
        return read(hint)
    return tagged("typing", name=getattr(hint, "_name", None) or str(hint))


def _json_schema(value: type[BaseModel]) -> Any:
    try:
        return value.model_json_schema()
    except (PydanticUserError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the schema {value.__name__} cannot be written as a JSON schema, so that calls with "
            "it are not cached: give its fields types that have one"
        ) from error


def _adapted(value: type, read: Read) -> Any:
    """Return pydantic's schema of the class; None if it has none, which leaves the annotations."""
    try:
        return read(TypeAdapter(value).json_schema())
    except (PydanticUserError, TypeError, ValueError, NameError):
        return None


def _is_typed_dict(value: type) -> bool:
    # Of `typing` or of `typing_extensions`, whose own test knows one of them.
    return issubclass(value, dict) and hasattr(value, "__required_keys__")


def _is_named_tuple(value: type) -> bool:
    return issubclass(value, tuple) and hasattr(value, "_fields")


def _defaults(value: type, read: Read) -> Any:
    if not is_dataclass(value):
        return read(getattr(value, "_field_defaults", {}))
    return {
        field.name: [
            _default(field.default, read),
            _default(field.default_factory, read),
            read(dict(field.metadata)),
        ]
        for field in fields(value)
    }


def _default(value: object, read: Read) -> Any:
    return tagged("missing") if value is MISSING else read(value)
