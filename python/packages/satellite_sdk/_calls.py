"""Calls of the native module from the sync and the async clients."""

from __future__ import annotations

from satellite_sdk import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType
    from typing import Any, Generic, TypeVar

    from typing_extensions import Self

    T = TypeVar("T")
else:

    class Generic:
        """Not evaluated: the module `typing` takes longer to import than this package."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    T = None


class Connected:
    """What every client has."""

    _connection: _native.Connection

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        self._connection = _native.connect(kind, given)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Closing:
    """What is closed at the end of a `with`."""

    def close(self) -> None:
        """Ends the use of the server."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Client(Connected, Closing):
    """The base of the sync clients."""

    def close(self) -> None:
        """Closes idle connections. Later calls raise `ValueError`."""
        self._connection.close()

    def _call(self, operation: str, arguments: Any = None) -> Any:
        return self._connection.call(operation, arguments)


class AsyncClient(Connected):
    """The base of the async clients. Cancelling a task ends its call and no other."""

    async def close(self) -> None:
        """Closes idle connections. Later calls raise `ValueError`."""
        self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, operation: str, arguments: Any = None) -> Any:
        def start(done: Callable[[Any, BaseException | None], None]) -> _native.Call:
            return self._connection.submit(operation, arguments, done)

        return await awaited(start)


class LogStream(Closing, Generic[T]):
    """Iterates over what a server sends, until it ends or is closed."""

    def __init__(self, stream: _native.Stream, item: Callable[[Any], T | None]) -> None:
        self._stream = stream
        self._item = item

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while (given := self._stream.next()) is not None:
            if (item := self._item(given)) is not None:
                return item
        raise StopIteration

    def close(self) -> None:
        """Ends the stream and its connection."""
        self._stream.close()


class AsyncLogStream(Generic[T]):
    """The same for `async for`. The call is sent at the first item."""

    def __init__(self, open_stream: Callable[[], Any], item: Callable[[Any], T | None]) -> None:
        self._open = open_stream
        self._item = item
        self._stream: Any = None
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._is_over:
            raise StopAsyncIteration
        stream = self._stream
        if stream is None:
            stream = self._stream = await self._open()
        try:
            while (given := await awaited(stream.submit_next)) is not None:
                if (item := self._item(given)) is not None:
                    return item
        except BaseException:
            await self.aclose()
            raise
        self._is_over = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream and its connection."""
        self._is_over = True
        if self._stream is not None:
            self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


async def awaited(
    start: Callable[[Callable[[Any, BaseException | None], None]], _native.Call],
) -> Any:
    """Starts a native call and waits for it. Cancelling ends the call."""
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def done(result: Any, error: BaseException | None) -> None:
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the loop was closed; nobody waits

    call = start(done)
    try:
        return await future
    except asyncio.CancelledError:
        call.cancel()
        raise
