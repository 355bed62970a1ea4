//! Operators that tract lacks or has in part: those of the domain `ai.onnx.ml`, of which
//! models of tabular data are made, and some of the standard domain that such models need.
//!
//! [`register`] adds them to tract. [`supports`] tells whether an operator can run.
//!
//! The operators answer as onnxruntime does, also where the specification leaves room. Each
//! is a [`kernel::Kernel`]: a function from tensors to tensors.
//!
//! Not here: `DictVectorizer` and `CastMap`, whose inputs are maps, which tract cannot hold
//! and no FNNX input can be.

mod cast;
mod doubles;
mod encoding;
mod features;
mod forest;
mod gemm;
mod imputer;
mod kernel;
mod labels;
mod linear;
mod scaling;
mod scores;
mod strings;
mod svm;
mod svm_probability;
mod tree_ensemble;
mod trees;
mod values;
mod zip_map;

#[cfg(test)]
mod tests;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

/// The domain of the operators of machine learning other than neural networks.
const ML: &str = "ai.onnx.ml";

type Builder = fn(&ParsingContext<'_>, &NodeProto) -> kernel::Built;

const ML_OPERATORS: &[(&str, Builder)] = &[
    ("ArrayFeatureExtractor", features::array_feature_extractor),
    ("Binarizer", scaling::binarizer),
    ("CategoryMapper", encoding::category_mapper),
    ("FeatureVectorizer", features::feature_vectorizer),
    ("Imputer", imputer::imputer),
    ("LabelEncoder", encoding::label_encoder),
    ("LinearClassifier", linear::classifier),
    ("LinearRegressor", linear::regressor),
    ("Normalizer", scaling::normalizer),
    ("OneHotEncoder", encoding::one_hot),
    ("SVMClassifier", svm::classifier),
    ("SVMRegressor", svm::regressor),
    ("Scaler", scaling::scaler),
    ("TreeEnsemble", tree_ensemble::ensemble),
    ("TreeEnsembleClassifier", tree_ensemble::classifier),
    ("TreeEnsembleRegressor", tree_ensemble::regressor),
    ("ZipMap", zip_map::zip_map),
];

const STANDARD_OPERATORS: &[(&str, Builder)] = &[
    ("Cast", cast::cast),
    ("Gemm", gemm::gemm),
    ("IsInf", doubles::is_infinite),
    ("IsNaN", doubles::is_not_a_number),
    ("Round", doubles::round),
    ("Sigmoid", doubles::sigmoid),
    ("StringConcat", strings::concat),
    ("StringNormalizer", strings::normalizer),
];

/// Gives tract the operators of this module, in place of those of the same name that it has.
///
/// tract finds operators by name, whatever their domain; ask [`supports`] first.
pub fn register(onnx: &mut Onnx) {
    for (name, builder) in ML_OPERATORS.iter().chain(STANDARD_OPERATORS) {
        onnx.op_register.insert(name, *builder);
    }
}

/// Whether an operator can run, once [`register`] has added those of this module. The domain of
/// ONNX's own operators is empty or `ai.onnx`.
///
/// An operator of a domain is not taken for one of another domain that has the same name.
pub fn supports(onnx: &Onnx, domain: &str, name: &str) -> bool {
    let is_of_ml = ML_OPERATORS.iter().any(|(own, _)| *own == name);
    match domain {
        ML => is_of_ml,
        "" | "ai.onnx" => !is_of_ml && onnx.op_register.0.contains_key(name),
        _ => false,
    }
}
