"""Downloads from presigned URLs."""

from __future__ import annotations

import os

from satellite_sdk import _native
from satellite_sdk._models import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Downloaded(Model):
    """A complete file."""

    path: str
    bytes: int
    #: In hexadecimal digits.
    sha256: str

    def __fspath__(self) -> str:
        return self.path


def download_file(
    url: str,
    path: str | os.PathLike[str],
    *,
    progress: Callable[[int, int | None], object] | None = None,
    sha256: str | None = None,
    attempts: int | None = None,
    max_wait: float | None = None,
    max_bytes: int | None = None,
    mode: int | None = None,
    resume_in: str | os.PathLike[str] | None = None,
) -> Downloaded:
    """Downloads a file; it appears under its name when it is complete.

    Interrupted transfers are resumed. `progress(bytes, total)` is called on another thread, some
    times a second; what it raises ends the download. `resume_in`: a folder for the partial file,
    so that a later call, of another process too, resumes it.
    """
    options = {
        "url": url,
        "path": os.fspath(path),
        "sha256": sha256,
        "attempts": attempts,
        "max_wait": max_wait,
        "max_bytes": max_bytes,
        "mode": mode,
        "resume_in": None if resume_in is None else os.fspath(resume_in),
    }
    size, digits = _native.download(options, progress)
    return Downloaded(path=os.fspath(path), bytes=size, sha256=digits)
