"""The same worker on this package."""

import logging

from luml_satellite_sdk import handler, run

logging.getLogger("luml_satellite_sdk").setLevel(logging.WARNING)


@handler("work")
def work(task_id: str, payload: dict, client) -> None:
    pass


run()
