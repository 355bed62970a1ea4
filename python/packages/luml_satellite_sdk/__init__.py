"""Workers of the LUML platform.

    from luml_satellite_sdk import handler, run, PlatformClient

    @handler("deploy")
    def deploy(task_id: str, payload: dict, client: PlatformClient) -> None:
        deployment = client.get_deployment(payload["deployment_id"])

    run()

Settings come from `LUML_*` variables or from `SatelliteSDKSettings`; only
`LUML_SATELLITE_TOKEN` is required.
"""

from satellite_sdk import __version__
from satellite_sdk.errors import SatelliteError

from luml_satellite_sdk.client import PlatformClient, Response
from luml_satellite_sdk.config import SatelliteSDKSettings
from luml_satellite_sdk.failure import Failure
from luml_satellite_sdk.handlers import handler
from luml_satellite_sdk.models import Deployment, Task
from luml_satellite_sdk.sdk import SatelliteSDK, get_client, pair, run, stop

__all__ = [
    "Deployment",
    "Failure",
    "PlatformClient",
    "Response",
    "SatelliteError",
    "SatelliteSDK",
    "SatelliteSDKSettings",
    "Task",
    "__version__",
    "get_client",
    "handler",
    "pair",
    "run",
    "stop",
]
