"""Containers on rented GPUs: the client of Basilica.

    with BasilicaClient() as client:  # BASILICA_API_URL, BASILICA_API_TOKEN
        executors = client.list_executors(gpu_type="H100")
        config = DeploymentConfig(executors[0].id, "nginx:latest", ssh_key)
        deployment = client.deploy(config)
        for line in client.stream_logs(deployment.id):
            print(line.timestamp, line.message)
        client.stop(deployment.id)

`AsyncBasilicaClient` has the same methods, to be awaited.
"""

from satellite_sdk.basilica.aio import AsyncBasilicaClient
from satellite_sdk.basilica.sync import BasilicaClient
from satellite_sdk.basilica.types import (
    Deployment,
    DeploymentConfig,
    DeploymentStatus,
    Executor,
    LogLine,
    SshAccess,
)

__all__ = [
    "AsyncBasilicaClient",
    "BasilicaClient",
    "Deployment",
    "DeploymentConfig",
    "DeploymentStatus",
    "Executor",
    "LogLine",
    "SshAccess",
]
