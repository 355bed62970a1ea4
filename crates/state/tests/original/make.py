"""Generates the files in this folder with the real dory-sdk, for the import tests.

    python3 -m venv /tmp/dory && /tmp/dory/bin/pip install "dory-sdk[production]==2.1.3"
    /tmp/dory/bin/python tests/original/make.py

- `states.json`: state documents as `StateManager` writes them to its backend
  `pvc`, by name, with the payload that went in
- `saves.json`: documents by processor id and count
- `configmap.json`: what `ConfigMapStore` sends to the API server
- `ids.json`: the processor id that dory-sdk derives from a pod's name
- `places.json`: where its backends `local` and `pvc` put the state of `orders`
- `presets.json`: the scalars of its presets
"""

import asyncio
import json
import os
import pathlib
import tempfile
import types
from unittest import mock

from dory.config.presets import PRESETS
from dory.core.context import ExecutionContext
from dory.migration import configmap
from dory.migration.state_manager import StateManager

HERE = pathlib.Path(__file__).parent

PAYLOADS = {
    "counter": {"count": 41, "by_number": {"7": "seven"}, "seen": [-1, 2]},
    "texts": {"plain": "a/b \\ \"q\" \t\n\r\b\f\x00\x7f", "name": "Zo\u00eb \U0001f980 \u2028"},
    "numbers": {"big": 2**70, "neg": -0.0, "exp": 1e16, "tiny": 5e-324, "third": 1 / 3,
                "round": 1e22, "one": 1.0, "bool": True, "none": None},
    "nested": {"z": {"b": [], "a": {}, "": [[], [{}]]}, "a": [1, [2, [3, {"k": "v"}]]]},
    # dory-sdk itself rejects this one when it reads it back.
    "integer keys": {"by_number": {10: "ten", 9: "nine", 1: "one"}},
    "empty": {},
}

PODS = [
    "my-app-7d9f8b6c5d-x2x4z", "my-db-7d9f8b6c5d-x2x4z", "orders-7d9f8b6c5d-x2x4z",
    "customer-notifications-7d9f8b6c5d-x2x4z", "big-notifications-api-6c5db8f9-tq9wv",
    "app-0", "app-1", "my-app-0", "app", "camera-processor-1", "a--b-c", "notifications-api-v2",
    "x-thisisfartoolongforahash-y",
]


async def saved(state, processor_id="orders"):
    with tempfile.TemporaryDirectory() as folder:
        manager = StateManager("pvc", types.SimpleNamespace(state_pvc_mount=folder))
        await manager.save_state(processor_id, state)
        (path,) = pathlib.Path(folder).iterdir()
        return path.name, path.read_text()


async def sent(state):
    """The object that is posted."""
    store = configmap.ConfigMapStore("default")
    store._initialized, store._api = True, mock.Mock()
    with tempfile.TemporaryDirectory():
        _, text = await saved(state, "my")
    await store.save("my", text)
    body = store._api.create_namespaced_config_map.call_args.kwargs["body"]
    return configmap.client.ApiClient().sanitize_for_serialization(body)


def derived(pod):
    with mock.patch.dict(os.environ, {"DORY_POD_NAME": pod}, clear=True):
        return ExecutionContext.from_environment().processor_id


def places():
    with mock.patch.dict(os.environ, {"TMPDIR": "/var/tmp"}):
        local = StateManager("local")
        found = {}
        for there in (True, False):
            with mock.patch.object(pathlib.Path, "exists", lambda _, there=there: there):
                key = "local, /data there" if there else "local, no /data"
                found[key] = str(local._get_local_path("orders"))
    return found


async def main():
    states = {}
    for name, payload in PAYLOADS.items():
        _, text = await saved(payload)
        states[name] = {"payload": json.loads(json.dumps(payload)), "document": text}
    write("states.json", states)
    write("saves.json", {
        processor_id: {count: (await saved({"count": count}, processor_id))[1]
                       for count in (41, 1000, 2000)}
        for processor_id in ("my", "my-app", "orders", "counting", "unknown")
    })
    write("configmap.json", await sent(PAYLOADS["counter"]))
    write("ids.json", {pod: derived(pod) for pod in PODS})
    file, _ = await saved({})
    write("places.json", places() | {"pvc, in the mount": file})
    scalars = (str, int)
    write("presets.json", {
        name: {key: value for key, value in preset.items() if isinstance(value, scalars)}
        for name, preset in PRESETS.items()
    })


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


asyncio.run(main())
