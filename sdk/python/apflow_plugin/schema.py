"""Python types to JSON Schema (2020-12), and JSON values to those types, with the place of what does not fit.

Dataclasses, TypedDict, `list`, `dict[str, T]`, `Literal`, Enum, unions, `Any` and the plain types are understood.
`Annotated[int, "How often.", {"minimum": 1}]` adds a description and keywords; the host checks what they say.
"""

import dataclasses
import enum
import json
import types
import typing
from typing import Any

from .failure import BadInput

DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    dict: {"type": "object"},
    list: {"type": "array"},
    Any: {},
    object: {},
}
# Members of a TypedDict; Python 3.10 does not have them.
_WRAPPERS = tuple(getattr(typing, name) for name in ("Required", "NotRequired") if hasattr(typing, name))


def of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type. A type that JSON has no form for is a `TypeError`, while the component is built."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        # `get_args` gives the type and then the notes, which need not be hashable: nothing may look such a type up.
        schema = of(args[0])
        for note in args[1:]:
            schema |= {"description": note} if isinstance(note, str) else note if isinstance(note, dict) else {}
        return schema
    if origin in _WRAPPERS:
        return of(args[0])
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is list:
        return {"type": "array", "items": of(args[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": of(args[1])}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [of(arg) for arg in args]}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    members = _members(kind)
    if members is None:
        raise TypeError(f"{kind!r} has no JSON Schema; use a dataclass, a TypedDict or plain types, or give `input_schema`")
    schema = {"type": "object", "properties": {name: _member(*about) for name, about in members.items()}}
    required = [name for name, (_, needed, _) in members.items() if needed]
    return schema | ({"required": required} if required else {})


def read(kind: Any, value: Any, pointer: str = "") -> Any:
    """A JSON value as a type; what does not fit is bad input with its JSON pointer."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated or origin in _WRAPPERS:
        return read(args[0], value, pointer)
    if kind in (Any, object):
        return value
    if kind is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise _misfit(value, pointer, "a number")
    if kind in _PLAIN:
        wanted = type(None) if kind is None else kind
        if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
            return value
        if wanted is int and isinstance(value, float) and value.is_integer():
            return int(value)
        raise _misfit(value, pointer, _NAMES[wanted])
    if origin is typing.Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
        raise _misfit(value, pointer, f"one of {', '.join(map(json.dumps, args))}")
    if origin is list:
        return [read(args[0], item, f"{pointer}/{at}") for at, item in enumerate(read(list, value, pointer))]
    if origin is dict:
        members = read(dict, value, pointer).items()
        return {name: read(args[1], item, f"{pointer}/{_escaped(name)}") for name, item in members}
    if origin in (typing.Union, types.UnionType):
        return _read_union(args, value, pointer)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            raise _misfit(value, pointer, f"one of {', '.join(json.dumps(member.value) for member in kind)}") from None
    return _read_members(kind, read(dict, value, pointer), pointer)


def plain(value: Any) -> Any:
    """For `json.dumps`: what dataclasses and members of an Enum are in JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


_NAMES = {str: "a string", int: "a whole number", bool: "true or false", type(None): "null", dict: "an object", list: "a list"}


def _members(kind: Any) -> dict[str, tuple[Any, bool, Any]] | None:
    """Type, whether it must be there, and default of each member; None for what is no record."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {field.name: (hints[field.name], *_default(field)) for field in dataclasses.fields(kind) if field.init}
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {name: (hint, name in kind.__required_keys__, dataclasses.MISSING) for name, hint in hints.items()}
    return None


def _default(field: Any) -> tuple[bool, Any]:
    if field.default is not dataclasses.MISSING:
        return False, field.default
    if field.default_factory is not dataclasses.MISSING:
        return False, field.default_factory()
    return True, dataclasses.MISSING


def _member(kind: Any, _needed: bool, default: Any) -> dict[str, Any]:
    schema = of(kind)
    if default not in (dataclasses.MISSING, None):
        schema["default"] = json.loads(json.dumps(default, default=plain))
    return schema


def _read_members(kind: Any, value: dict[str, Any], pointer: str) -> Any:
    members = _members(kind)
    if members is None:
        raise TypeError(f"{kind!r} cannot be read from JSON")
    found = {}
    for name, (hint, needed, _) in members.items():
        place = f"{pointer}/{_escaped(name)}"
        if name in value:
            found[name] = read(hint, value[name], place)
        elif needed:
            raise BadInput("missing_input", f"`{name}` is missing", place)
    return found if typing.is_typeddict(kind) else kind(**found)


def _read_union(kinds: tuple[Any, ...], value: Any, pointer: str) -> Any:
    first: BadInput | None = None
    # Null last: what is wrong with a value is said about the type that is meant.
    for kind in sorted(kinds, key=lambda kind: kind is type(None)):
        try:
            return read(kind, value, pointer)
        except BadInput as error:
            first = first or error
    raise first or _misfit(value, pointer, "another value")


def _misfit(value: Any, pointer: str, wanted: str) -> BadInput:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return BadInput("invalid_input", f"`{pointer[1:] or 'inputs'}` is {shown}: give {wanted}", pointer)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
