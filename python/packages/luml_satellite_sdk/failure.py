"""What fails a task."""

from __future__ import annotations


class Failure(Exception):
    """Fails a task with a short reason and a detailed error."""

    def __init__(self, reason: str, error: object = None) -> None:
        super().__init__(reason if error is None else error)
        self.reason = reason
        self.error = str(reason if error is None else error)

    def __str__(self) -> str:
        return self.error


class PayloadError(Failure):
    """The payload does not fit the handler's annotation."""

    def __init__(self, error: str) -> None:
        super().__init__("the payload does not fit", error)
