"""The handlers of task types."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

#: The handlers of `@handler`, which `run` uses.
_REGISTRY: dict[str, Callable[..., Any]] = {}


def handler(task_type: str) -> Callable[[F], F]:
    """Registers the function for tasks of this type.

    It is called with `task_id`, `payload` and `client`, and may be async. What it returns is the
    task's result; an exception fails the task, unless the function has reported it itself. A
    fourth parameter named `context` receives what the worker knows about its stop.

    The payload is a dict, or the type that its annotation names: a dataclass, a TypedDict or a
    Pydantic model. If it does not fit, the task fails with the path of the wrong field.
    """
    if not isinstance(task_type, str):
        raise TypeError('write @handler("task type")')

    def register(function: F) -> F:
        if task_type in _REGISTRY and _REGISTRY[task_type] is not function:
            raise ValueError(f"task type {task_type!r} has a handler already")
        _REGISTRY[task_type] = function
        return function

    return register


class Bound:
    """A handler, with what its signature asks for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        code = getattr(function, "__code__", None)
        if code is None:  # a callable object, or a functools.partial
            import inspect

            try:
                names = list(inspect.signature(function).parameters)
            except ValueError:
                names = []  # written in C
        else:
            count = code.co_argcount + code.co_kwonlyargcount
            names = list(code.co_varnames[:count])
            if hasattr(function, "__self__"):
                del names[0]
        self.wants_context = "context" in names
        positional = [name for name in names if name != "context"]
        payload = positional[1] if len(positional) > 1 else "payload"
        client = positional[2] if len(positional) > 2 else "client"
        hint = _annotation(function, payload)
        self.convert: Callable[[Any], Any] | None = None
        if hint is not None and hint is not dict:
            from luml_satellite_sdk import payloads

            self.convert = payloads.converter(hint)
        found = _annotation(function, client)
        self.client_class: Any = found if isinstance(found, type) else None

    def call(self, task_id: str, payload: Any, client: Any, context: Any) -> Any:
        if self.convert is not None:
            payload = self.convert(payload)
        if self.wants_context:
            return self.function(task_id, payload, client, context=context)
        return self.function(task_id, payload, client)


def _annotation(function: Callable[..., Any], name: str) -> Any:
    function = getattr(function, "__func__", function)
    function = getattr(function, "__wrapped__", function)
    hint = getattr(function, "__annotations__", {}).get(name)
    if not isinstance(hint, str):
        return hint
    # With `from __future__ import annotations` it is text.
    try:
        return eval(hint, dict(getattr(function, "__globals__", {})))
    except NameError:
        return None  # imported for the type checker alone, or local to a function
