"""satellite-sdk: workers, processors and compute clients, on a core in Rust.

| module | contents |
|---|---|
| `luml_satellite_sdk` | workers of the LUML platform |
| `satellite_sdk.faas`, `.basilica`, `.skypilot` | clients of compute services, sync and async |
| `satellite_sdk.dory` | processors whose state survives restarts |
| `satellite_sdk.errors` | the exceptions of all of them |
| `satellite_sdk.testing` | mock servers, for tests |
"""

import os

from satellite_sdk._native import VERSION as __version__
from satellite_sdk._native import after_fork
from satellite_sdk.errors import SatelliteError

__all__ = ["SatelliteError", "__version__"]

os.register_at_fork(after_in_child=after_fork)
