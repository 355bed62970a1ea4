//! Tensors: their element types, and their conversion from and to JSON.

mod decode;
mod encode;

pub use decode::{Input, InputError, Inputs, decode_body};
pub use encode::{Labels, encode, string};

use tract_onnx::prelude::DatumType;

/// An element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    String,
}

/// Each type with the name that FNNX takes from numpy, and tract's.
const NAMES: [(&str, Dtype, DatumType); 13] = [
    ("bool", Dtype::Bool, DatumType::Bool),
    ("int8", Dtype::I8, DatumType::I8),
    ("int16", Dtype::I16, DatumType::I16),
    ("int32", Dtype::I32, DatumType::I32),
    ("int64", Dtype::I64, DatumType::I64),
    ("uint8", Dtype::U8, DatumType::U8),
    ("uint16", Dtype::U16, DatumType::U16),
    ("uint32", Dtype::U32, DatumType::U32),
    ("uint64", Dtype::U64, DatumType::U64),
    ("float16", Dtype::F16, DatumType::F16),
    ("float32", Dtype::F32, DatumType::F32),
    ("float64", Dtype::F64, DatumType::F64),
    ("string", Dtype::String, DatumType::String),
];

impl Dtype {
    /// Parses a type of the format, such as `Array[float32]`.
    ///
    /// # Errors
    /// Says why an operator of this server cannot take it.
    pub fn parse(text: &str) -> Result<Dtype, String> {
        let inner = text.strip_prefix("Array[").and_then(|t| t.strip_suffix(']'));
        let Some(inner) = inner else {
            return Err(format!("{text} is not an Array[…], which ONNX needs"));
        };
        let mut names = NAMES.iter();
        let found = names.find(|(name, ..)| *name == inner);
        found.map(|(_, dtype, _)| *dtype).ok_or_else(|| {
            let names = NAMES.map(|(name, ..)| name).join(", ");
            format!("{inner} is not a known element type; there are {names}")
        })
    }

    /// The type of a tensor of tract, if the format has it.
    pub fn of(datum: DatumType) -> Option<Dtype> {
        let found = NAMES.iter().find(|(.., own)| *own == datum);
        found.map(|(_, dtype, _)| *dtype)
    }

    pub fn datum(self) -> DatumType {
        self.row().2
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    fn row(self) -> (&'static str, Dtype, DatumType) {
        NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_own_row() {
        for (name, dtype, datum) in NAMES {
            assert_eq!((dtype.name(), dtype.datum()), (name, datum));
            assert_eq!(Dtype::parse(&format!("Array[{name}]")), Ok(dtype));
            assert_eq!(Dtype::of(datum), Some(dtype));
        }
        assert!(Dtype::parse("Array[complex64]").is_err());
        assert!(Dtype::parse("NDContainer[float]").is_err());
        assert!(Dtype::parse("float32").is_err());
    }
}
