#!/usr/bin/env python3
"""Makes classifier.fnnx: the classifier of the model server's tests with a reference profile.

    pip install numpy pandas scikit-learn onnxruntime
    pip download --no-deps --python-version 3.13 --only-binary=:all: luml-sdk
    PYTHONPATH=luml_sdk-VERSION.whl satellite/src/demo/make.py

The profile is built by LUML's own SDK from predictions for normally distributed inputs.
"""

import importlib.util
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent / "model-server/tests/models/classifier.fnnx"
FEATURES = ["age", "income", "tenure", "usage"]


def sdk():
    """Only this module: the SDK as a whole needs a later Python and many packages."""
    wheel = next(path for path in sys.path if path.endswith(".whl"))
    source = zipfile.ZipFile(wheel).read("luml/utils/reference_profile.py")
    spec = importlib.util.spec_from_loader("reference_profile", loader=None)
    module = importlib.util.module_from_spec(spec)
    exec(source, module.__dict__)
    return module


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value


def main():
    with tarfile.open(SOURCE) as archive:
        members = [(m, archive.extractfile(m).read()) for m in archive.getmembers() if m.isfile()]
    model = next(data for member, data in members if member.name.endswith(".onnx"))
    session = onnxruntime.InferenceSession(model)
    rows = np.random.default_rng(11).normal(size=(4000, 4)).astype(np.float32)

    def predict(features):
        values = np.asarray(features, dtype=np.float32)
        return session.run(None, {session.get_inputs()[0].name: values})[0]

    profile = sdk().build_reference_profile(
        rows, "classification", predict, feature_names=FEATURES, output_names=["label"]
    )
    del profile["pca_profile"]["reference_projection"], profile["output_summaries"]
    with tarfile.open(HERE / "classifier.fnnx", "w", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in members:
            if member.name == "reference_profile.json":
                data = json.dumps(rounded(profile), separators=(",", ":")).encode()
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


main()
