"""The models that `models.py` compares. Each is small and made here, from data made here."""

import subprocess
import warnings

import numpy as np
import onnx

from __main__ import Case

RNG = np.random.default_rng(3)
ROWS = 12


def data(columns=6, classes=3, rows=240):
    """Features and the class of each row."""
    x = RNG.normal(size=(rows, columns)).astype(np.float32)
    score = x @ RNG.normal(size=(columns, classes)) + 0.3 * RNG.normal(size=(rows, classes))
    return x, score.argmax(axis=1)


# ---------------------------------------------------------------- scikit-learn

def scikit_learn():
    from sklearn import (calibration, cluster, compose, decomposition, discriminant_analysis,
                         ensemble, feature_selection, impute, isotonic, linear_model, naive_bayes,
                         neighbors, neural_network, pipeline, preprocessing, svm, tree)

    warnings.filterwarnings("ignore")
    accept_numpy_attributes()
    x, three = data()
    two = (three > 0).astype(np.int64)
    words = np.array(["setosa", "versicolor", "virginica"])[three]
    y = (x @ RNG.normal(size=6) + 0.1 * RNG.normal(size=len(x))).astype(np.float32)

    yield sk("LogisticRegression, 2 classes, maps", linear_model.LogisticRegression(), x, two,
             zipmap=True)
    yield sk("LogisticRegression, string labels, maps", linear_model.LogisticRegression(), x, words,
             zipmap=True)
    yield sk("LogisticRegression, one column per class", linear_model.LogisticRegression(), x, words,
             zipmap="columns")
    yield sk("LogisticRegression, doubles", linear_model.LogisticRegression(), x, two, kind="double")
    for name, model, target in [
        ("LogisticRegression, 3 classes", linear_model.LogisticRegression(), three),
        ("SGDClassifier", linear_model.SGDClassifier(loss="log_loss", random_state=0), three),
        ("RidgeClassifier", linear_model.RidgeClassifier(), three),
        ("DecisionTreeClassifier", tree.DecisionTreeClassifier(max_depth=4), words),
        ("RandomForestClassifier, 2 classes", forest(ensemble.RandomForestClassifier), two),
        ("RandomForestClassifier, 3 classes", forest(ensemble.RandomForestClassifier), words),
        ("ExtraTreesClassifier", forest(ensemble.ExtraTreesClassifier), three),
        ("GradientBoostingClassifier, 2 classes",
         ensemble.GradientBoostingClassifier(n_estimators=10), two),
        ("GradientBoostingClassifier, 3 classes",
         ensemble.GradientBoostingClassifier(n_estimators=10), words),
        ("HistGradientBoostingClassifier, 2 classes",
         ensemble.HistGradientBoostingClassifier(max_iter=10), two),
        ("HistGradientBoostingClassifier, 3 classes",
         ensemble.HistGradientBoostingClassifier(max_iter=10), three),
        ("AdaBoostClassifier", ensemble.AdaBoostClassifier(n_estimators=5), three),
        ("BaggingClassifier", ensemble.BaggingClassifier(n_estimators=4), three),
        ("VotingClassifier", ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))],
            voting="soft", flatten_transform=False), three),
        ("StackingClassifier", ensemble.StackingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))]),
         two),
        ("CalibratedClassifierCV", calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), two),
        ("SVC, RBF", svm.SVC(), three),
        ("SVC, RBF, 2 classes", svm.SVC(), two),
        ("SVC, RBF, probabilities", svm.SVC(probability=True, random_state=0), words),
        ("SVC, polynomial", svm.SVC(kernel="poly", degree=2), two),
        ("SVC, linear, probabilities", svm.SVC(kernel="linear", probability=True, random_state=0), two),
        ("NuSVC", svm.NuSVC(nu=0.3), three),
        ("LinearSVC", svm.LinearSVC(), three),
        ("KNeighborsClassifier", neighbors.KNeighborsClassifier(3), three),
        ("GaussianNB", naive_bayes.GaussianNB(), three),
        ("BernoulliNB", naive_bayes.BernoulliNB(), three),
        ("LinearDiscriminantAnalysis", discriminant_analysis.LinearDiscriminantAnalysis(), three),
        ("QuadraticDiscriminantAnalysis",
         discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1), three),
        ("MLPClassifier", neural_network.MLPClassifier((8,), max_iter=60), words),
    ]:
        yield sk(name, model, x, target)
    for name, model in [
        ("LinearRegression", linear_model.LinearRegression()),
        ("LinearRegression, 2 targets", linear_model.LinearRegression()),
        ("ElasticNet", linear_model.ElasticNet(alpha=0.01)),
        ("PoissonRegressor", linear_model.PoissonRegressor()),
        ("RandomForestRegressor", forest(ensemble.RandomForestRegressor)),
        ("GradientBoostingRegressor", ensemble.GradientBoostingRegressor(n_estimators=10)),
        ("HistGradientBoostingRegressor", ensemble.HistGradientBoostingRegressor(max_iter=10)),
        ("SVR", svm.SVR()),
        ("KNeighborsRegressor", neighbors.KNeighborsRegressor(3)),
        ("MLPRegressor", neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=60)),
    ]:
        target = np.stack([y, -y], axis=1) if "2 targets" in name else np.abs(y) if "Poisson" in name else y
        yield sk(name, model, x, target)
    yield sk("RandomForestRegressor, integers", forest(ensemble.RandomForestRegressor),
             np.round(3 * x).astype(np.int64), y, kind="int64")
    yield sk("KMeans", cluster.KMeans(3, n_init=2, random_state=0), x, None)
    yield sk("OneClassSVM", svm.OneClassSVM(nu=0.2), x, None)
    yield sk("IsolationForest", ensemble.IsolationForest(n_estimators=8, random_state=0), x, None,
             target_opset={"": 15, "ai.onnx.ml": 3})
    positive = np.abs(x)
    for name, transformer in [
        ("StandardScaler", preprocessing.StandardScaler()),
        ("MinMaxScaler", preprocessing.MinMaxScaler(clip=True)),
        ("RobustScaler", preprocessing.RobustScaler()),
        ("MaxAbsScaler", preprocessing.MaxAbsScaler()),
        ("Normalizer, L1", preprocessing.Normalizer("l1")),
        ("Normalizer, L2", preprocessing.Normalizer("l2")),
        ("Binarizer", preprocessing.Binarizer(threshold=0.5)),
        ("PolynomialFeatures", preprocessing.PolynomialFeatures(2)),
        ("KBinsDiscretizer", preprocessing.KBinsDiscretizer(3, encode="ordinal")),
        ("PowerTransformer", preprocessing.PowerTransformer()),
        ("PCA", decomposition.PCA(3)),
        ("SelectKBest", feature_selection.SelectKBest(k=3)),
    ]:
        yield sk(f"{name}", transformer, positive if "Power" in name else x, three)
    holes = x.copy()
    holes[RNG.uniform(size=x.shape) < 0.2] = np.nan
    yield sk("SimpleImputer, mean", impute.SimpleImputer(), holes, three)
    yield sk("HistGradientBoostingClassifier, missing values",
             ensemble.HistGradientBoostingClassifier(max_iter=10), holes, three)
    yield sk("pipeline: imputer, scaler, logistic regression", pipeline.make_pipeline(
        impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler(),
        linear_model.LogisticRegression()), holes, words)
    yield sk("pipeline: PCA, SVC", pipeline.make_pipeline(
        preprocessing.StandardScaler(), decomposition.PCA(3), svm.SVC()), x, three)
    yield from mixed()


def accept_numpy_attributes():
    """skl2onnx 1.20 passes numbers of NumPy, which make_attribute of onnx 1.23 rejects."""
    original = onnx.helper.make_attribute

    def plain(key, value, *more, **named):
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, (list, tuple)):
            value = [int(v) if isinstance(v, (np.integer, np.bool_, bool)) else
                     float(v) if isinstance(v, np.floating) else v for v in value]
        return original(key, value, *more, **named)

    onnx.helper.make_attribute = plain


def forest(kind):
    return kind(n_estimators=10, max_depth=5, random_state=0)


def sk(name, model, x, y, zipmap=False, kind="float", target_opset=None):
    def make():
        from skl2onnx import to_onnx

        sample = {"float": x, "double": x.astype(np.float64), "int64": x}[kind]
        model.fit(sample) if y is None else model.fit(sample, y)
        maps = hasattr(model, "classes_") and type(model).__name__ not in ["LinearSVC", "RidgeClassifier"]
        options = {id(model): {"zipmap": zipmap}} if maps else None
        converted = to_onnx(model, sample[:1], options=options, target_opset=target_opset)
        return converted, {converted.graph.input[0].name: sample[:ROWS]}

    return Case("scikit-learn", name, make)


def mixed():
    """Columns of strings, floats and integers, each an input of its own."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn import compose, ensemble, impute, linear_model, pipeline, preprocessing
    import pandas

    rows = 240
    frame = pandas.DataFrame({
        "age": RNG.uniform(18, 80, rows).astype(np.float32),
        "income": RNG.lognormal(3, 1, rows).astype(np.float32),
        "visits": RNG.integers(0, 9, rows).astype(np.int64),
        "city": RNG.choice(["Kyiv", "Lviv", "Odesa"], rows),
        "plan": RNG.choice(["free", "pro", "team"], rows),
    })
    frame.loc[::7, "age"] = np.nan
    target = ((frame.income > 20) & (frame.city != "Odesa")).map({True: "yes", False: "no"})
    initial = [("age", FloatTensorType([None, 1])), ("income", FloatTensorType([None, 1])),
               ("visits", Int64TensorType([None, 1])), ("city", StringTensorType([None, 1])),
               ("plan", StringTensorType([None, 1]))]
    sample = frame.head(ROWS).copy()
    sample.loc[1, "city"] = "Dnipro"
    inputs = {"age": sample[["age"]].to_numpy(np.float32),
              "income": sample[["income"]].to_numpy(np.float32),
              "visits": sample[["visits"]].to_numpy(np.int64),
              "city": sample[["city"]].to_numpy(object), "plan": sample[["plan"]].to_numpy(object)}
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    for name, encoder, model in [
        ("mixed columns: one-hot, logistic regression",
         preprocessing.OneHotEncoder(handle_unknown="ignore"), linear_model.LogisticRegression()),
        ("mixed columns: one-hot, random forest",
         preprocessing.OneHotEncoder(handle_unknown="ignore"), forest(ensemble.RandomForestClassifier)),
        ("mixed columns: ordinal, gradient boosting",
         preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
         ensemble.GradientBoostingClassifier(n_estimators=8)),
    ]:
        columns = compose.ColumnTransformer([
            ("numbers", numbers, ["age", "income"]), ("visits", "passthrough", ["visits"]),
            ("words", encoder, ["city", "plan"])])
        both = pipeline.Pipeline([("columns", columns), ("model", model)])

        def make(both=both, zipmap="logistic" in name):
            both.fit(frame, target)
            options = {id(both): {"zipmap": zipmap}}
            return to_onnx(both, initial_types=initial, options=options), inputs

        yield Case("scikit-learn", name, make)


# ---------------------------------------------------------------- LightGBM, XGBoost

def boosted():
    import lightgbm
    import xgboost
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, three = data()
    two = (three > 0).astype(np.int64)
    y = (x @ RNG.normal(size=6)).astype(np.float32)
    initial = [("input", FloatTensorType([None, 6]))]
    holes = x[:ROWS].copy()
    holes[::3, 1] = np.nan
    small = dict(n_estimators=10)
    light = dict(verbose=-1, num_leaves=8, **small)
    for name, model, target in [
        ("LGBMClassifier, 2 classes", lightgbm.LGBMClassifier(**light), two),
        ("LGBMClassifier, 3 classes", lightgbm.LGBMClassifier(**light), three),
        ("LGBMRegressor", lightgbm.LGBMRegressor(**light), y),
        ("LGBMRegressor, random forest", lightgbm.LGBMRegressor(
            boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **light), y),
    ]:
        for zipmap in [True, False] if "Classifier" in name else [False]:
            def make(model=model, target=target, zipmap=zipmap):
                model.fit(x, target)
                converted = convert_lightgbm(model, initial_types=initial, zipmap=zipmap)
                return converted, {"input": holes}

            yield Case("LightGBM", name + (", maps" if zipmap else ""), make)
    for name, model, target in [
        ("XGBClassifier, 2 classes", xgboost.XGBClassifier(max_depth=4, **small), two),
        ("XGBClassifier, 3 classes", xgboost.XGBClassifier(max_depth=4, **small), three),
        ("XGBRegressor", xgboost.XGBRegressor(max_depth=4, **small), y),
        ("XGBRegressor, Poisson", xgboost.XGBRegressor(max_depth=3, objective="count:poisson", **small),
         np.abs(y)),
        ("XGBRFClassifier", xgboost.XGBRFClassifier(max_depth=4, **small), two),
    ]:
        def make(model=model, target=target):
            model.fit(x, target)
            return convert_xgboost(model, initial_types=initial), {"input": holes}

        yield Case("XGBoost", name, make)


# ---------------------------------------------------------------- the ONNX project's own cases

ONNX_CASES = """
test_abs test_add_bcast test_and2d test_argmax_default_axis_example
test_argmin_negative_axis_keepdims_example test_averagepool_2d_default test_basic_conv_with_padding

test_concat_2d_axis_1 test_conv_with_strides_padding test_cosh 
test_div test_elu test_equal test_erf test_exp
test_flatten_axis1 test_floor test_gather_0 test_gather_elements_1 test_gelu_default_1
test_gemm_all_attributes test_gemm_default_vector_bias test_globalaveragepool test_gru_defaults
test_hardsigmoid test_hardswish test_isinf test_isnan test_layer_normalization_2d_axis1
test_leakyrelu test_less test_logsoftmax_axis_1 test_lstm_defaults test_matmul_2d test_matmul_3d
test_max_float64 test_maxpool_2d_default test_mean_example test_mul_bcast
 test_or2d test_pow test_prelu_broadcast test_reduce_max_default_axes_keepdim_example
test_relu test_rnn_seq_length test_round test_scatter_elements_with_axis test_selu test_shape
test_sigmoid test_sign test_simple_rnn_defaults test_softmax_axis_1 test_softplus test_sqrt
test_string_concat test_strnormalizer_nostopwords_nochangecase test_sub_bcast test_sum_example
test_tanh test_transpose_default test_where_example test_xor2d
test_ai_onnx_ml_array_feature_extractor test_ai_onnx_ml_binarizer
test_ai_onnx_ml_label_encoder_string_int test_ai_onnx_ml_label_encoder_tensor_mapping
test_ai_onnx_ml_tree_ensemble_single_tree test_ai_onnx_ml_tree_ensemble_set_membership
""".split()


# What tract needs when it builds a model, but these take from the request.
ONNX_REFUSED = {
    "test_batchnorm_example": "BatchNorm", "test_cumsum_1d": "CumSum",
    "test_onehot_with_axis": "OneHot",
    "test_strnormalizer_export_monday_casesensintive_lower": "stopwords",
    "test_unique_sorted_without_axis": "Unique",
}


def onnx_project():
    from onnx.backend.test.case.node import collect_testcases

    warnings.filterwarnings("ignore")
    known = {case.name: case for case in collect_testcases(None)}
    for name in ONNX_CASES + list(ONNX_REFUSED):
        case = known[name]
        values, _ = case.data_sets[0]
        names = [value.name for value in case.model.graph.input]
        inputs = {n: np.asarray(v) for n, v in zip(names, values)}
        yield Case("ONNX project", name.removeprefix("test_"),
                   lambda case=case, inputs=inputs: (case.model, inputs),
                   unsupported=ONNX_REFUSED.get(name))


# ---------------------------------------------------------------- what the server cannot run

def refused():
    from onnx import TensorProto, helper

    def model(op, domain="", version=17, kind=TensorProto.FLOAT, outputs=1, **attributes):
        names = [f"y{at}" for at in range(outputs)]
        node = helper.make_node(op, ["x"], names, domain=domain, **attributes)
        ins = [helper.make_tensor_value_info("x", kind, ["rows", 2])]
        outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]
        imports = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, version)] if domain else [])
        graph = helper.make_graph([node], "g", ins, outs)
        made = helper.make_model(graph, opset_imports=imports, ir_version=8)
        return lambda: (made, {})

    yield Case("by hand", "operator of another domain", model("Inverse", "com.microsoft", 1),
               unsupported="com.microsoft")
    yield Case("by hand", "operator that tract lacks", model("Det"), unsupported="Det")
    yield Case("by hand", "ZipMap of the wrong domain", model("ZipMap", classlabels_int64s=[0, 1]),
               unsupported="ZipMap")
    yield Case("by hand", "words to counts", model(
        "TfIdfVectorizer", kind=TensorProto.STRING, mode="TF", min_gram_length=1, max_gram_length=1,
        max_skip_count=0, ngram_counts=[0], ngram_indexes=[0], pool_strings=["a"]),
        unsupported="TfIdfVectorizer")


# ---------------------------------------------------------------- PyTorch

TORCH_PROGRAM = """
import sys, numpy as np, torch
from torch import nn
torch.manual_seed(0)

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)
    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    def forward(self, x):
        return self.layer(x).mean(1)

class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)
    def forward(self, x):
        return self.head(self.table(x).mean(1)).softmax(-1)

models = {
    "MLP": (nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 3),
                          nn.Softmax(1)), torch.randn(4, 6)),
    "MLP, doubles": (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double(),
                     torch.randn(4, 6).double()),
    "convolutions": (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                                   nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                   nn.Linear(8, 3)), torch.randn(4, 1, 12, 12)),
    "LSTM": (Recurrent(), torch.randn(4, 5, 4)),
    "transformer layer": (Attention(), torch.randn(4, 5, 8)),
    "embedding": (Embedded(), torch.randint(0, 20, (4, 7))),
}
for at, (name, (model, x)) in enumerate(models.items()):
    model.eval()
    stem = f"{sys.argv[1]}/torch{at}"
    torch.onnx.export(model, x, stem + ".onnx", input_names=["x"], output_names=["y"],
                      opset_version=int(sys.argv[2]), dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
    x.numpy().tofile(stem + ".raw")
    print(name, x.numpy().dtype, *x.shape, sep="|")
"""


def torch(python, folder):
    for opset in [13, 17]:
        program = [python, "-W", "ignore", "-c", TORCH_PROGRAM, folder, str(opset)]
        done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)
        lines = [line.split("|") for line in done.stdout.splitlines() if line.count("|") > 1]
        for at, (name, kind, *shape) in enumerate(lines):
            stem = f"{folder}/torch{at}"
            x = np.fromfile(stem + ".raw", dtype=kind).reshape([int(size) for size in shape])
            yield Case("PyTorch", f"{name}, opset {opset}", lambda: (onnx.load(stem + ".onnx"), {"x": x}))
