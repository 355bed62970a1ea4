#!/usr/bin/env python3
"""Makes the artifacts of the tests, and what the format's own package answers for them.

    pip install fnnx onnx onnxruntime numpy
    tests/models/make.py

Each model is NAME.fnnx; NAME.json lists requests with the outputs of fnnx and onnxruntime.
The same versions write the same bytes.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from fnnx.dtypes import encode_nonfinite_floats
from fnnx.runtime import Runtime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
RANDOM = np.random.default_rng(7)

DTYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


def weights(name, *shape):
    values = RANDOM.normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def onnx(nodes, inputs, outputs, initializers=(), opsets=(("", 17),)):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def spec(dtype, shape):
    return {"dtype": f"Array[{dtype}]", "shape": list(shape)}


def io_entry(name, dtype, shape):
    return {"name": name, "content_type": "NDJSON", "tags": None, **spec(dtype, shape)}


def op(name, inputs, outputs, domain="ai.onnx", version=17, dynamic=None, external=False):
    return {
        "id": name,
        "op": "ONNX_v1",
        "inputs": inputs,
        "outputs": outputs,
        "attributes": {
            "opsets": [{"domain": domain, "version": version}],
            "has_external_data": external,
            "onnx_ir_version": 8,
        },
        "dynamic_attributes": dynamic or {},
    }


def node(name, inputs, outputs, extra=None):
    return {"op_instance_id": name, "inputs": inputs, "outputs": outputs, "extra_dynattrs": extra or {}}


def manifest(name, inputs, outputs, variant="pipeline", attributes=()):
    return {
        "variant": variant,
        "name": name,
        "version": "1",
        "description": f"The model {name} of the tests.",
        "producer_name": "tests/models/make.py",
        "producer_version": "1",
        "producer_tags": ["test::v1"],
        "inputs": inputs,
        "outputs": outputs,
        "dynamic_attributes": list(attributes),
        "env_vars": [],
    }


def save(name, manifest, ops, variant, models, more=None):
    files = {
        "manifest.json": manifest,
        "ops.json": ops,
        "variant_config.json": variant,
        "dtypes.json": {},
        "env.json": {},
        "meta.json": [],
        **(more or {}),
    }
    for operator, model in models.items():
        files[f"ops_artifacts/{operator}/model.onnx"] = model.SerializeToString()
    with tarfile.open(HERE / f"{name}.fnnx", "w") as tar:
        for path, content in files.items():
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def answers(name, *requests):
    runtime = Runtime(str(HERE / f"{name}.fnnx"))
    cases = []
    for inputs in requests:
        outputs = runtime.compute(inputs, {})
        outputs = {key: encode_nonfinite_floats(array.tolist()) for key, array in outputs.items()}
        cases.append({"inputs": inputs, "outputs": outputs})
    (HERE / f"{name}.json").write_text(json.dumps(cases) + "\n")


def single(name, model, inputs, outputs, **more):
    """An artifact of one operator."""
    operator = name.replace("-", "_")
    ops = [op(operator, [spec(d, s) for _, d, s in inputs], [spec(d, s) for _, d, s in outputs])]
    entries = [[io_entry(*entry) for entry in side] for side in (inputs, outputs)]
    nodes = {"nodes": [node(operator, [i[0] for i in inputs], [o[0] for o in outputs])]}
    save(name, manifest(name, *entries), ops, nodes, {operator: model}, **more)


def classifier():
    """A small network: the label and the probabilities of three classes."""
    model = onnx(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["z"]),
            helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0),
        ],
        [value("x", "float32", ["batch", 4])],
        [value("label", "int64", ["batch"]), value("probabilities", "float32", ["batch", 3])],
        [weights("w1", 4, 8), weights("b1", 8), weights("w2", 8, 3), weights("b2", 3)],
    )
    inputs = [("x", "float32", ["batch", 4])]
    outputs = [("label", "int64", ["batch"]), ("probabilities", "float32", ["batch", 3])]
    profile = {"features": {"x": {"mean": 0.0, "std": 1.0}}}
    single("classifier", model, inputs, outputs, more={"reference_profile.json": profile})
    rows = RANDOM.normal(size=(5, 4)).astype(np.float32).tolist()
    answers("classifier", {"x": rows[:1]}, {"x": rows})


def every_dtype():
    """One input and one output of each element type."""
    shapes = {dtype: ["rows", 2] for dtype in DTYPES}
    model = onnx(
        [helper.make_node("Identity", [f"{d}_in"], [f"{d}_out"]) for d in DTYPES],
        [value(f"{d}_in", d, s) for d, s in shapes.items()],
        [value(f"{d}_out", d, s) for d, s in shapes.items()],
    )
    inputs = [(f"{d}_in", d, s) for d, s in shapes.items()]
    outputs = [(f"{d}_out", d, s) for d, s in shapes.items()]
    single("dtypes", model, inputs, outputs)
    request = {}
    for dtype in DTYPES:
        if dtype == "bool":
            row = [[True, False]]
        elif dtype == "string":
            row = [["a", "größer \"x\""]]
        elif dtype.startswith("float"):
            row = [[0.1, "NaN"], ["Infinity", "-Infinity"], [-1.5, 2]]
        else:
            info = np.iinfo(dtype)
            # numpy has no common type for larger numbers of 64 bits without a sign.
            row = [[int(info.min), min(int(info.max), 2**63 - 1)], [0, 7]]
        request[f"{dtype}_in"] = row
    # fnnx decodes the marks of float32 and float64 only.
    request["float16_in"] = [[0.1, -2.5]]
    # Each symbol is one size in a request.
    for name, rows in request.items():
        request[name] = (rows * 3)[:3]
    answers("dtypes", request)


def two_steps():
    """Two operators, one of them used twice; a manifest with patches; dynamic attributes."""
    scale = onnx(
        [helper.make_node("Sub", ["v", "mean"], ["c"]), helper.make_node("Div", ["c", "std"], ["y"])],
        [value("v", "float64", [None, 2])],
        [value("y", "float64", [None, 2])],
        [
            numpy_helper.from_array(np.array([1.0, 2.0]), "mean"),
            numpy_helper.from_array(np.array([0.5, 4.0]), "std"),
        ],
    )
    add = onnx(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [value("a", "float64", ["n", 2]), value("b", "float64", ["n", 2])],
        [value("sum", "float64", ["n", 2])],
    )
    pair = spec("float64", ["n", 2])
    ops = [
        op("scale", [pair], [pair], dynamic={"mode": {"name": "mode", "default_value": "fast"}}),
        op("add", [pair, pair], [pair]),
    ]
    nodes = [
        node("scale", ["left"], ["scaled"], {"mode": "exact"}),
        node("scale", ["scaled"], ["again"]),
        node("add", ["again", "right"], ["total"]),
    ]
    inputs = [io_entry("left", "float64", ["n", 2]), io_entry("right", "float64", ["n", 2])]
    outputs = [io_entry("total", "float64", ["n", 2]), io_entry("scaled", "float64", ["n", 2])]
    attributes = [{"name": "mode", "description": "How exactly.", "tags": None}]
    patches = {
        "manifest-b.patch.json": [{"op": "replace", "path": "/name", "value": "patched last"}],
        "manifest-a.patch.json": [
            {"op": "replace", "path": "/name", "value": "patched first"},
            {"op": "add", "path": "/producer_tags/-", "value": "test::patched"},
        ],
        "meta-b.json": [
            {"id": "m", "producer": "tests", "producer_version": "1", "producer_tags": [], "payload": {}}
        ],
        "meta-broken.json": b"{",
    }
    save(
        "two-steps",
        manifest("two-steps", inputs, outputs, attributes=attributes),
        ops,
        {"nodes": nodes},
        {"scale": scale, "add": add},
        patches,
    )
    answers("two-steps", {"left": [[1, 2], [3.5, -4]], "right": [[10, 20], [30, 40]]})


def convolution():
    """Images of any size and number."""
    model = onnx(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        [value("x", "float32", ["batch", 3, "height", "width"])],
        [value("y", "float32", ["batch", 5])],
        [weights("w", 5, 3, 3, 3), weights("b", 5)],
    )
    single(
        "convolution",
        model,
        [("x", "float32", ["batch", 3, "height", "width"])],
        [("y", "float32", ["batch", 5])],
    )
    images = [RANDOM.normal(size=size).round(3).tolist() for size in ((1, 3, 4, 6), (2, 3, 5, 5))]
    answers("convolution", *({"x": image} for image in images))


def external():
    """The weights in a file of their own."""
    model = onnx(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", "float32", ["batch", 3])],
        [value("y", "float32", ["batch", 2])],
        [weights("w", 3, 2)],
    )
    tensor = model.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", "weights.bin"), ("offset", "8"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=text)
    single(
        "external",
        model,
        [("x", "float32", ["batch", 3])],
        [("y", "float32", ["batch", 2])],
        more={"ops_artifacts/external/weights.bin": b"\0" * 8 + raw},
    )
    answers("external", {"x": [[1, 2, 3], [-1, 0.5, 0]]})


def refused():
    """Artifacts that must not be served."""
    shape = [("x", "float32", ["n"])], [("y", "float32", ["n"])]
    infos = [value("x", "float32", ["n"])], [value("y", "float32", ["n"])]
    plain = lambda kind, **more: helper.make_node(kind, ["x"], ["y"], name="the-node", **more)
    single("unknown-operator", onnx([plain("Frobnicate")], *infos), *shape)
    custom = onnx([plain("Gelu", domain="com.microsoft")], *infos, opsets=(("", 17), ("com.microsoft", 1)))
    single("unknown-domain", custom, *shape)
    single("future-opset", onnx([plain("Identity")], *infos, opsets=(("", 99),)), *shape)
    branch = lambda name: helper.make_graph([helper.make_node("Frobnicate", ["x"], [name])], name, [], [value(name, "float32", ["n"])])
    choice = onnx(
        [
            helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
            helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
            helper.make_node("If", ["c"], ["y"], then_branch=branch("t"), else_branch=branch("e")),
        ],
        *infos,
    )
    single("unknown-in-branch", choice, *shape)
    single("wrong-dtype", onnx([plain("Identity")], *infos), [("x", "float64", ["n"])], [("y", "float64", ["n"])])
    environment = {"python3::conda_pip": {"python_version": "3.12.3", "build_dependencies": [], "dependencies": [{"package": "scikit-learn==1.5.0"}]}}
    save(
        "pyfunc",
        manifest("pyfunc", *([io_entry(*e) for e in side] for side in shape), variant="pyfunc"),
        [],
        {"pyfunc_classname": "Model", "extra_values": None},
        {},
        {"env.json": environment, "variant_artifacts/__pyfunc__.py": b"class Model: ...\n"},
    )


classifier()
every_dtype()
two_steps()
convolution()
external()
refused()
