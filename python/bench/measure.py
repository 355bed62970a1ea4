"""Measures; `run` installs what is needed."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from luml_satellite_sdk.testing import MockPlatform, mock_task
from satellite_sdk.testing import MockBasilica

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def polls(mock):
    return sum("/tasks?" in request["path"] for request in mock.requests())


def started(script, env, *args):
    # As installed: with its bytecode.
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *args],
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(condition, limit=120):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.0005)


def worker(script):
    env = {"LUML_HEALTH_ENABLED": "false"}
    starts = []
    for _ in range(6):
        mock = MockPlatform()
        mine = {"LUML_PLATFORM_URL": mock.url, "LUML_SATELLITE_TOKEN": mock.token}
        began = time.monotonic()
        process = started(script, {**env, **mine})
        until(lambda mock=mock: mock.connections() and mock.requests())
        starts.append(time.monotonic() - began)
        process.kill()
        process.wait()
    bare = []
    for _ in range(6):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.monotonic() - began)
    mock = MockPlatform()
    env |= {"LUML_PLATFORM_URL": mock.url, "LUML_SATELLITE_TOKEN": mock.token}
    process = started(script, {**env, "LUML_POLL_INTERVAL_SEC": "0.02"})
    until(lambda: polls(mock) > 20)
    before, count = cpu(process.pid), polls(mock)
    time.sleep(20)
    used, count = cpu(process.pid) - before, polls(mock) - count
    size = resident(process.pid)
    process.kill()
    process.wait()
    # All tasks are there before the worker starts; timed from the first to the last result.
    tasks, mock = 2000, MockPlatform()
    env |= {"LUML_PLATFORM_URL": mock.url, "LUML_SATELLITE_TOKEN": mock.token}
    for n in range(tasks):
        mock.add_task(mock_task(f"t-{n}", "work", {}))
    process = started(script, env)
    until(lambda: mock.status("t-0") == "done")
    began = time.monotonic()
    until(lambda: mock.status(f"t-{tasks - 1}") == "done", 300)
    took = time.monotonic() - began
    process.kill()
    process.wait()
    return {
        "start to first poll, ms": statistics.median(starts[1:]) * 1000,
        "import to first poll, ms": (statistics.median(starts[1:]) - statistics.median(bare[1:]))
        * 1000,
        "resident, MB": size,
        "CPU per idle poll, us": used / count * 1e6,
        "tasks per second": tasks / took,
    }


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def processor(package):
    readiness = []
    for _ in range(4):
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            env = {
                "DORY_HEALTH_PORT": str(port),
                "DORY_STATE_BACKEND": "local",
                "DORY_STATE_DIR": folder,
                "DORY_PROCESSOR_ID": f"bench-{port}",
                "DORY_POD_NAME": f"bench-{port}",
            }
            began = time.monotonic()
            process = started("processor.py", env, package)

            def ready(port=port):
                try:
                    url = f"http://127.0.0.1:{port}/ready"
                    with urllib.request.urlopen(url, timeout=5) as reply:
                        return reply.status == 200
                except OSError:
                    return False

            until(ready)
            readiness.append(time.monotonic() - began)
            size = resident(process.pid)
            process.kill()
            process.wait()
    return {"start to ready, ms": statistics.median(readiness[1:]) * 1000, "resident, MB": size}


def basilica(code, mock):
    """Runs a program that prints the seconds of its import and of its call."""
    results = []
    for _ in range(6):
        text = f"""
import json, time
began = time.perf_counter()
{code[0]}
imported = time.perf_counter()
{code[1]}
took = []
for _ in range(20):
    at = time.perf_counter()
    {code[2]}
    took.append(time.perf_counter() - at)
took.sort()
size = int(open("/proc/self/statm").read().split()[1]) * {PAGE} / 1e6
print(json.dumps([imported - began, took[10], size]))
"""
        env = {**os.environ, "BASILICA_API_URL": mock.url, "BASILICA_API_TOKEN": mock.key}
        done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        results.append(json.loads(done.stdout))
    imports, calls, sizes = zip(*results[1:], strict=True)
    return {
        "import, ms": statistics.median(imports) * 1000,
        "list call, ms": statistics.median(calls) * 1000,
        "resident, MB": statistics.median(sizes),
    }


def table(title, ours, theirs, name):
    print(f"\n{title}\n{'':28}{'ours':>12}{name:>14}{'ratio':>10}")
    for row, value in ours.items():
        other = theirs[row]
        print(f"{row:28}{value:12.1f}{other:14.1f}{value / other:10.3f}")


def main():
    table("The worker", worker("our_worker.py"), worker("httpx_worker.py"), "httpx")
    table("The processor", processor("satellite_sdk"), processor("dory"), "dory-sdk")
    ours, theirs = MockBasilica("rentals"), MockBasilica("deployments")
    table(
        "The Basilica client",
        basilica(
            (
                "from satellite_sdk.basilica import BasilicaClient",
                "client = BasilicaClient(allow_plain_http=True)",
                "client.list_executors()",
            ),
            ours,
        ),
        basilica(
            (
                "from basilica import BasilicaClient",
                f"client = BasilicaClient(base_url={theirs.url!r}, api_key={theirs.key!r})",
                "client.list_nodes()",
            ),
            theirs,
        ),
        "basilica-sdk",
    )


if __name__ == "__main__":
    main()
