//! Runs the cases of `tests/models/onnx_ml.json`, whose outputs onnxruntime has computed.
//! `tests/models/onnx_ml.py` writes the file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::labels::Labels;
use super::scores::PostTransform;
use super::svm_probability::coupled;
use super::{register, supports, values};

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    inputs: Vec<Expected>,
    outputs: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    data: Vec<Value>,
    /// The keys of the maps that the output stands for.
    keys: Option<Vec<Value>>,
}

fn cases(family: &str) -> Vec<Case> {
    let all: Vec<Case> = serde_json::from_str(include_str!("../../tests/models/onnx_ml.json"))
        .expect("the file of cases");
    let chosen: Vec<Case> = all
        .into_iter()
        .filter(|case| case.name.starts_with(family))
        .collect();
    assert!(!chosen.is_empty(), "there is no case of {family}");
    chosen
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().expect("a number as text"),
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        number => number.as_f64().expect("a number"),
    }
}

impl Expected {
    fn tensor(&self) -> Tensor {
        let texts = || {
            self.data
                .iter()
                .map(|v| v.as_str().expect("a string").to_owned())
        };
        let ints = || self.data.iter().map(|v| v.as_i64().expect("an integer"));
        let numbers = || self.data.iter().map(number);
        let made = match &*self.dtype {
            "string" => values::tensor(&self.shape, texts().collect()),
            "bool" => values::tensor(&self.shape, numbers().map(|v| v != 0.0).collect()),
            "float32" => values::tensor(&self.shape, numbers().map(|v| v as f32).collect()),
            "float64" => values::tensor(&self.shape, numbers().collect()),
            "float16" => {
                let halves = numbers().map(f16::from_f64).collect();
                values::tensor(&self.shape, halves)
            }
            "int64" => values::tensor(&self.shape, ints().collect()),
            "int32" => values::tensor(&self.shape, ints().map(|v| v as i32).collect()),
            "int16" => values::tensor(&self.shape, ints().map(|v| v as i16).collect()),
            other => panic!("a case has the type {other}"),
        };
        made.expect("a tensor")
    }

    /// Exact for everything but floats, which may differ by 1e-4.
    fn difference(&self, got: &Tensor) -> Option<String> {
        let expected = self.tensor();
        let got = if got.datum_type() == TDim::datum_type() {
            got.cast_to::<i64>().expect("a dimension").into_owned()
        } else {
            got.clone()
        };
        if (got.datum_type(), got.shape()) != (expected.datum_type(), expected.shape()) {
            return Some(format!(
                "expected {:?} {:?}, got {:?} {:?}",
                expected.datum_type(),
                expected.shape(),
                got.datum_type(),
                got.shape()
            ));
        }
        if !expected.datum_type().is_float() {
            return (got != expected).then(|| format!("expected {expected:?}, got {got:?}"));
        }
        let (got, expected) = (got.cast_to::<f64>().ok()?, expected.cast_to::<f64>().ok()?);
        let pairs = values::slice::<f64>(&got)
            .ok()?
            .iter()
            .zip(values::slice::<f64>(&expected).ok()?);
        let is_close = |(a, b): (&f64, &f64)| {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * b.abs().max(1.0)
        };
        let close = pairs.map(is_close).collect::<Vec<_>>();
        (!close.iter().all(|c| *c)).then(|| {
            format!(
                "expected {:?}, got {:?}",
                self.data,
                values::slice::<f64>(&got).unwrap_or(&[])
            )
        })
    }
}

fn decode(case: &Case) -> (Onnx, ModelProto) {
    let mut onnx = tract_onnx::onnx();
    register(&mut onnx);
    let bytes = STANDARD.decode(&case.model).expect("base64");
    let model = onnx.proto_model_for_read(&mut &*bytes).expect("a model");
    (onnx, model)
}

fn run(case: &Case) -> TractResult<Vec<Tensor>> {
    let (onnx, model) = decode(case);
    let inputs: TVec<TValue> = case
        .inputs
        .iter()
        .map(|input| input.tensor().into())
        .collect();
    let outputs = onnx
        .model_for_proto_model(&model)?
        .into_optimized()?
        .into_runnable()?
        .run(inputs)?;
    Ok(outputs.into_iter().map(TValue::into_tensor).collect())
}

/// Runs all cases whose names start so.
fn holds(family: &str) {
    let mut wrong = Vec::new();
    for mut case in cases(family) {
        let (onnx, model) = decode(&case);
        for node in model.graph.iter().flat_map(|graph| &graph.node) {
            assert!(
                supports(&onnx, &node.domain, &node.op_type),
                "{}",
                case.name
            );
        }
        reorder_maps(&mut case.outputs, &model);
        match run(&case) {
            Err(error) => wrong.push(format!("{}: {error:#}", case.name)),
            Ok(got) => {
                assert_eq!(got.len(), case.outputs.len(), "{}", case.name);
                for (at, (expected, got)) in case.outputs.iter().zip(&got).enumerate() {
                    let difference = expected.difference(got);
                    wrong.extend(difference.map(|d| format!("{} output {at}: {d}", case.name)));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The keys of a map have no order: puts the expected values into the order of ours.
fn reorder_maps(outputs: &mut [Expected], model: &ModelProto) {
    for output in outputs {
        let Some(theirs) = &output.keys else { continue };
        let ours = keys(model);
        let text = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        let theirs: Vec<String> = theirs.iter().map(text).collect();
        let place = |key: &String| theirs.iter().position(|k| k == key).expect("a known key");
        let order: Vec<usize> = ours.iter().map(place).collect();
        let rows = output.data.chunks(order.len());
        output.data = rows
            .flat_map(|row| order.iter().map(|at| row[*at].clone()))
            .collect();
    }
}

/// The keys of the only node.
fn keys(model: &ModelProto) -> Vec<String> {
    let node = &model.graph.as_ref().expect("a graph").node[0];
    match Labels::parse(node, "classlabels_int64s", "classlabels_strings").expect("keys") {
        Labels::Ints(keys) => keys.iter().map(i64::to_string).collect(),
        Labels::Strings(keys) => keys,
    }
}

macro_rules! families {
    ($($test:ident: $family:literal,)*) => {$(
        #[test]
        fn $test() {
            holds(concat!($family, "/"));
        }
    )*};
}

families! {
    array_feature_extractor_answers_as_onnxruntime: "array_feature_extractor",
    binarizer_answers_as_onnxruntime: "binarizer",
    cast_answers_as_onnxruntime: "cast",
    category_mapper_answers_as_onnxruntime: "category_mapper",
    gemm_takes_doubles_and_halves: "gemm",
    is_inf_takes_doubles: "is_inf",
    is_nan_takes_doubles: "is_nan",
    round_takes_doubles: "round",
    sigmoid_takes_doubles: "sigmoid",
    feature_vectorizer_answers_as_onnxruntime: "feature_vectorizer",
    imputer_answers_as_onnxruntime: "imputer",
    label_encoder_answers_as_onnxruntime: "label_encoder",
    linear_classifier_answers_as_onnxruntime: "linear_classifier",
    linear_regressor_answers_as_onnxruntime: "linear_regressor",
    normalizer_answers_as_onnxruntime: "normalizer",
    one_hot_encoder_answers_as_onnxruntime: "one_hot",
    scaler_answers_as_onnxruntime: "scaler",
    standard_operators_take_strings: "strings",
    string_concat_answers_as_onnxruntime: "string_concat",
    string_normalizer_answers_as_onnxruntime: "string_normalizer",
    svm_classifier_answers_as_onnxruntime: "svm_classifier",
    svm_regressor_answers_as_onnxruntime: "svm_regressor",
    tree_classifier_answers_as_onnxruntime: "tree_classifier",
    tree_ensemble_answers_as_onnxruntime: "tree_ensemble",
    tree_regressor_answers_as_onnxruntime: "tree_regressor",
    zip_map_answers_as_onnxruntime: "zip_map",
}

#[test]
fn an_operator_is_looked_up_with_its_domain() {
    let mut onnx = tract_onnx::onnx();
    register(&mut onnx);
    for (domain, name, expected) in [
        ("", "Relu", true),
        ("ai.onnx", "Relu", true),
        ("ai.onnx", "StringNormalizer", true),
        ("ai.onnx", "Unique", false),
        ("ai.onnx.ml", "Scaler", true),
        ("", "Scaler", false),
        ("ai.onnx.ml", "Relu", false),
        ("ai.onnx.ml", "DictVectorizer", false),
        ("custom", "Relu", false),
        ("custom", "Scaler", false),
    ] {
        assert_eq!(supports(&onnx, domain, name), expected, "{domain} {name}");
    }
}

#[test]
fn trees_with_a_cycle_are_rejected_when_the_model_is_loaded() {
    let case = cases("tree_regressor/one_none").remove(0);
    let (onnx, mut model) = decode(&case);
    let node = &mut model.graph.as_mut().expect("a graph").node[0];
    let children = node
        .attribute
        .iter_mut()
        .find(|a| a.name == "nodes_truenodeids");
    children.expect("the attribute").ints[1] = 0;
    let error = onnx
        .model_for_proto_model(&model)
        .map(drop)
        .expect_err("a cycle");
    assert!(format!("{error:#}").contains("reached twice"), "{error:#}");
}

#[test]
fn an_input_with_too_few_columns_is_rejected_when_the_model_is_loaded() {
    for family in [
        "tree_classifier/three_none",
        "linear_regressor/none",
        "svm_regressor/rbf",
    ] {
        let case = cases(family).remove(0);
        let (onnx, model) = decode(&case);
        let narrow = f32::fact([5, 2]).into();
        let built = onnx
            .model_for_proto_model(&model)
            .and_then(|m| m.with_input_fact(0, narrow));
        let error = built
            .and_then(|m| m.into_typed())
            .map(drop)
            .expect_err("two columns");
        assert!(
            format!("{error:#}").contains("columns"),
            "{family}: {error:#}"
        );
    }
}

proptest! {
    #[test]
    fn softmax_and_logistic_make_probabilities(row in prop::collection::vec(-50.0f64..50.0, 2..6)) {
        let mut softmax = row.clone();
        PostTransform::Softmax.apply(&mut softmax);
        prop_assert!((softmax.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let mut logistic = row.clone();
        PostTransform::Logistic.apply(&mut logistic);
        prop_assert!(logistic.iter().chain(&softmax).all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn probit_is_the_inverse_of_the_normal_distribution(p in 0.01f64..0.99) {
        let mut row = [p, 1.0 - p];
        PostTransform::Probit.apply(&mut row);
        prop_assert!((row[0] + row[1]).abs() < 1e-9);
        prop_assert_eq!(row[0] < 0.0, p < 0.5);
    }

    #[test]
    fn coupled_probabilities_sum_to_one(pairs in prop::collection::vec(0.001f64..0.999, 6)) {
        let probabilities = coupled(4, &pairs);
        prop_assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        prop_assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
    }
}
