"""The worker on httpx and asyncio, as the Python reference's controller does it:
polls, marks a task running, runs it, marks it done.

httpx_worker.py PLATFORM SECONDS per-poll|per-process

`per-poll` creates a new AsyncClient for each poll and its tasks, as the reference does;
`per-process` keeps one.
"""

import asyncio
import contextlib
import sys

import httpx

HEADERS = {"Authorization": "Bearer bench"}


def new_client(platform: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=platform, headers=HEADERS, timeout=30)


async def mark(client: httpx.AsyncClient, task: str, body: dict) -> None:
    answer = await client.post(f"/satellites/v1/tasks/{task}/status", json=body)
    answer.raise_for_status()


async def poll_once(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/satellites/v1/tasks", params={"status": "pending"})
    tasks = answer.raise_for_status().json()
    for task in tasks:
        await mark(client, task["id"], {"status": "running"})
        if task["type"] == "echo":
            report = {"status": "done", "result": task["payload"]}
        else:
            report = {"status": "failed", "result": {"reason": "unknown task type"}}
        await mark(client, task["id"], report)
    return bool(tasks)


async def main(platform: str, interval: float, clients: str) -> None:
    kept = new_client(platform) if clients == "per-process" else None
    while True:
        worked = False
        try:
            async with contextlib.nullcontext(kept) if kept else new_client(platform) as client:
                worked = await poll_once(client)
        except httpx.HTTPError as error:
            print(error, file=sys.stderr)
        if not worked:
            await asyncio.sleep(interval)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
