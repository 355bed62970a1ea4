"""Log records of the native module."""

from __future__ import annotations

import logging

from satellite_sdk import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def emit(logger: logging.Logger, level: int, text: str, fields: dict[str, Any]) -> None:
    """Logs a line. The native module calls this."""
    record = logger.makeRecord(logger.name, level, "(satellite-sdk)", 0, text, (), None)
    if fields["task_id"] is not None or not hasattr(record, "task_id"):
        record.__dict__.update(fields)
    logger.handle(record)


def sync_level(*names: str) -> None:
    """Lets the native module drop what none of these loggers would show."""
    levels = [logging.getLogger(name).getEffectiveLevel() for name in names]
    _native.set_log_level(min(levels))
