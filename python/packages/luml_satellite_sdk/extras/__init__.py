"""Helpers for handlers. They need no extra package."""

from luml_satellite_sdk.extras.download import Downloaded, download_file
from luml_satellite_sdk.extras.retry import retry
from luml_satellite_sdk.extras.tempdir import temp_directory

__all__ = ["Downloaded", "download_file", "retry", "temp_directory"]
