//! The operators of the domain `ai.onnx.ml`, which tract does not have.

/// Adds the operators to tract's.
pub fn register(_onnx: &mut tract_onnx::Onnx) {}
