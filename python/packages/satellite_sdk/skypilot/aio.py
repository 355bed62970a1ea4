"""The async client of SkyPilot."""

from __future__ import annotations

from satellite_sdk._calls import AsyncClient, AsyncLogStream
from satellite_sdk.skypilot.types import (
    Cluster,
    Estimate,
    ExecuteResult,
    Health,
    Job,
    Request,
    RequestStatus,
    given,
    line,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from satellite_sdk.skypilot.types import Credentials


class AsyncSkyPilotClient(AsyncClient):
    """Launches clusters and runs jobs on them. Tasks are given as YAML text."""

    def __init__(
        self, base_url: str | None = None, token: str | None = None, **options: Any
    ) -> None:
        """Without arguments the settings come from `SKYPILOT_API_SERVER_URL`,
        `SKYPILOT_SERVICE_ACCOUNT_TOKEN` and others.

        `options`: `user` (id and name), `timeout`, `connect_timeout`, `idle_timeout`,
        `work_timeout`, `max_retries`, `retry_delay`, `max_retry_delay`, `ca_file`,
        `allow_plain_http`; times in seconds.
        """
        super().__init__("skypilot", {"url": base_url, "token": token, **options})

    async def health(self) -> Health:
        """Raises `UnsupportedError` if the server is too old."""
        return Health._of(await self._call("health", {}))

    # Clusters

    async def launch(
        self,
        cluster_name: str,
        task_yaml: str,
        *,
        retry_until_up: bool = False,
        idle_minutes_to_stop: int | None = None,
        down: bool = False,
        dry_run: bool = False,
        no_setup: bool = False,
        fast: bool = False,
        envs: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
    ) -> Request:
        """Starts to launch a cluster. Never submitted twice, even if the response is lost."""
        arguments = given(
            credentials,
            envs,
            cluster_name=cluster_name,
            task=task_yaml,
            retry_until_up=retry_until_up,
            idle_minutes_to_stop=idle_minutes_to_stop,
            down=down,
            dry_run=dry_run,
            no_setup=no_setup,
            fast=fast,
        )
        return Request._of(await self._call("launch", arguments))

    async def wait_for_request(self, request_id: str) -> RequestStatus:
        """Waits until a request has succeeded. Raises its error if it failed, and
        `RequestTimeoutError` after `work_timeout`: then it still runs.
        """
        fields = await self._call("wait", {"request_id": request_id})
        return RequestStatus._of(fields)

    async def get_request(self, request_id: str) -> RequestStatus:
        """How a request is."""
        return RequestStatus._of(await self._call("request", {"request_id": request_id}))

    async def list_requests(self, cluster_name: str) -> list[RequestStatus]:
        """The requests about a cluster."""
        fields = await self._call("requests", {"cluster_name": cluster_name})
        return RequestStatus._list(fields)

    async def cancel_request(self, request_id: str) -> list[str]:
        """Ends a request. Returns the ids of what was ended."""
        ended: list[str] = await self._call("cancel_request", {"request_id": request_id})
        return ended

    def stream_request(self, request_id: str, follow: bool = True) -> AsyncLogStream[str]:
        """What the server prints while it works on a request."""
        arguments = {"request_id": request_id, "follow": follow}
        return AsyncLogStream(lambda: self._call("request_log", arguments), line)

    async def get_status(
        self, cluster_name: str, credentials: Credentials | None = None
    ) -> Cluster:
        """Raises `NotFoundError` if there is no such cluster."""
        arguments = given(credentials, cluster_name=cluster_name)
        return Cluster._of(await self._call("status", arguments))

    async def list_clusters(
        self,
        cluster_names: Sequence[str] = (),
        *,
        refresh: str = "none",
        all_users: bool = False,
    ) -> list[Cluster]:
        """The clusters. `refresh`: `none`, `auto` or `force` asks the clouds."""
        arguments = given(cluster_names=list(cluster_names), refresh=refresh, all_users=all_users)
        return Cluster._list(await self._call("clusters", arguments))

    async def start(
        self,
        cluster_name: str,
        *,
        retry_until_up: bool = False,
        idle_minutes_to_stop: int | None = None,
        down: bool = False,
        credentials: Credentials | None = None,
    ) -> Request:
        """Starts a stopped cluster."""
        arguments = given(
            credentials,
            cluster_name=cluster_name,
            retry_until_up=retry_until_up,
            idle_minutes_to_stop=idle_minutes_to_stop,
            down=down,
        )
        return Request._of(await self._call("start", arguments))

    async def stop(
        self,
        cluster_name: str,
        *,
        graceful: bool = False,
        credentials: Credentials | None = None,
    ) -> Request:
        """Stops a cluster, whose disks stay."""
        arguments = given(credentials, cluster_name=cluster_name, graceful=graceful)
        return Request._of(await self._call("stop", arguments))

    async def terminate(
        self,
        cluster_name: str,
        purge: bool = False,
        *,
        graceful: bool = False,
        credentials: Credentials | None = None,
    ) -> Request:
        """Deletes a cluster. `purge`: forget it even if the cloud refuses."""
        arguments = given(credentials, cluster_name=cluster_name, purge=purge, graceful=graceful)
        return Request._of(await self._call("terminate", arguments))

    async def autostop(
        self, cluster_name: str, idle_minutes: int | None, down: bool = False
    ) -> Request:
        """Stops a cluster when it has been idle for so long; `None`: never."""
        arguments = given(cluster_name=cluster_name, idle_minutes_to_stop=idle_minutes, down=down)
        return Request._of(await self._call("autostop", arguments))

    # Commands and jobs

    async def execute(
        self,
        cluster_name: str,
        command: str,
        *,
        timeout: float | None = None,
        envs: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
    ) -> ExecuteResult:
        """Runs a command and waits for its exit code and its output."""
        arguments = given(
            credentials, envs, cluster_name=cluster_name, command=command, timeout=timeout
        )
        return ExecuteResult._of(await self._call("exec", arguments))

    async def submit_job(self, cluster_name: str, task_yaml: str) -> Request:
        """Submits a job."""
        arguments = given(cluster_name=cluster_name, task=task_yaml)
        return Request._of(await self._call("submit_job", arguments))

    async def queue(self, cluster_name: str, all_users: bool = False) -> list[Job]:
        """The jobs of a cluster."""
        arguments = given(cluster_name=cluster_name, all_users=all_users)
        return Job._list(await self._call("queue", arguments))

    async def job_status(
        self, cluster_name: str, job_ids: Sequence[int] = ()
    ) -> dict[int, str | None]:
        """The status of jobs, by id; without ids, of the last one."""
        arguments = given(cluster_name=cluster_name, job_ids=list(job_ids))
        statuses = await self._call("job_status", arguments)
        return {int(job_id): status for job_id, status in statuses.items()}

    async def cancel_jobs(self, cluster_name: str, job_ids: Sequence[int]) -> Request:
        """Ends jobs. An empty list would end all of them, and is refused: see
        `cancel_all_jobs`.
        """
        if not job_ids:
            raise ValueError("job_ids is empty: name the jobs to cancel")
        arguments = given(cluster_name=cluster_name, job_ids=list(job_ids))
        return Request._of(await self._call("cancel_jobs", arguments))

    async def cancel_all_jobs(self, cluster_name: str) -> Request:
        """Ends all jobs of a cluster."""
        return Request._of(await self._call("cancel_jobs", given(cluster_name=cluster_name)))

    def logs(
        self,
        cluster_name: str,
        *,
        job_id: int | None = None,
        tail: int = 0,
        follow: bool = False,
        raw: bool = False,
        since: str | None = None,
        credentials: Credentials | None = None,
    ) -> AsyncLogStream[str]:
        """The lines of a job's log; without an id, of the last job. `tail`: the last lines only.
        `since` is not supported by the server, and raises `UnsupportedError`.
        """
        arguments = given(
            credentials,
            cluster_name=cluster_name,
            job_id=job_id,
            tail=tail,
            follow=follow,
            raw=raw,
            since=since,
        )
        return AsyncLogStream(lambda: self._call("logs", arguments), line)

    # Prices

    async def estimate_cost(self, task_yaml: str, hours: float = 1.0) -> Estimate:
        """What a task would cost on the machine that the server would choose."""
        arguments = given(task=task_yaml, hours=float(hours))
        return Estimate._of(await self._call("estimate_cost", arguments))

    async def accelerators(
        self,
        name: str | None = None,
        *,
        region: str | None = None,
        count: int | None = None,
        clouds: Sequence[str] = (),
        all_regions: bool = False,
    ) -> dict[str, list[dict[str, Any]]]:
        """The offers of the clouds, by accelerator."""
        arguments = given(
            name=name, region=region, count=count, clouds=list(clouds), all_regions=all_regions
        )
        offers: dict[str, list[dict[str, Any]]] = await self._call("accelerators", arguments)
        return offers

    async def cost_report(self, days: int = 30) -> list[dict[str, Any]]:
        """What clusters have cost."""
        costs: list[dict[str, Any]] = await self._call("cost_report", given(days=days))
        return costs

    async def cost_per_hour(self, cluster_name: str) -> float | None:
        """What a cluster has cost per hour."""
        cost: float | None = await self._call("cost_per_hour", given(cluster_name=cluster_name))
        return cost

    async def check(self, clouds: Sequence[str] = ()) -> dict[str, dict[str, list[str]]]:
        """Which clouds the server can use, after it has tried."""
        enabled: dict[str, dict[str, list[str]]] = await self._call(
            "check", given(clouds=list(clouds))
        )
        return enabled

    async def enabled_clouds(self) -> list[str]:
        """Which clouds the server can use."""
        clouds: list[str] = await self._call("enabled_clouds", {})
        return clouds

    async def validate(self, task_yaml: str) -> None:
        """Raises `InvalidRequestError` if a task is wrong."""
        await self._call("validate", given(task=task_yaml))
