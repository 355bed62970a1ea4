//! The operators of the domain `ai.onnx.ml`, which tract does not have.
