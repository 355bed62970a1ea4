//! Writes tensors as JSON.

use serde_json::ser::{CompactFormatter, Formatter};
use tract_onnx::prelude::{DatumType, Tensor, TractResult, f16};
use tract_onnx::tract_hir::internal::bail;

/// The keys of the maps that ZipMap makes of each row, as JSON strings.
pub type Labels = Vec<String>;

/// Appends a tensor as nested lists. Numbers that JSON lacks are strings: `"NaN"`, `"Infinity"`,
/// `"-Infinity"`. With labels, each list of the last axis is an object with these keys.
pub fn encode(tensor: &Tensor, labels: Option<&Labels>, to: &mut Vec<u8>) -> TractResult<()> {
    macro_rules! all {
        ($type:ty, $write:expr) => {{
            let view = tensor.try_as_plain_ram()?;
            let elements = view.as_slice::<$type>()?;
            nested(tensor.shape(), elements, labels, to, &$write);
        }};
    }
    // Writing to a vector cannot fail.
    macro_rules! with {
        ($type:ty, $method:ident) => {
            all!($type, |value: &$type, to: &mut Vec<u8>| {
                let _ = CompactFormatter.$method(to, *value);
            })
        };
    }
    match tensor.datum_type() {
        DatumType::Bool => with!(bool, write_bool),
        DatumType::I8 => with!(i8, write_i8),
        DatumType::I16 => with!(i16, write_i16),
        DatumType::I32 => with!(i32, write_i32),
        DatumType::I64 => with!(i64, write_i64),
        DatumType::U8 => with!(u8, write_u8),
        DatumType::U16 => with!(u16, write_u16),
        DatumType::U32 => with!(u32, write_u32),
        DatumType::U64 => with!(u64, write_u64),
        DatumType::F16 => all!(f16, |value: &f16, to: &mut Vec<u8>| float32(value.to_f32(), to)),
        DatumType::F32 => all!(f32, |value: &f32, to: &mut Vec<u8>| float32(*value, to)),
        DatumType::F64 => all!(f64, |value: &f64, to: &mut Vec<u8>| {
            match value.is_finite() {
                true => drop(CompactFormatter.write_f64(to, *value)),
                false => not_finite(value.is_nan(), *value > 0.0, to),
            }
        }),
        DatumType::String => all!(String, |value: &String, to: &mut Vec<u8>| string(value, to)),
        // A size that tract computes.
        DatumType::TDim => {
            let sizes = tensor.cast_to::<i64>()?;
            return encode(&sizes, labels, to);
        }
        other => bail!("an output of the type {other:?} has no JSON"),
    }
    Ok(())
}

fn nested<T>(
    shape: &[usize],
    elements: &[T],
    labels: Option<&Labels>,
    to: &mut Vec<u8>,
    write: &impl Fn(&T, &mut Vec<u8>),
) {
    let Some((&size, inner)) = shape.split_first() else {
        if let Some(element) = elements.first() {
            write(element, to);
        }
        return;
    };
    let step = inner.iter().product::<usize>();
    let labels_here = labels.filter(|labels| inner.is_empty() && labels.len() == size);
    to.push(if labels_here.is_some() { b'{' } else { b'[' });
    for at in 0..size {
        if at > 0 {
            to.push(b',');
        }
        if let Some(labels) = labels_here {
            string(&labels[at], to);
            to.push(b':');
        }
        nested(inner, &elements[at * step..(at + 1) * step], labels, to, write);
    }
    to.push(if labels_here.is_some() { b'}' } else { b']' });
}

fn float32(value: f32, to: &mut Vec<u8>) {
    match value.is_finite() {
        true => drop(CompactFormatter.write_f32(to, value)),
        false => not_finite(value.is_nan(), value > 0.0, to),
    }
}

fn not_finite(is_nan: bool, is_positive: bool, to: &mut Vec<u8>) {
    to.extend_from_slice(match (is_nan, is_positive) {
        (true, _) => b"\"NaN\"",
        (false, true) => b"\"Infinity\"",
        (false, false) => b"\"-Infinity\"",
    });
}

/// Appends a JSON string.
pub fn string(text: &str, to: &mut Vec<u8>) {
    // Writing a string to a vector cannot fail.
    let _ = serde_json::to_writer(to, text);
}
