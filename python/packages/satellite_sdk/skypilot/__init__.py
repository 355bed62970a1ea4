"""Clusters on any cloud: the client of a SkyPilot API server.

    with SkyPilotClient() as sky:  # SKYPILOT_API_SERVER_URL
        launch = sky.launch("llama3-8b-prod", task_yaml, idle_minutes_to_stop=30)
        sky.wait_for_request(launch.request_id)
        print(sky.execute("llama3-8b-prod", "nvidia-smi").stdout)
        sky.terminate("llama3-8b-prod")

`AsyncSkyPilotClient` has the same methods, to be awaited.
"""

from satellite_sdk.skypilot.aio import AsyncSkyPilotClient
from satellite_sdk.skypilot.sync import SkyPilotClient
from satellite_sdk.skypilot.types import (
    AWSCredentials,
    AzureCredentials,
    Cluster,
    Estimate,
    ExecuteResult,
    GCPCredentials,
    Health,
    Job,
    Request,
    RequestStatus,
)

__all__ = [
    "AWSCredentials",
    "AsyncSkyPilotClient",
    "AzureCredentials",
    "Cluster",
    "Estimate",
    "ExecuteResult",
    "GCPCredentials",
    "Health",
    "Job",
    "Request",
    "RequestStatus",
    "SkyPilotClient",
]
