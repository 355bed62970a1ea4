"""The base of the data that servers return."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from typing_extensions import Self


class Model:
    """Data of a server. Fields that this version does not know are attributes as well."""

    #: Not shown by `repr`.
    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Self:
        self = cls.__new__(cls)
        self.__dict__.update(fields)
        return self

    @classmethod
    def _list(cls, items: list[dict[str, Any]]) -> list[Self]:
        return [cls._of(item) for item in items]

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return {name: _plain(value) for name, value in self.__dict__.items() if name[0] != "_"}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = (
            f"{name}={'***' if name in self._hidden else repr(value)}"
            for name, value in self.__dict__.items()
            if name[0] != "_"
        )
        return f"{type(self).__name__}({', '.join(fields)})"


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
