"""A model server on the reference's path: fnnx's Python runtime with onnxruntime, behind uvicorn.

fnnx_server.py MODEL PORT

No more than the contract asks for: /healthz, and /compute from JSON to JSON.
"""

import sys

import uvicorn
from fnnx.dtypes import encode_nonfinite_floats
from fnnx.runtime import Runtime
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

runtime = Runtime(sys.argv[1])


async def healthz(_):
    return JSONResponse({"status": "healthy"})


async def compute(request):
    body = await request.json()
    try:
        outputs = runtime.compute(body["inputs"], body.get("dynamic_attributes", {}))
    except (KeyError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({name: plain(value) for name, value in outputs.items()})


def plain(value):
    return encode_nonfinite_floats(value.tolist() if hasattr(value, "tolist") else value)


app = Starlette(routes=[
    Route("/healthz", healthz),
    Route("/compute", compute, methods=["POST"]),
])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
