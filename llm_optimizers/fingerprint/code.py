"""Functions, methods, classes and objects by their code and content.

A name says what an installed package means, since it is not defined again while a program runs. The
user's own code is read: a notebook's cell may define another function under the same name.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint.data import PLAIN, Read, as_text, name_of, tagged
from llm_optimizers.fingerprint.schemas import annotations_of
from llm_optimizers.memos import of_class

__all__ = ["class_of", "code_of", "is_installed", "object_of", "written_code_of"]

_OWN = ("llm_optimizers", "langchain_llm_optimizers", "llama_index_llm_optimizers")
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_NAMED = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
_CACHED_FUNCTION = type(functools.lru_cache(lambda: None))
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)
# What Python itself adds to a class.
_BOOKKEEPING = frozenset(
    [
        "__module__",
        "__dict__",
        "__weakref__",
        "__qualname__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__conditional_annotations__",
        "__orig_bases__",
        "__parameters__",
        "__slots__",
        "__slotnames__",  # since an object of the class was copied or pickled
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
        "__hash__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__type_params__",
        "_is_protocol",
        "_is_runtime_protocol",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
        "__subclasshook__",
        "__classcell__",
    ]
)


def code_of(value: Any, read: Read) -> dict[str, Any] | None:
    """Return a function, method, partial or module; None for anything else.

    Raises:
        ConfigurationError: its code uses something that cannot be read.
    """
    if isinstance(value, types.FunctionType):
        return (
            tagged("named", name=name_of(value)) if is_installed(value) else _function(value, read)
        )
    if isinstance(value, types.MethodType):
        return tagged("method", function=read(value.__func__), owner=read(value.__self__))
    if isinstance(value, functools.partial):
        parts = [value.func, value.args, value.keywords]
        return tagged("partial", parts=[read(part) for part in parts])
    if isinstance(value, _NAMED):
        owner = getattr(value, "__self__", None)
        bound = None if owner is None or isinstance(owner, types.ModuleType) else read(owner)
        home = getattr(value, "__objclass__", None) or getattr(value, "__module__", None)
        return tagged("built in", name=value.__qualname__, of=str(home), owner=bound)
    if isinstance(value, types.ModuleType):
        return tagged("module", name=value.__name__)
    if isinstance(value, property):
        return tagged("property", parts=[read(p) for p in (value.fget, value.fset, value.fdel)])
    if isinstance(value, functools.cached_property):
        return tagged("property", parts=[read(value.func)])
    if isinstance(value, staticmethod | classmethod):
        return tagged(type(value).__name__, function=read(value.__func__))
    if isinstance(value, _CACHED_FUNCTION):
        return tagged("cached", function=read(value.__wrapped__))
    if isinstance(value, logging.Logger):
        return tagged("logger", name=value.name)
    return None


def class_of(value: type, read: Read) -> dict[str, Any]:
    """Return a class: an installed one by its name, another by its name and content.

    Raises:
        ConfigurationError: one of its attributes cannot be read.
    """
    if not _is_defined_in_python(value) or is_installed(value):
        return tagged("class", name=name_of(value))
    members = {
        name: read(member)
        for name, member in sorted(vars(value).items())
        if name not in _BOOKKEEPING and not isinstance(member, _DESCRIPTORS)
    }
    return tagged(
        "class",
        name=value.__qualname__,
        bases=[read(base) for base in value.__bases__ if base is not object],
        annotations=annotations_of(value, read),
        members=members,
    )


@of_class
def written_code_of(value: type) -> tuple[str, ...]:
    """Return digests of the methods that the user wrote for a class and its bases.

    Not of what their code uses, apart from plain values in closures: a model's class may use
    clients and locks, which say nothing about its answers.
    """
    found = []
    for base in value.__mro__:
        if not _is_defined_in_python(base) or is_installed(base):
            continue
        for name, member in sorted(vars(base).items()):
            for function in _functions_in(member):
                cells = [_plain_cell(cell) for cell in function.__closure__ or ()]
                body = _code(function.__code__, _plain)
                found.append(hashlib.sha256(as_text([name, body, cells]).encode()).hexdigest())
    return tuple(found)


def _functions_in(member: Any) -> Iterator[types.FunctionType]:
    """Yield the functions of a class's attribute, without what decorators put around them."""
    accessors = (getattr(member, name, None) for name in ("fget", "fset", "__func__", "func"))
    for each in (member, *accessors):
        inner = inspect.unwrap(each) if callable(each) else each
        if isinstance(inner, types.FunctionType):
            yield inner


def _plain_cell(cell: types.CellType) -> Any:
    try:
        return _plain(cell.cell_contents)
    except ValueError:  # a variable that is not set yet
        return None


def _plain(value: object) -> Any:
    """Return a constant, or the class of anything else."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, frozenset):
        return sorted((_plain(each) for each in value), key=as_text)
    if isinstance(value, bytes | complex):
        return [type(value).__name__, repr(value)]
    return value if type(value) in PLAIN else type(value).__name__


def object_of(value: Any, read: Read) -> dict[str, Any]:
    """Return an object by its class and attributes, whatever its `repr` shows or hides.

    Raises:
        ConfigurationError: it keeps something outside its attributes, as a lock or a client does.
    """
    kind = type(value)
    if kind is object or _hides_state(kind):
        raise ConfigurationError(
            f"the content of a {kind.__qualname__} cannot be read, so that calls with it are not "
            "cached: give data, a schema class or a function instead, or give its class a method "
            "`__fingerprint__` that returns what distinguishes it as data"
        )
    attributes = {name: read(item) for name, item in _attributes(value)}
    return tagged("object", of=class_of(kind, read), attributes=attributes)


def _function(value: types.FunctionType, read: Read) -> dict[str, Any]:
    """Return a function's code with every value that it uses: defaults, closure, globals."""
    code, names = value.__code__, _names(value.__code__)
    used = {name: value.__globals__[name] for name in sorted(names) if name in value.__globals__}
    return tagged(
        "function",
        name=value.__qualname__,
        doc=value.__doc__,
        code=_code(code, read),
        annotations=annotations_of(value, read),
        defaults=[read(value.__defaults__), read(value.__kwdefaults__)],
        closure=[_cell(cell, read) for cell in value.__closure__ or ()],
        globals={name: read(item) for name, item in used.items()},
        attributes={name: read(item) for name, item in sorted(vars(value).items())},
    )


def _cell(cell: types.CellType, read: Read) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:  # a variable that is not set yet
        return tagged("empty")
    return read(content)


def _code(code: types.CodeType, read: Read) -> dict[str, Any]:
    body = (code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames)
    counts = (code.co_freevars, code.co_cellvars, code.co_argcount, code.co_posonlyargcount)
    shape = (*body, *counts, code.co_kwonlyargcount, code.co_flags)
    return {
        "body": hashlib.sha256(str(shape).encode("utf-8", "surrogatepass")).hexdigest(),
        "constants": [
            _code(each, read) if isinstance(each, types.CodeType) else read(each)
            for each in code.co_consts
        ],
    }


def _names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _names(each)
    return found


def is_installed(value: Any) -> bool:
    """Whether an installed package has this function or class under its own name."""
    module = sys.modules.get(value.__module__ or "")
    if module is None or not _installed(module):
        return False
    at: Any = module
    for part in value.__qualname__.split("."):
        at = vars(at).get(part) if isinstance(at, type | types.ModuleType) else None
    return (at.__func__ if isinstance(at, staticmethod | classmethod) else at) is value


def _installed(module: types.ModuleType) -> bool:
    top = module.__name__.partition(".")[0]
    if top in _OWN or (top in sys.stdlib_module_names and top != "__main__"):
        return True
    return str(getattr(module, "__file__", None) or "").startswith(_INSTALLED)


def _is_defined_in_python(value: type) -> bool:
    return bool(value.__flags__ & 1 << 9)  # Py_TPFLAGS_HEAPTYPE


def _hides_state(kind: type) -> bool:
    """Whether an object of this class is larger than its attributes, and so keeps more than them.

    Counts one pointer for each slot, and those that hold attributes and weak references.
    """
    slots = 0
    for base in kind.__mro__:
        names = vars(base)
        slots += sum(isinstance(each, types.MemberDescriptorType) for each in names.values())
        slots += ("__dict__" in names) + ("__weakref__" in names)
    return kind.__basicsize__ > object.__basicsize__ + _POINTER * slots or kind.__itemsize__ > 0


_POINTER = tuple.__itemsize__


def _attributes(value: Any) -> Iterator[tuple[str, object]]:
    yield from sorted(getattr(value, "__dict__", {}).items())
    for base in type(value).__mro__:
        for name, member in sorted(vars(base).items()):
            if isinstance(member, types.MemberDescriptorType) and hasattr(value, name):
                yield f"{base.__qualname__}.{name}", getattr(value, name)
