"""The exceptions of satellite-sdk.

Every error of a server, of the network or of a setting is a `SatelliteError`. Its class says what
happened; its attributes answer more precise questions, of which several may be true.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SatelliteError(Exception):
    """An error, with the text of what was asked, of whom, and what came back."""

    #: A setting or an argument is wrong. Nothing was sent.
    is_settings: bool = False
    is_unauthorized: bool = False
    is_forbidden: bool = False
    is_not_found: bool = False
    is_conflict: bool = False
    is_invalid: bool = False
    is_rate_limited: bool = False
    #: The server does not have the route.
    is_unsupported: bool = False
    is_version_mismatch: bool = False
    is_timeout: bool = False
    #: No connection was opened, so nothing was sent.
    is_connect: bool = False
    is_out_of_capacity: bool = False
    #: The request was sent, and it is unknown whether it was carried out.
    is_outcome_unknown: bool = False
    #: The same call may succeed later. The client has already retried it.
    is_retryable: bool = False
    is_cancelled: bool = False
    is_too_large: bool = False
    #: The platform rejected the token.
    is_refused_token: bool = False

    #: The HTTP status, if there was a response.
    status: int | None = None
    #: The server's own name for the error.
    server_type: str | None = None
    server_message: str | None = None
    #: Seconds that the server asks to wait.
    retry_after: float | None = None

    def __reduce__(self) -> Any:
        return _restore, (type(self), self.args, dict(self.__dict__))


class SettingsError(SatelliteError, ValueError):
    """A setting or an argument is wrong; all wrong ones are named."""


class AuthenticationError(SatelliteError):
    """The server rejected the token: 401."""


class AccessDeniedError(SatelliteError):
    """The token does not allow this: 403."""


class NotFoundError(SatelliteError, LookupError):
    """What was asked for does not exist."""


class ConflictError(SatelliteError):
    """The server's state does not allow this: 409."""


class InvalidRequestError(SatelliteError):
    """The server rejected the request: 400, 422."""


class RateLimitedError(SatelliteError):
    """Too many requests: 429."""


class UnsupportedError(SatelliteError):
    """The server does not have the route, or its API lacks the feature."""


class OutOfCapacityError(SatelliteError):
    """No cloud had the machines."""


class RequestTimeoutError(SatelliteError, TimeoutError):
    """A time limit expired. The work may still run on the server."""


class ConnectionFailedError(SatelliteError, ConnectionError):
    """The connection failed."""


class CancelledError(SatelliteError):
    """The call was cancelled, or its client is stopping."""


# The first whose attribute is true.
_CLASSES: tuple[tuple[str, type[SatelliteError]], ...] = (
    ("is_settings", SettingsError),
    ("is_cancelled", CancelledError),
    ("is_unauthorized", AuthenticationError),
    ("is_forbidden", AccessDeniedError),
    ("is_not_found", NotFoundError),
    ("is_conflict", ConflictError),
    ("is_rate_limited", RateLimitedError),
    ("is_out_of_capacity", OutOfCapacityError),
    ("is_unsupported", UnsupportedError),
    ("is_version_mismatch", UnsupportedError),
    ("is_invalid", InvalidRequestError),
    ("is_timeout", RequestTimeoutError),
    ("is_connect", ConnectionFailedError),
)


def _of_native(message: str, fields: dict[str, Any]) -> SatelliteError:
    """The exception for an error of the native module, which calls this."""
    found = [kind for name, kind in _CLASSES if fields.get(name)]
    if not found and fields.get("is_outcome_unknown") and fields.get("status") is None:
        found = [ConnectionFailedError]  # it broke after the request was sent
    error = (found or [SatelliteError])[0](message)
    for name, value in fields.items():
        if value is not None:
            setattr(error, name, value)
    return error


def _restore(
    kind: type[SatelliteError], args: tuple[Any, ...], fields: dict[str, Any]
) -> SatelliteError:
    error = kind(*args)
    error.__dict__.update(fields)
    return error
