"""Attributes that are a part of the state."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, TypeVar, overload

    T = TypeVar("T")
else:
    from satellite_sdk._calls import Generic

    T = None

    def overload(function):
        return function


class StatefulVar(Generic[T]):
    """An attribute that is saved and restored. `stateful` creates it."""

    def __init__(self, default: T | Callable[[], T]) -> None:
        self._default = default
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> StatefulVar[T]: ...

    @overload
    def __get__(self, obj: object, owner: type | None = None) -> T: ...  # noqa: F811

    def __get__(self, obj: object | None, owner: type | None = None) -> Any:  # noqa: F811
        if obj is None:
            return self
        values = obj.__dict__
        if self._key not in values:
            values[self._key] = self._default() if callable(self._default) else self._default
        return values[self._key]

    def __set__(self, obj: object, value: T) -> None:
        obj.__dict__[self._key] = value

    @property
    def _key(self) -> str:
        return f"_stateful_{self._name}_value"


def stateful(default: T | Callable[[], T] = None) -> StatefulVar[T]:  # type: ignore[assignment]
    """Marks an attribute as a part of the state. `default`: a value, or a factory such as `dict`
    for mutable ones.
    """
    return StatefulVar(default)


def get_stateful_vars(obj: object) -> dict[str, Any]:
    """The stateful attributes of an object, those of its base classes too."""
    return {name: getattr(obj, name) for name in _names(type(obj))}


def set_stateful_vars(obj: object, state: dict[str, Any]) -> None:
    """Sets the stateful attributes that `state` has."""
    for name in _names(type(obj)):
        if name in state:
            setattr(obj, name, state[name])


def _names(kind: type) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        names.update((n, None) for n, v in vars(base).items() if isinstance(v, StatefulVar))
    return [name for name in names if isinstance(getattr(kind, name), StatefulVar)]
