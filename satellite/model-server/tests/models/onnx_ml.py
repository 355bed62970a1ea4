#!/usr/bin/env python3
"""Writes onnx_ml.json: one small graph for each variation of an operator that the model server
adds to tract, with inputs and with the outputs that onnxruntime gives for them.

Run it in an environment that has onnx, onnxruntime and numpy. The tests of `src/onnx_ml`
read the file; they need no Python.
"""

import base64
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

FLOAT, DOUBLE, INT64, INT32, STRING, BOOL = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32,
    TensorProto.STRING, TensorProto.BOOL,
)
NAMES = {
    np.dtype("float32"): "float32", np.dtype("float64"): "float64", np.dtype("int64"): "int64",
    np.dtype("int32"): "int32", np.dtype("bool"): "bool", np.dtype("float16"): "float16",
    np.dtype("int16"): "int16",
}
CASES = []


def onnx_type(array):
    if array.dtype.kind in "OU":
        return STRING
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def plain(array):
    """A JSON value of a tensor; NaN and infinities as strings, as the format writes them."""
    kind = "string" if array.dtype.kind in "OU" else NAMES[array.dtype]

    def one(value):
        if kind == "string":
            return str(value)
        if kind.startswith("float"):
            value = float(value)
            if not np.isfinite(value):
                return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
            return float(f"{value:.9g}") if kind != "float64" else value
        return bool(value) if kind == "bool" else int(value)

    return {"dtype": kind, "shape": list(array.shape), "data": [one(v) for v in array.reshape(-1)]}


def case(name, op, inputs, outputs, *, domain="ai.onnx.ml", opset=3, base=17, first="N",
         **attributes):
    """`inputs`: arrays; the first axis of each is symbolic. `outputs`: onnx types, or None for
    an output whose type is not a tensor."""
    node = helper.make_node(
        op, [f"i{k}" for k in range(len(inputs))], [f"o{k}" for k in range(len(outputs))],
        domain=domain, **attributes)
    firsts = first if isinstance(first, list) else [first] * len(inputs)
    dims = [[f or a.shape[0], *a.shape[1:]] if a.ndim > 1 else list(a.shape)
            for f, a in zip(firsts, inputs)]
    graph_inputs = [
        helper.make_tensor_value_info(f"i{k}", onnx_type(a), d)
        for k, (a, d) in enumerate(zip(inputs, dims))]
    # A shape or a tensor of keys is part of the model: only what varies is an input.
    graph_outputs = [
        onnx.ValueInfoProto(name=f"o{k}") if t is None
        else helper.make_tensor_value_info(f"o{k}", t, None)
        for k, t in enumerate(outputs)]
    imports = [helper.make_opsetid("", base)]
    if domain:
        imports.append(helper.make_opsetid(domain, opset))
    model = helper.make_model(
        helper.make_graph([node], "g", graph_inputs, graph_outputs), opset_imports=imports,
        ir_version=8)
    graph_case(name, model, inputs)


def graph_case(name, model, inputs):
    for value in model.graph.output:
        if not value.HasField("type") and any(n.op_type == "ZipMap" for n in model.graph.node):
            ints = any(a.name == "classlabels_int64s" for n in model.graph.node for a in n.attribute)
            value.type.CopyFrom(helper.make_sequence_type_proto(helper.make_map_type_proto(
                INT64 if ints else STRING, helper.make_tensor_type_proto(FLOAT, []))))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {i.name: a for i, a in zip(session.get_inputs(), inputs)}
    got = session.run(None, feed)
    outputs = []
    for value in got:
        if isinstance(value, list):  # maps: the values in the order of the keys
            outputs.append({"keys": [list(m) for m in value][0],
                            **plain(np.array([list(m.values()) for m in value], np.float32))})
        else:
            outputs.append(plain(np.asarray(value)))
    # The graph's declared output shapes are none, which the checker of onnxruntime accepts.
    CASES.append({
        "name": name,
        "model": base64.b64encode(model.SerializeToString()).decode(),
        "inputs": [plain(a) for a in inputs],
        "outputs": outputs,
    })


RNG = np.random.default_rng(7)
ROWS = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [-2.0, 3.0, 0.0], [0.0, 0.0, 1.0],
                 [1.0, 2.0, 3.0]], np.float32)
TYPES = [("f32", np.float32), ("f64", np.float64), ("i64", np.int64), ("i32", np.int32)]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def trees(modes, weights, missing=None):
    """Three trees of depth two; `weights[tree][leaf]` is a list of (class id, weight)."""
    keys = ["nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
            "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true"]
    table = {k: [] for k in keys}
    leaves = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    splits = [((0, 0.5), (1, 0.0), (2, 1.0)), ((1, 0.25), (2, 0.0), (0, 1.0)),
              ((2, 0.0), (0, 0.0), (1, 2.0))]
    for tree, (root, left, right) in enumerate(splits):
        rows = [(0, *root, 1, 2), (1, *left, 3, 4), (2, *right, 5, 6)]
        for node, feature, value, yes, no in rows:
            mode = modes[(tree + node) % len(modes)]
            track = 0 if missing is None else missing[(tree + node) % len(missing)]
            for key, item in zip(keys, [tree, node, feature, value, mode, yes, no, track]):
                table[key].append(item)
        for leaf in range(4):
            for key, item in zip(keys, [tree, 3 + leaf, 0, 0.0, "LEAF", 0, 0, 0]):
                table[key].append(item)
            for ident, weight in weights[tree][leaf]:
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(3 + leaf)
                leaves["ids"].append(ident)
                leaves["weights"].append(weight)
    if missing is None:
        del table["nodes_missing_value_tracks_true"]
    return table, leaves


def weights(classes, low, high, every=True):
    return [[[(c, float(np.float32(RNG.uniform(low, high)))) for c in
              (range(classes) if every else [RNG.integers(classes)])]
             for _ in range(4)] for _ in range(3)]


def tree_ensembles():
    leq = ["BRANCH_LEQ"]
    every_mode = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    nan = ROWS.copy()
    nan[0, 0] = nan[1, 1] = nan[2, 2] = np.nan

    def classifier(name, table, leaves, x=ROWS, labels=(10, 20, 30), **more):
        leaf = {f"class_{k}": v for k, v in leaves.items()}
        if isinstance(labels[0], str):
            more["classlabels_strings"] = list(labels)
        else:
            more["classlabels_int64s"] = list(labels)
        case(f"tree_classifier/{name}", "TreeEnsembleClassifier", [x],
             [STRING if isinstance(labels[0], str) else INT64, FLOAT], **table, **leaf, **more)

    def regressor(name, table, leaves, x=ROWS, targets=1, **more):
        leaf = {f"target_{k}": v for k, v in leaves.items()}
        case(f"tree_regressor/{name}", "TreeEnsembleRegressor", [x], [FLOAT],
             n_targets=targets, **table, **leaf, **more)

    three = trees(leq, weights(3, -1, 1))
    for transform in TRANSFORMS:
        w = weights(3, 0.05, 0.3) if transform == "PROBIT" else weights(3, -1, 1)
        classifier(f"three_{transform.lower()}", *trees(leq, w), post_transform=transform)
    for short, kind in TYPES:
        classifier(f"three_{short}", *three, x=ROWS.astype(kind))
    classifier("three_strings", *three, labels=("a", "b", "c"), base_values=[0.5, -0.25, 0.125])
    classifier("three_sparse", *trees(leq, weights(3, -1, 1, every=False)), post_transform="SOFTMAX")
    classifier("three_sparse_base", *trees(leq, weights(3, -1, 1, every=False)),
               base_values=[0.5, -0.25, 0.125])
    classifier("modes", *trees(every_mode, weights(3, -1, 1)), x=np.round(ROWS))
    classifier("missing", *trees(every_mode, weights(3, -1, 1), missing=[1, 0]), x=nan)
    classifier("missing_default", *three, x=nan)
    for transform in TRANSFORMS:
        one_positive = trees(leq, weights(1, 0.01, 0.33))
        one_mixed = trees(leq, weights(1, -1, 1))
        lower = transform.lower()
        # With PROBIT onnxruntime does not write the second score.
        if transform != "PROBIT":
            classifier(f"binary_positive_{lower}", *one_positive, labels=(0, 1),
                       post_transform=transform)
        if transform != "PROBIT":
            classifier(f"binary_mixed_{lower}", *one_mixed, labels=("no", "yes"),
                       post_transform=transform)
            classifier(f"binary_base_{lower}", *one_mixed, labels=(0, 1), base_values=[0.4],
                       post_transform=transform)
            classifier(f"binary_two_bases_{lower}", *one_mixed, labels=(0, 1),
                       base_values=[0.25, 0.4], post_transform=transform)
            classifier(f"two_classes_{lower}", *trees(leq, weights(2, -1, 1)), labels=(0, 1),
                       post_transform=transform)
            classifier(f"two_classes_bases_{lower}", *trees(leq, weights(2, -1, 1)), labels=(0, 1),
                       base_values=[0.25, 0.4], post_transform=transform)
    classifier("two_classes_positive", *trees(leq, weights(2, 0, 0.3)), labels=("no", "yes"))
    for transform in TRANSFORMS[:4]:
        lower = transform.lower()
        classifier(f"two_classes_sparse_{lower}", *trees(leq, weights(2, -1, 1, every=False)),
                   labels=(0, 1), post_transform=transform)
        classifier(f"two_classes_sparse_positive_{lower}",
                   *trees(leq, weights(2, 0, 0.3, every=False)), labels=(0, 1),
                   post_transform=transform)
    one_class = trees(leq, weights(1, -1, 1))
    classifier("one_class", *one_class, labels=(7,))
    classifier("one_class_base", *one_class, labels=(7,), base_values=[-0.9])
    classifier("one_class_logistic", *one_class, labels=(7,), post_transform="LOGISTIC")
    classifier("two_classes_int_labels", *trees(leq, weights(2, -1, 1)), labels=(10, 20))
    classifier("binary_int_labels", *one_class, labels=(10, 20))
    classifier("second_class_only", *trees(
        leq, [[[(1, w) for _, w in leaf] for leaf in tree] for tree in weights(1, -1, 1)]),
        labels=(0, 1), post_transform="LOGISTIC")
    classifier("one_row", *three, x=ROWS[:1])

    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
        lower = aggregate.lower()
        regressor(f"one_{lower}", *trees(leq, weights(1, -1, 1)), aggregate_function=aggregate,
                  base_values=[0.75])
        regressor(f"two_{lower}", *trees(leq, weights(2, -1, 1, every=False)), targets=2,
                  aggregate_function=aggregate, base_values=[0.75, -0.5])
    for transform in TRANSFORMS:
        w = 0.05, 0.3
        regressor(f"one_{transform.lower()}", *trees(leq, weights(1, *w)), post_transform=transform)
        regressor(f"two_{transform.lower()}", *trees(leq, weights(2, *w)), targets=2,
                  post_transform=transform)
    regressor("sparse", *trees(leq, weights(3, -1, 1, every=False)), targets=3)
    regressor("f64", *trees(every_mode, weights(1, -1, 1), missing=[0, 1]),
              x=nan.astype(np.float64))

    # Thresholds and weights of more precision than a float has: only as tensors.
    def tensor(name, kind, values):
        return helper.make_tensor(name, kind, [len(values)], values)

    table, leaves = trees(leq, weights(1, -1, 1))
    near = 0.5 + 1e-12
    values = [near if v == 0.5 else v for v in table.pop("nodes_values")]
    x = ROWS.astype(np.float64)
    x[1, 0] = 0.5 + 2e-12
    x[2, 0] = 0.5
    case("tree_regressor/double_tensors", "TreeEnsembleRegressor", [x], [FLOAT], n_targets=1,
         nodes_values_as_tensor=tensor("v", DOUBLE, values), **table,
         target_treeids=leaves["treeids"], target_nodeids=leaves["nodeids"],
         target_ids=leaves["ids"],
         target_weights_as_tensor=tensor("w", DOUBLE, leaves["weights"]),
         base_values_as_tensor=tensor("b", DOUBLE, [0.1]))

    # Operator set 5: one operator for both, and set membership.
    def ensemble(name, kind, x, modes, **more):
        t = {np.float32: FLOAT, np.float64: DOUBLE}[kind]
        case(f"tree_ensemble/{name}", "TreeEnsemble", [x.astype(kind)], [t], opset=5,
             tree_roots=[0, 3], n_targets=more.pop("n_targets", 2),
             nodes_featureids=[0, 1, 2, 2], nodes_truenodeids=[1, 0, 2, 4],
             nodes_trueleafs=[0, 1, 1, 1], nodes_falsenodeids=[2, 1, 3, 5],
             nodes_falseleafs=[0, 1, 1, 1],
             nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [4], modes),
             nodes_splits=helper.make_tensor("s", t, [4], more.pop("splits", [0.5, 0.0, 1.0, 0.0])),
             leaf_targetids=[0, 1, 0, 1, 0, 1],
             leaf_weights=helper.make_tensor("w", t, [6], [0.5, -1.0, 1.5, 2.0, -0.25, 0.75]),
             **more)

    for aggregate in range(4):
        ensemble(f"aggregate_{aggregate}", np.float32, ROWS, [0] * 4, aggregate_function=aggregate)
    for transform in range(4):
        ensemble(f"transform_{transform}", np.float32, ROWS, [0, 1, 2, 3],
                 post_transform=transform)
    ensemble("f64", np.float64, nan, [0, 1, 2, 3], nodes_missing_value_tracks_true=[1, 0, 1, 1])
    ensemble("equal", np.float32, ROWS, [4, 5, 4, 5])
    ensemble("member", np.float32, np.round(ROWS), [6, 0, 6, 0], splits=[0.0, 0.0, 0.0, 0.0],
             membership_values=helper.make_tensor(
                 "v", FLOAT, [5], [1.0, 2.0, float("nan"), 3.0, float("nan")]))


def linear():
    coefficients = [0.5, -0.25, 1.0, -1.0, 0.75, 0.25, 0.1, 0.2, -0.3]
    for transform in TRANSFORMS:
        # PROBIT is defined for probabilities.
        scale = 0.05 if transform == "PROBIT" else 1.0
        offset = 0.5 if transform == "PROBIT" else 0.1
        lower = transform.lower()
        case(f"linear_regressor/{lower}", "LinearRegressor", [ROWS], [FLOAT], targets=3,
             coefficients=[c * scale for c in coefficients], intercepts=[offset, offset, offset],
             post_transform=transform, opset=1)
        case(f"linear_regressor/one_{lower}", "LinearRegressor", [ROWS], [FLOAT],
             coefficients=[c * scale for c in coefficients[:3]], intercepts=[offset],
             post_transform=transform, opset=1)
        case(f"linear_classifier/three_{lower}", "LinearClassifier", [ROWS], [INT64, FLOAT],
             coefficients=[c * scale for c in coefficients], intercepts=[offset] * 3,
             classlabels_ints=[5, 6, 7], post_transform=transform, multi_class=1, opset=1)
        case(f"linear_classifier/two_{lower}", "LinearClassifier", [ROWS], [STRING, FLOAT],
             coefficients=[c * scale for c in coefficients[:6]], intercepts=[offset] * 2,
             classlabels_strings=["no", "yes"], post_transform=transform, opset=1)
        if transform != "PROBIT":
            case(f"linear_classifier/one_{lower}", "LinearClassifier", [ROWS], [INT64, FLOAT],
                 coefficients=[c * scale for c in coefficients[:3]], intercepts=[offset],
                 classlabels_ints=[3, 4], post_transform=transform, opset=1)
    for short, kind in TYPES[1:]:
        case(f"linear_classifier/{short}", "LinearClassifier", [ROWS.astype(kind)], [INT64, FLOAT],
             coefficients=coefficients, intercepts=[0.1, 0.2, 0.3], classlabels_ints=[0, 1, 2],
             opset=1)
    case("linear_classifier/one_row", "LinearClassifier", [ROWS[:1]], [INT64, FLOAT],
         coefficients=coefficients[:3], intercepts=[0.1], classlabels_ints=[0, 1],
         post_transform="LOGISTIC", opset=1)
    case("linear_regressor/no_intercepts", "LinearRegressor", [ROWS], [FLOAT],
         coefficients=coefficients[:3], opset=1)


def svm():
    def number(n, scale=1.0):
        return [float(np.float32(v)) for v in RNG.uniform(-scale, scale, n)]

    for kernel in ["LINEAR", "POLY", "RBF", "SIGMOID"]:
        params = dict(kernel_type=kernel, kernel_params=[0.5, 0.25, 2.0])
        lower = kernel.lower()
        case(f"svm_regressor/{lower}", "SVMRegressor", [ROWS], [FLOAT], n_supports=4,
             support_vectors=number(12), coefficients=number(4), rho=[0.2], opset=1, **params)
        case(f"svm_classifier/three_{lower}", "SVMClassifier", [ROWS], [INT64, FLOAT],
             support_vectors=number(15), vectors_per_class=[2, 2, 1], coefficients=number(10),
             rho=number(3), classlabels_ints=[4, 5, 6], opset=1, **params)
        case(f"svm_classifier/two_{lower}", "SVMClassifier", [ROWS], [STRING, FLOAT],
             support_vectors=number(12), vectors_per_class=[2, 2], coefficients=number(4),
             rho=[0.1], classlabels_strings=["no", "yes"], opset=1, **params)
        case(f"svm_classifier/three_probabilities_{lower}", "SVMClassifier", [ROWS], [INT64, FLOAT],
             support_vectors=number(15), vectors_per_class=[2, 2, 1], coefficients=number(10),
             rho=number(3), prob_a=[-1.5, -0.75, -1.0], prob_b=[0.1, -0.2, 0.05],
             classlabels_ints=[4, 5, 6], opset=1, **params)
        case(f"svm_classifier/two_probabilities_{lower}", "SVMClassifier", [ROWS], [INT64, FLOAT],
             support_vectors=number(12), vectors_per_class=[2, 2], coefficients=number(4),
             rho=[0.1], prob_a=[-1.5], prob_b=[0.1], classlabels_ints=[0, 1], opset=1, **params)
    for transform in TRANSFORMS[1:]:
        lower = transform.lower()
        if transform != "PROBIT":
            case(f"svm_classifier/three_{lower}", "SVMClassifier", [ROWS], [INT64, FLOAT],
                 support_vectors=number(15), vectors_per_class=[2, 2, 1], coefficients=number(10),
                 rho=number(3), classlabels_ints=[4, 5, 6], opset=1, kernel_type="RBF",
                 kernel_params=[0.5, 0.0, 3.0], post_transform=transform)
            case(f"svm_classifier/two_{lower}", "SVMClassifier", [ROWS], [INT64, FLOAT],
                 support_vectors=number(12), vectors_per_class=[2, 2], coefficients=number(4),
                 rho=[0.1], classlabels_ints=[0, 1], opset=1, kernel_type="RBF",
                 kernel_params=[0.5, 0.0, 3.0], post_transform=transform)
        case(f"svm_regressor/{lower}", "SVMRegressor", [ROWS], [FLOAT], n_supports=4,
             support_vectors=number(12), coefficients=[0.1, 0.05, 0.2, 0.1], rho=[0.3], opset=1,
             kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0], post_transform=transform)
    case("svm_classifier/two_positive", "SVMClassifier", [ROWS], [INT64, FLOAT],
         support_vectors=number(12), vectors_per_class=[2, 2], coefficients=[0.5, 0.25, 0.5, 0.75],
         rho=[-0.5], classlabels_ints=[0, 1], opset=1, kernel_type="RBF",
         kernel_params=[0.5, 0.0, 3.0])
    case("svm_classifier/linear_mode", "SVMClassifier", [ROWS], [INT64, FLOAT],
         coefficients=number(9), rho=[0.1], classlabels_ints=[4, 5, 6], opset=1,
         kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])
    case("svm_classifier/linear_mode_strings", "SVMClassifier", [ROWS], [STRING, FLOAT],
         coefficients=number(9), rho=[0.1], classlabels_strings=["x", "y", "z"], opset=1,
         kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0], post_transform="SOFTMAX")
    case("svm_classifier/linear_mode_two", "SVMClassifier", [ROWS], [INT64, FLOAT],
         coefficients=number(6), rho=[0.1], classlabels_ints=[4, 5], opset=1,
         kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])
    for labels in [dict(classlabels_ints=[4, 5]), dict(classlabels_strings=["no", "yes"])]:
        case(f"svm_classifier/linear_mode_two_positive_{len(labels)}_{list(labels)[0][12:]}",
             "SVMClassifier", [ROWS], [STRING if "classlabels_strings" in labels else INT64, FLOAT],
             coefficients=[0.1, 0.3, 0.2, 0.4, 0.05, 0.1], rho=[0.1], opset=1,
             kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0], **labels)
    case("svm_classifier/four", "SVMClassifier", [ROWS], [INT64, FLOAT],
         support_vectors=number(15), vectors_per_class=[2, 1, 1, 1], coefficients=number(15),
         rho=number(6), classlabels_ints=[4, 5, 6, 7], opset=1, kernel_type="RBF",
         kernel_params=[0.5, 0.0, 3.0])
    case("svm_regressor/linear_mode", "SVMRegressor", [ROWS], [FLOAT], coefficients=number(3),
         rho=[0.1], opset=1, kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])
    case("svm_regressor/one_class", "SVMRegressor", [ROWS], [FLOAT], n_supports=4, one_class=1,
         support_vectors=number(12), coefficients=number(4), rho=[0.05], opset=1,
         kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0])


def preprocessing():
    nan = ROWS.copy()
    nan[0, 0] = nan[3, 2] = np.nan
    words = np.array([["a", "b"], ["c", "a"], ["?", "b"]], object)
    for short, kind in TYPES:
        x = ROWS.astype(kind)
        case(f"scaler/{short}", "Scaler", [x], [FLOAT], offset=[0.5, 1.0, -1.0],
             scale=[2.0, 0.5, 0.25], opset=1)
        for norm in ["MAX", "L1", "L2"]:
            case(f"normalizer/{norm.lower()}_{short}", "Normalizer", [x], [FLOAT], norm=norm,
                 opset=1)
    case("scaler/one_value", "Scaler", [ROWS], [FLOAT], offset=[0.5], scale=[2.0], opset=1)
    case("scaler/vector", "Scaler", [ROWS[0]], [FLOAT], offset=[0.5, 1.0, 2.0],
         scale=[2.0, 1.0, 3.0], opset=1)
    case("normalizer/vector", "Normalizer", [ROWS[0]], [FLOAT], norm="L2", opset=1)
    case("normalizer/zero_row", "Normalizer", [np.zeros((2, 3), np.float32)], [FLOAT], norm="L2",
         opset=1)
    case("normalizer/zero_row_l1", "Normalizer", [np.zeros((2, 3), np.float32)], [FLOAT],
         norm="L1", opset=1)
    case("normalizer/zero_row_max", "Normalizer", [np.zeros((2, 3), np.float32)], [FLOAT],
         norm="MAX", opset=1)
    case("normalizer/negative_max", "Normalizer", [-np.abs(ROWS) - 1], [FLOAT], norm="MAX",
         opset=1)
    case("imputer/nan", "Imputer", [nan], [FLOAT], imputed_value_floats=[1.0, 2.0, 3.0],
         replaced_value_float=float("nan"), opset=1)
    case("imputer/one_value", "Imputer", [nan], [FLOAT], imputed_value_floats=[9.0],
         replaced_value_float=float("nan"), opset=1)
    case("imputer/value", "Imputer", [ROWS], [FLOAT], imputed_value_floats=[1.0, 2.0, 3.0],
         replaced_value_float=2.0, opset=1)
    case("imputer/i64", "Imputer", [ROWS.astype(np.int64)], [INT64],
         imputed_value_int64s=[7, 8, 9], replaced_value_int64=0, opset=1)
    case("one_hot/ints", "OneHotEncoder", [np.array([[1], [3], [5]], np.int64)], [FLOAT],
         cats_int64s=[1, 3, 9], zeros=1, opset=1)
    case("one_hot/ints_strict", "OneHotEncoder", [np.array([1, 9, 3], np.int64)], [FLOAT],
         cats_int64s=[1, 3, 9], zeros=0, opset=1)
    case("one_hot/floats", "OneHotEncoder", [ROWS], [FLOAT], cats_int64s=[0, 1, 2], zeros=1,
         opset=1)
    case("one_hot/strings", "OneHotEncoder", [words], [FLOAT], cats_strings=["a", "b", "c"],
         opset=1)
    case("binarizer/f32", "Binarizer", [ROWS], [FLOAT], threshold=0.5, opset=1)
    case("feature_vectorizer/f32", "FeatureVectorizer", [ROWS, ROWS[:, :2]], [FLOAT],
         inputdimensions=[3, 2], opset=1)
    case("feature_vectorizer/f64", "FeatureVectorizer",
         [ROWS.astype(np.float64), ROWS[:, :2].astype(np.float64)], [FLOAT],
         inputdimensions=[3, 2], opset=1)
    case("feature_vectorizer/pads", "FeatureVectorizer",
         [ROWS.astype(np.int64), ROWS[:, :2].astype(np.int64)], [FLOAT],
         inputdimensions=[2, 4], opset=1)
    index = np.array([2, 0], np.int64)
    for short, kind in TYPES:
        case(f"array_feature_extractor/{short}", "ArrayFeatureExtractor",
             [ROWS.astype(kind), index], [helper.np_dtype_to_tensor_dtype(np.dtype(kind))], opset=1)
    case("array_feature_extractor/strings", "ArrayFeatureExtractor",
         [words, np.array([1], np.int64)], [STRING], opset=1)
    case("array_feature_extractor/vector", "ArrayFeatureExtractor", [ROWS[0], index], [FLOAT],
         opset=1)
    case("array_feature_extractor/labels", "ArrayFeatureExtractor",
         [np.array([7, 8, 9], np.int64), np.array([[2, 1, 1, 0]], np.int64)], [INT64], opset=1)
    case("category_mapper/to_int", "CategoryMapper", [words], [INT64], cats_strings=["a", "b"],
         cats_int64s=[10, 20], default_int64=-5, default_string="?", opset=1)
    case("category_mapper/to_int_default", "CategoryMapper", [words], [INT64],
         cats_strings=["a", "b"], cats_int64s=[10, 20], opset=1)
    case("category_mapper/to_string", "CategoryMapper", [np.array([[10], [20], [30]], np.int64)],
         [STRING], cats_strings=["a", "b"], cats_int64s=[10, 20], opset=1)
    case("category_mapper/to_string_default", "CategoryMapper",
         [np.array([10, 20, 30], np.int64)], [STRING], cats_strings=["a", "b"],
         cats_int64s=[10, 20], default_string="none", opset=1)


def label_encoders():
    words = np.array([["a", "b"], ["c", "zzz"]], object)
    numbers = np.array([1, 2, 77], np.int64)
    floats = np.array([1.5, np.nan, 7.0], np.float32)
    sides = {
        "strings": (["a", "b", "c"], words, STRING), "int64s": ([1, 2, 3], numbers, INT64),
        "floats": ([1.5, 2.5, float("nan")], floats, FLOAT),
    }
    for source, (keys, x, _) in sides.items():
        for target, (values, _, kind) in sides.items():
            if source == target == "floats":
                values = [10.0, 20.0, 30.0]
            case(f"label_encoder/{source}_{target}", "LabelEncoder", [x], [kind], opset=2,
                 **{f"keys_{source}": keys, f"values_{target}": list(reversed(values))})
    case("label_encoder/default_float", "LabelEncoder", [words], [FLOAT], opset=2,
         keys_strings=["a"], values_floats=[1.0], default_float=-3.5)
    case("label_encoder/default_int", "LabelEncoder", [floats], [INT64], opset=2,
         keys_floats=[1.5], values_int64s=[4], default_int64=-9)
    case("label_encoder/default_string", "LabelEncoder", [numbers], [STRING], opset=2,
         keys_int64s=[1, 1], values_strings=["first", "last"], default_string="other")

    def tensor(name, kind, values):
        if kind == STRING:
            values = [v.encode() for v in values]
        return helper.make_tensor(name, kind, [len(values)], values)

    case("label_encoder/tensor_f64", "LabelEncoder", [np.array([0.1, 2.0, np.nan])], [DOUBLE],
         opset=4, keys_tensor=tensor("k", DOUBLE, [0.1, float("nan")]),
         values_tensor=tensor("v", DOUBLE, [1.25, 2.5]), default_tensor=tensor("d", DOUBLE, [-1.5]))
    case("label_encoder/tensor_i16", "LabelEncoder", [words], [TensorProto.INT16], opset=4,
         keys_tensor=tensor("k", STRING, ["a", "b"]),
         values_tensor=tensor("v", TensorProto.INT16, [3, 4]),
         default_tensor=tensor("d", TensorProto.INT16, [-7]))
    case("label_encoder/opset4_strings", "LabelEncoder", [words], [INT64], opset=4,
         keys_strings=["a", "b"], values_int64s=[3, 4])


def zip_maps():
    case("zip_map/strings", "ZipMap", [ROWS], [None], classlabels_strings=["x", "y", "z"], opset=1)
    case("zip_map/ints", "ZipMap", [ROWS], [None], classlabels_int64s=[3, 1, 2], opset=1)


def standard():
    """Operators of the standard domain that tract lacks or has in part."""
    text = np.array(["Monday", "tuesday", "THE", "", "Wéek"], object)
    plain_text = dict(domain="", locale="C.UTF-8")
    for action in ["LOWER", "UPPER", "NONE"]:
        case(f"string_normalizer/{action.lower()}", "StringNormalizer", [text], [STRING],
             case_change_action=action, **plain_text)
    case("string_normalizer/row", "StringNormalizer", [np.array([["The", "end"]], object)],
         [STRING], case_change_action="LOWER", first=1, **plain_text)
    case("string_concat/broadcast", "StringConcat",
         [np.array([["a"], ["b"]], object), np.array([["x", "y"], ["z", ""]], object)], [STRING], domain="",
         base=20)
    strings = np.array([["1.5", "-2"], ["NaN", "1e3"], ["+INF", "-inf"]], object)
    for short, kind in [("f32", FLOAT), ("f64", DOUBLE)]:
        case(f"cast/string_{short}", "Cast", [strings], [kind], domain="", to=kind)
    whole = np.array([["15", "-2"], ["9007199254740993", "0"]], object)
    for short, kind in [("i64", INT64)]:
        case(f"cast/string_{short}", "Cast", [whole], [kind], domain="", to=kind)
    case("cast/string_i32", "Cast", [np.array([["15", "-2"]], object)], [INT32], domain="",
         to=INT32)
    for short, array in [
        ("i64", np.array([[1, -2], [2**40, 0]], np.int64)),
        ("f32", np.array([[1.5, -2.0, 1e-7, 1e10], [np.nan, np.inf, -np.inf, 0.1]], np.float32)),
        ("f64", np.array([[1.5, 1.0 / 3.0], [123456789.125, 1e-300]], np.float64)),
        ("bool", np.array([[True, False]])),
    ]:
        case(f"cast/{short}_string", "Cast", [array], [STRING], domain="", to=STRING)
    case("cast/f64_i64", "Cast", [np.array([[3e12, -2.7], [0.4, 1.0]], np.float64)], [INT64],
         domain="", to=INT64)
    case("cast/bool_i64", "Cast", [np.array([[True, False]])], [INT64], domain="", to=INT64)
    wide = np.array([[-30.0, -1.5], [0.0, 2.25]], np.float64)
    case("sigmoid/f64", "Sigmoid", [wide], [DOUBLE], domain="")
    case("sigmoid/f32", "Sigmoid", [wide.astype(np.float32)], [FLOAT], domain="")
    special = np.array([[0.5, 1.5, -2.5, 3.7], [np.nan, np.inf, -np.inf, -0.2]], np.float64)
    for short, array in [("f64", special), ("f32", special.astype(np.float32))]:
        case(f"round/{short}", "Round", [array], [onnx_type(array)], domain="")
        case(f"is_nan/{short}", "IsNaN", [array], [BOOL], domain="")
        case(f"is_inf/{short}", "IsInf", [array], [BOOL], domain="")
        case(f"is_inf/negative_{short}", "IsInf", [array], [BOOL], domain="", detect_positive=0)
    case("cast/f32_bool", "Cast", [ROWS], [BOOL], domain="", to=BOOL)
    words = np.array([["a", "b"], ["c", "a"]], object)
    case("strings/equal", "Equal", [words, words[::-1].copy()], [BOOL], domain="", base=19)
    case("strings/where", "Where", [np.array([[True, False], [False, True]]), words,
                                    words[::-1].copy()], [STRING], domain="")
    case("strings/concat", "Concat", [words, words], [STRING], domain="", axis=1)
    case("strings/gather", "Gather", [words, np.array([1, 0, -1], np.int64)], [STRING], domain="",
         axis=1)


def products():
    """Gemm, whose factors are single floats whatever the type of its inputs."""
    a, b = np.arange(12).reshape(3, 4) / 4 - 1, np.arange(8).reshape(4, 2) / 8 - 0.5
    for short, dtype in [("f32", np.float32), ("f64", np.float64), ("f16", np.float16)]:
        x, w, bias = a.astype(dtype), b.astype(dtype), np.array([0.25, -3.0], dtype)
        same = dict(outputs=[onnx_type(x)], domain="", first=["N", None, None])
        case(f"gemm/{short}", "Gemm", [x, w, bias], **same)
        case(f"gemm/factors_{short}", "Gemm", [x, w, bias.reshape(1, 2)], alpha=0.5, beta=-2.0, **same)
        case(f"gemm/no_bias_{short}", "Gemm", [x, w], alpha=2.0, **same)
        case(f"gemm/transposed_{short}", "Gemm", [x.T.copy(), w.T.copy(), bias], transA=1, transB=1,
             **same | {"first": None})


def main():
    for family in [tree_ensembles, linear, svm, preprocessing, label_encoders, zip_maps, standard,
                   products]:
        family()
    path = pathlib.Path(__file__).with_name("onnx_ml.json")
    lines = ",\n".join(json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in CASES)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(CASES)} cases, {path.stat().st_size} bytes in {path.name}")


if __name__ == "__main__":
    main()
