"""Retries with backoff."""

from __future__ import annotations

import functools
import logging
import random
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("luml_satellite_sdk")


def retry(
    attempts: int = 3,
    *,
    delay: float = 1.0,
    max_delay: float = 60.0,
    on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
) -> Callable[[F], F]:
    """Calls the function again after an exception: after about 1 s, 2 s, 4 s …

        @retry(attempts=5, on=ConnectionError)
        def upload(): ...

    A `SatelliteError` that says when to come back (`retry_after`) is obeyed, up to `max_delay`.
    Works for async functions too.
    """
    if not isinstance(attempts, int) or attempts < 1:
        raise ValueError("attempts: expected 1 or more; write @retry() with parentheses")

    def pause(error: BaseException, attempt: int) -> float:
        asked = getattr(error, "retry_after", None)
        wait: float = min(max_delay, delay * 2**attempt) * random.uniform(0.8, 1.2)
        if asked is not None:
            wait = max(wait, min(asked, max_delay))
        text = "attempt %d of %d failed: %s; retrying in %.1f s"
        logger.info(text, attempt + 1, attempts, error, wait)
        return wait

    def decorate(function: F) -> F:
        if getattr(function, "__code__", None) and function.__code__.co_flags & 0x80:

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                import asyncio

                for attempt in range(attempts - 1):
                    try:
                        return await function(*args, **kwargs)
                    except on as error:
                        wait = pause(error, attempt)
                    await asyncio.sleep(wait)
                return await function(*args, **kwargs)

            return call_async  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(attempts - 1):
                try:
                    return function(*args, **kwargs)
                except on as error:
                    wait = pause(error, attempt)
                time.sleep(wait)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
