"""The exceptions of processors."""

from __future__ import annotations


class DoryError(Exception):
    """The base of them all."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.message}: {self.cause}" if self.cause else self.message


class DoryStartupError(DoryError):
    """`startup` failed."""


class DoryShutdownError(DoryError):
    """`shutdown` failed."""


class DoryStateError(DoryError):
    """The state could not be restored or saved."""


class DoryConfigError(DoryError):
    """A setting is wrong."""
