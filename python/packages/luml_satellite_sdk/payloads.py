"""Payloads as the type that a handler's annotation names."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Union

from luml_satellite_sdk.failure import PayloadError

Converter = Callable[[Any], Any]

# Python 3.11 and later.
_REQUIRED = getattr(typing, "Required", None)
_NOT_REQUIRED = getattr(typing, "NotRequired", None)


def converter(hint: Any) -> Converter | None:
    """What turns a payload into this type, or `None` if it is taken as it is."""
    if hasattr(hint, "model_validate"):
        return lambda payload: _pydantic(hint, payload)
    if _is_typed(hint):
        return lambda payload: _read(hint, payload, "payload")
    origin = typing.get_origin(hint)
    if hint in (int, float, str, bool, list) or origin in (list, Union, types.UnionType):
        return lambda payload: _read(hint, payload, "payload")
    if hint is dict or origin is dict:
        return lambda payload: _read(hint, payload, "payload")
    return None


def _pydantic(model: Any, payload: Any) -> Any:
    try:
        return model.model_validate(payload)
    except Exception as error:
        details = getattr(error, "errors", None)
        if details is None:
            raise
        lines = []
        for one in details():
            path = "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]
            )
            lines.append(f"payload{path}: {one['msg']}")
        raise PayloadError("; ".join(lines)) from None


def _is_typed(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or typing.is_typeddict(hint)


def _read(hint: Any, value: Any, path: str) -> Any:
    if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
        return value
    if hasattr(hint, "model_validate"):
        return _pydantic(hint, value)
    if hint is None or hint is type(None):
        return _expect(value is None, "null", value, path, value)
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, value, path)
    if origin is not None and origin in (typing.Annotated, _REQUIRED, _NOT_REQUIRED):
        return _read(typing.get_args(hint)[0], value, path)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        expected = " or ".join(map(repr, choices))
        return _expect(value in choices, expected, value, path, value)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, path)
    if typing.is_typeddict(hint):
        return _typed_dict(hint, value, path)
    return _plain(hint, origin, value, path)


def _plain(hint: Any, origin: Any, value: Any, path: str) -> Any:
    arguments = typing.get_args(hint)
    kind = origin or hint
    if kind is bool:
        return _expect(isinstance(value, bool), "bool", value, path, value)
    if kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
        return _expect(fits, "int", value, path, value)
    if kind is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(_expect(fits, "float", value, path, value))
    if kind is str:
        return _expect(isinstance(value, str), "str", value, path, value)
    if kind in (list, tuple, set, frozenset) or _names(kind) in ("Sequence", "Iterable"):
        _expect(isinstance(value, list), "list", value, path, value)
        item = arguments[0] if arguments else Any
        items = [_read(item, one, f"{path}[{n}]") for n, one in enumerate(value)]
        return kind(items) if kind in (tuple, set, frozenset) else items
    if kind is dict or _names(kind) in ("Mapping", "MutableMapping"):
        _expect(isinstance(value, dict), "dict", value, path, value)
        item = arguments[1] if len(arguments) > 1 else Any
        return {name: _read(item, one, f"{path}.{name}") for name, one in value.items()}
    if isinstance(kind, type) and hasattr(kind, "__members__"):  # an enum
        try:
            return kind(value)
        except ValueError:
            names = " or ".join(repr(member.value) for member in kind)  # type: ignore[attr-defined]
            return _expect(False, names, value, path, value)
    return value


def _names(kind: Any) -> str:
    return getattr(kind, "__name__", "")


def _union(hint: Any, value: Any, path: str) -> Any:
    choices = typing.get_args(hint)
    if value is None and type(None) in choices:
        return None
    others = [choice for choice in choices if choice is not type(None)]
    for choice in others:
        try:
            return _read(choice, value, path)
        except PayloadError:
            if len(others) == 1:
                raise
    expected = " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices)
    return _expect(False, expected, value, path, value)


def _dataclass(hint: Any, value: Any, path: str) -> Any:
    _expect(isinstance(value, dict), "dict", value, path, value)
    hints = typing.get_type_hints(hint)
    given = {}
    for field in dataclasses.fields(hint):
        if not field.init:
            continue
        if field.name in value:
            kind = hints[field.name]
            given[field.name] = _read(kind, value[field.name], f"{path}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise PayloadError(f"{path}.{field.name}: is missing")
    return hint(**given)  # other keys are ignored, as everywhere


def _typed_dict(hint: Any, value: Any, path: str) -> Any:
    _expect(isinstance(value, dict), "dict", value, path, value)
    hints = typing.get_type_hints(hint)
    for name in hint.__required_keys__:
        if name not in value:
            raise PayloadError(f"{path}.{name}: is missing")
    known = {
        name: _read(hints[name], value[name], f"{path}.{name}") for name in hints if name in value
    }
    return {**value, **known}


def _expect(fits: bool, expected: str, value: Any, path: str, result: Any) -> Any:
    if fits:
        return result
    found = "null" if value is None else type(value).__name__
    raise PayloadError(f"{path}: expected {expected}, found {found}")
