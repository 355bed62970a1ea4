#!/usr/bin/env python3
"""Compares luml-model-server with onnxruntime, model by model.

Makes FNNX artifacts with the format's own Python package from models of scikit-learn,
LightGBM, XGBoost, PyTorch and the ONNX project's own test cases, serves each with
`luml-model-server run`, and compares the answers with those of the format's Python runtime,
which uses onnxruntime: floats within 1e-4, everything else exactly. Prints a table.

    tests/live/models.py [--server FILE] [--only TEXT] [--write FILE] [--torch]

Installs what it needs into a virtual environment. PyTorch is left out unless --torch is given:
on x86_64 the registry has it only with CUDA, 1.8 GB. Exits with 1 if a model differs.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ["fnnx[core,extras]", "onnx", "onnxruntime", "scikit-learn", "skl2onnx", "lightgbm",
            "xgboost", "onnxmltools", "pandas"]
# The last version whose wheel works with these four libraries of CUDA instead of fifteen.
TORCH = ["torch==1.13.0", "numpy<2", "onnx", "nvidia-cublas-cu11==11.10.3.66",
         "nvidia-cuda-nvrtc-cu11==11.7.99", "nvidia-cuda-runtime-cu11==11.7.99",
         "nvidia-cudnn-cu11==8.5.0.96"]


def environment(folder, packages):
    """The Python of a virtual environment with these packages."""
    python = folder / "bin" / "python"
    marker = folder / ".packages"
    if not marker.exists() or marker.read_text() != "\n".join(packages):
        print(f"installing into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        marker.write_text("\n".join(packages))
    return python


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", type=pathlib.Path, help="the program; built if not given")
    parser.add_argument("--only", default="", help="only models whose names have this text")
    parser.add_argument("--write", type=pathlib.Path, help="writes the table to this file")
    parser.add_argument("--torch", action="store_true", help="also models of PyTorch")
    parser.add_argument("--environments", type=pathlib.Path,
                        default=pathlib.Path(tempfile.gettempdir()) / "luml-models",
                        help="where the virtual environments are")
    return parser.parse_args()


def main():
    options = arguments()
    python = environment(options.environments / "venv", PACKAGES)
    if pathlib.Path(sys.prefix).resolve() != python.parents[1].resolve():
        sys.exit(subprocess.run([python, __file__, *sys.argv[1:]]).returncode)
    server = options.server
    if server is None:
        subprocess.run(["cargo", "build", "-p", "luml-model-server"], cwd=ROOT, check=True)
        server = ROOT / "target" / "debug" / "luml-model-server"

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(options, pathlib.Path(folder)):
            if options.only not in f"{case.source}: {case.name}":
                continue
            result = Result(case)
            try:
                case.model, case.inputs = case.make()
                result.run(server, pathlib.Path(folder))
            except Exception as error:  # a model that cannot be made is a row, too
                result.outcome = f"error: {first_line(error)}"
            rows.append(result)
            print(f"{case.source:<14} {case.name:<44} {result.outcome}", flush=True)
    table = Table(rows)
    print(table.summary())
    if options.write:
        options.write.write_text(table.markdown())
    sys.exit(0 if table.is_good() else 1)


def first_line(error):
    return " ".join(str(error).split())[:400]


class Case:
    """A model as ONNX, with inputs by name, made by a function."""

    def __init__(self, source, name, make, unsupported=None):
        self.source, self.name, self.make = source, name, make
        self.model = self.inputs = None
        # What the server must name when it refuses the model.
        self.unsupported = unsupported


# ---------------------------------------------------------------- artifacts

def artifact(case, path):
    """Writes a pipeline of one operator with the classes of the format's package."""
    import onnx
    from fnnx.extras.builder import File, asjson
    from fnnx.extras.pydantic_models.manifest import NDJSON, Manifest
    from fnnx.extras.pydantic_models.op_instances import OpIO
    from fnnx.extras.pydantic_models.ops.onnx import ONNX_v1, ONNXAttributes, Opset
    from fnnx.extras.pydantic_models.variants.pipeline import PipelineNode, PipelineVariant

    graph = case.model.graph
    initialized = {value.name for value in graph.initializer}
    inputs = [port(value) for value in graph.input if value.name not in initialized]
    outputs = [port(value) for value in graph.output]

    def ports(specs):
        return [NDJSON(name=name, content_type="NDJSON", dtype=dtype, shape=shape)
                for name, dtype, shape in specs]

    manifest = Manifest(
        variant="pipeline", name=case.name, producer_name="tests/live/models.py",
        producer_version="1", producer_tags=[], inputs=ports(inputs), outputs=ports(outputs),
        dynamic_attributes=[], env_vars=[])
    operator = ONNX_v1(
        id="model", op="ONNX_v1", dynamic_attributes={},
        inputs=[OpIO(dtype=dtype, shape=shape) for _, dtype, shape in inputs],
        outputs=[OpIO(dtype=dtype, shape=shape) for _, dtype, shape in outputs],
        attributes=ONNXAttributes(
            opsets=[Opset(domain=o.domain or "ai.onnx", version=o.version)
                    for o in case.model.opset_import],
            has_external_data=False, onnx_ir_version=case.model.ir_version))
    node = PipelineNode(op_instance_id="model", inputs=[i[0] for i in inputs],
                        outputs=[o[0] for o in outputs], extra_dynattrs={})
    file = File(path)
    file.create_file("manifest.json", asjson(manifest))
    file.create_file("ops.json", json.dumps([json.loads(asjson(operator))]))
    file.create_file("variant_config.json", asjson(PipelineVariant(nodes=[node])))
    for name, content in [("dtypes.json", "{}"), ("env.json", "{}"), ("meta.json", "[]")]:
        file.create_file(name, content)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as stored:
        onnx.save(case.model, stored.name)
        file.copy(stored.name, "ops_artifacts/model/model.onnx")
    file.close()
    return {name: dtype for name, dtype, _ in inputs}


def port(value):
    """The name, the type and the shape of an input or output of a graph."""
    from onnx import TensorProto, helper

    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return value.name, "Array[float32]", ["rows", "classes"]
    if kind.elem_type == TensorProto.STRING:
        dtype = "string"
    else:
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    shape = [d.dim_value if d.HasField("dim_value") else (d.dim_param or ("rows" if not at else f"size{at}"))
             for at, d in enumerate(kind.shape.dim)]
    return value.name, f"Array[{dtype}]", shape


# ---------------------------------------------------------------- the comparison

class Result:
    def __init__(self, case):
        self.case, self.outcome, self.worst, self.dtypes = case, "", None, ""

    def run(self, server, folder):
        path = folder / "model.fnnx"
        dtypes = artifact(self.case, str(path))
        self.dtypes = ", ".join(sorted({d[6:-1] for d in dtypes.values()}))
        if self.case.unsupported:
            self.refused(server, path)
            return
        expected = self.expected(path)
        with Server(server, path) as running:
            for inputs, outputs in expected:
                got = running.compute(inputs)
                self.compare(got, outputs)
        self.outcome = self.outcome or "same"

    def expected(self, path):
        """The answers of the Python runtime, for all rows and for one."""
        from fnnx.runtime import Runtime

        runtime = Runtime(str(path))
        batches = [self.case.inputs]
        free = [v.shape[0] for v in self.case.inputs.values() if v.ndim > 1]
        model_inputs = {i.name: i for i in self.case.model.graph.input}
        is_free = all(
            model_inputs[n].type.tensor_type.shape.dim
            and not model_inputs[n].type.tensor_type.shape.dim[0].HasField("dim_value")
            for n in self.case.inputs)
        if free and is_free and len(set(free)) == 1 and len(free) == len(self.case.inputs):
            batches.append({n: v[:1] for n, v in self.case.inputs.items()})
        return [(inputs, runtime.compute(inputs, {})) for inputs in batches]

    def compare(self, got, expected):
        import numpy as np

        for name, want in expected.items():
            have = got[name]
            if isinstance(want, list):  # the maps of ZipMap
                keys = [list(map(str, row)) for row in want]
                if [sorted(row) for row in have] != [sorted(row) for row in keys]:
                    self.outcome = f"differs: keys of {name}"
                    return
                have = [[row[key] for key in order] for row, order in zip(have, keys)]
                want = np.array([list(row.values()) for row in want])
            want = np.asarray(want)
            if want.dtype.kind == "f":
                have = np.array(have, dtype=np.float64)
                want = want.astype(np.float64)
                if have.shape != want.shape and have.size == want.size == 0:
                    continue
                if have.shape != want.shape:
                    self.outcome = f"differs: {name} has the shape {have.shape}, expected {want.shape}"
                    return
                same = (have == want) | (np.isnan(have) & np.isnan(want))
                with np.errstate(invalid="ignore"):
                    error = np.where(same, 0, np.abs(have - want) / np.maximum(1, np.abs(want)))
                worst = float(error.max(initial=0))
                self.worst = max(self.worst or 0.0, worst)
                if not worst <= 1e-4:
                    self.outcome = f"differs: {name} by {worst:.2g}"
            else:
                plain = [str(v) for v in want.reshape(-1)] if want.dtype.kind in "OSU" else want.reshape(-1).tolist()
                flat = np.array(have, dtype=object).reshape(-1).tolist()
                shape = np.array(have, dtype=object).shape
                if flat != plain or (shape != want.shape and want.size):
                    wrong = sum(a != b for a, b in zip(flat, plain))
                    self.outcome = f"differs: {name}, {wrong} of {len(plain)}, shape {shape} {want.shape}"

    def refused(self, server, path):
        done = subprocess.run([server, "run", path, "--port", "0"], capture_output=True, text=True,
                              timeout=120)
        named = self.case.unsupported in done.stderr
        if done.returncode in (69, 70) and named:
            self.outcome = f"refused at the start: {self.case.unsupported}"
        else:
            self.outcome = f"differs: exit code {done.returncode}: {first_line(done.stderr)}"


class Server:
    def __init__(self, program, path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # A file: a full pipe would stop the server.
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [program, "run", path, "--port", str(self.port)], stderr=self.log, text=True)

    def __enter__(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f"server: {self.log.read()}")
            try:
                self.ask("/healthz")
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("the server did not become healthy")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def ask(self, route, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{route}", data=body,
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def compute(self, inputs):
        from fnnx.dtypes import encode_nonfinite_floats

        plain = {name: encode_nonfinite_floats(value.tolist()) for name, value in inputs.items()}
        body = json.dumps({"inputs": plain, "dynamic_attributes": {}}).encode()
        try:
            answer = self.ask("/compute", body)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code}: {error.read().decode()}") from None
        return {name: numbers(value) for name, value in answer.items()}


def numbers(value):
    """The numbers that JSON lacks, back from strings."""
    if isinstance(value, list):
        return [numbers(v) for v in value]
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.get(
        value, value) if isinstance(value, str) else value


class Table:
    def __init__(self, rows):
        self.rows = rows

    def is_good(self):
        return all(r.outcome.startswith(("same", "refused")) for r in self.rows)

    def summary(self):
        good = sum(r.outcome.startswith("same") for r in self.rows)
        refused = sum(r.outcome.startswith("refused") for r in self.rows)
        bad = len(self.rows) - good - refused
        return f"{len(self.rows)} models: {good} same, {refused} refused at the start, {bad} other"

    def markdown(self):
        import importlib.metadata as metadata

        names = ["fnnx", "onnxruntime", "onnx", "scikit-learn", "skl2onnx", "lightgbm", "xgboost"]
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
        lines = [
            "# Models that were compared", "",
            "`tests/live/models.py` writes this page. It makes an artifact of each model, serves it",
            "with `luml-model-server run`, and compares the answers with those of the format's",
            "Python runtime on onnxruntime: floats within 1e-4 (relative above 1), labels and other",
            "values exactly; each with several rows and, where the batch is free, with one.", "",
            f"Versions: {versions}.", "",
            f"{self.summary()}.", "",
            "| From | Model | Input types | Opsets | Result | Largest difference |",
            "|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            imports = row.case.model.opset_import if row.case.model else []
            opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in imports)
            worst = "" if row.worst is None else f"{row.worst:.1g}"
            lines.append(f"| {row.case.source} | {row.case.name} | {row.dtypes} | {opsets} "
                         f"| {row.outcome.replace('|', '/')} | {worst} |")
        return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- the models

def cases(options, folder):
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import model_zoo

    yield from model_zoo.scikit_learn()
    yield from model_zoo.boosted()
    if options.torch:
        python = environment(options.environments / "torch", TORCH)
        yield from model_zoo.torch(python, folder)
    yield from model_zoo.onnx_project()
    yield from model_zoo.refused()


if __name__ == "__main__":
    main()
