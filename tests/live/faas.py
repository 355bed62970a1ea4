"""The calls that the gateway's Python SDK makes, by the HTTP library that it uses."""

import asyncio
import sys

import aiohttp

base = sys.argv[1]


async def main():
    async with aiohttp.ClientSession() as session:

        async def post(path, body):
            async with session.post(base + path, json=body) as answer:
                text = await answer.text()
                assert answer.status == 200, (path, answer.status, text)
                return await answer.json() if text else None

        async def execute(command, **more):
            body = {
                "command": command,
                "image": "alpine:latest",
                "runtime": "auto",
                "timeout_ms": 30000,
                "cache_key": "key",
            }
            return await post("/api/v1/execute", body | more)

        result = await execute("echo $A", env_vars=[["A", "hello"]])
        assert result["output"] == result["stdout"] == "hello\n", result
        assert result["exit_code"] == 0 and result["error"] is None
        fork = {"mode": "branched", "branch_from": result["request_id"]}
        assert (await execute("echo forked", **fork))["output"] == "forked\n"
        many = await asyncio.gather(*(execute(f"echo {n}") for n in range(10)))
        assert [one["output"] for one in many] == [f"{n}\n" for n in range(10)]

        body = {"container_id": "c-1", "name": "base", "description": None}
        assert (await post("/api/v1/snapshots", body))["name"] == "base"
        body = {"image": "alpine:latest", "count": 2, "runtime": "auto"}
        await post("/api/v1/prewarm", body)
        stream = f"{base}/api/v1/logs/{result['request_id']}/stream"
        async with session.get(stream) as answer:
            assert [line async for line in answer.content] == []
        async with session.get(base + "/api/v1/metrics") as answer:
            assert (await answer.json())["total_requests"] == 12
        async with session.get(base + "/health") as answer:
            assert (await answer.json())["status"] == "healthy"


asyncio.run(main())
