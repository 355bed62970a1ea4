"""Log records of a worker, with the id of the task that they belong to."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from satellite_sdk._logs import sync_level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The task that the present thread, or asyncio task, works on.
task_id: ContextVar[str | None] = ContextVar("luml_task_id", default=None)

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(task_id)s] %(message)s"

_is_prepared = False


def prepare() -> None:
    """Adds `task_id` to all records from here on, and, if the program has not configured
    logging, shows the kit's at level INFO.
    """
    global _is_prepared
    logger = logging.getLogger("luml_satellite_sdk")
    if not _is_prepared:
        _is_prepared = True
        make = logging.getLogRecordFactory()

        def with_task_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            record.task_id = task_id.get()
            return record

        logging.setLogRecordFactory(with_task_id)
    if logger.level == logging.NOTSET and not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    sync_level("luml_satellite_sdk", "satellite_sdk")
