"""The worker of the specification, on httpx and Pydantic, as its design says."""

import logging
import os
import time

import httpx
from pydantic import BaseModel
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    model_config = {"env_prefix": "LUML_"}
    satellite_token: str
    platform_url: str = "https://api.luml.ai"
    poll_interval_sec: float = 2


class Task(BaseModel):
    id: str
    type: str
    payload: dict
    status: str


logging.basicConfig(level=logging.WARNING)
settings = Settings()
client = httpx.Client(
    base_url=settings.platform_url + "/satellites/v1",
    headers={"Authorization": f"Bearer {settings.satellite_token}"},
)


def report(task_id, status):
    client.post(f"/tasks/{task_id}/status", json={"status": status}).raise_for_status()


def main():
    while True:
        response = client.get("/tasks", params={"status": "pending"})
        response.raise_for_status()
        tasks = [Task.model_validate(task) for task in response.json()]
        for task in tasks:
            report(task.id, "running")
            report(task.id, "done")
        if not tasks:
            time.sleep(settings.poll_interval_sec)


if __name__ == "__main__" and os.environ.get("LUML_SATELLITE_TOKEN"):
    main()
