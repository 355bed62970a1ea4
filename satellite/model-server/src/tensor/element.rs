//! The elements of tensors, as JSON has them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use tract_onnx::prelude::{Datum, f16};

/// An element type, and how it is read from JSON.
pub trait Element: Datum {
    const EXPECTED: &'static str;

    fn of_integer(_value: i128) -> Option<Self> {
        None
    }
    fn of_float(_value: f64) -> Option<Self> {
        None
    }
    fn of_text(_value: &str) -> Option<Self> {
        None
    }
    fn of_bool(_value: bool) -> Option<Self> {
        None
    }
    fn of_null() -> Option<Self> {
        None
    }
}

macro_rules! integers {
    ($($type:ty: $expected:literal),*) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = $expected;

            fn of_integer(value: i128) -> Option<Self> {
                value.try_into().ok()
            }
            /// JSON has one type of numbers: 2.0 is an integer.
            fn of_float(value: f64) -> Option<Self> {
                // Exact: up to 2^53 a float has every integer.
                (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0)
                    .then(|| (value as i128).try_into().ok())
                    .flatten()
            }
            fn of_bool(value: bool) -> Option<Self> {
                Some(value.into())
            }
        }
    )*};
}

integers!(
    i8: "an integer from -128 to 127", i16: "an integer of 16 bits",
    i32: "an integer of 32 bits", i64: "an integer of 64 bits",
    u8: "an integer from 0 to 255", u16: "an integer from 0 to 65535",
    u32: "an integer of 32 bits, not negative", u64: "an integer of 64 bits, not negative"
);

macro_rules! floats {
    ($($type:ty: $name:literal, $convert:expr);*) => {$(
        impl Element for $type {
            const EXPECTED: &'static str =
                concat!("a number of ", $name, ", \"NaN\", \"Infinity\" or \"-Infinity\"");

            fn of_integer(value: i128) -> Option<Self> {
                Self::of_float(value as f64)
            }
            fn of_float(value: f64) -> Option<Self> {
                let convert: fn(f64) -> Self = $convert;
                Some(convert(value)).filter(|number| number.is_finite())
            }
            fn of_text(value: &str) -> Option<Self> {
                match value {
                    "NaN" => Some(Self::NAN),
                    "Infinity" => Some(Self::INFINITY),
                    "-Infinity" => Some(Self::NEG_INFINITY),
                    _ => None,
                }
            }
            fn of_bool(value: bool) -> Option<Self> {
                Self::of_float(f64::from(u8::from(value)))
            }
            /// As numpy reads it.
            fn of_null() -> Option<Self> {
                Some(Self::NAN)
            }
        }
    )*};
}

floats!(
    f16: "float16", f16::from_f64;
    f32: "float32", |value| value as f32;
    f64: "float64", |value| value
);

impl Element for bool {
    const EXPECTED: &'static str = "true or false";

    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
    fn of_integer(value: i128) -> Option<Self> {
        match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Element for String {
    const EXPECTED: &'static str = "a string";

    fn of_text(value: &str) -> Option<Self> {
        Some(value.to_owned())
    }
    /// A category that looks like a number.
    fn of_integer(value: i128) -> Option<Self> {
        Some(value.to_string())
    }
}

/// Reads one element of any JSON type.
pub struct ElementVisitor<T>(PhantomData<T>);

impl<T> Default for ElementVisitor<T> {
    fn default() -> Self {
        ElementVisitor(PhantomData)
    }
}

impl<T: Element> ElementVisitor<T> {
    fn found<E: serde::de::Error>(value: Option<T>, found: impl fmt::Display) -> Result<T, E> {
        let expected = T::EXPECTED;
        value.ok_or_else(|| E::custom(format_args!("found {found}, expected {expected}")))
    }
}

impl<'de, T: Element> Visitor<'de> for ElementVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<T, E> {
        Self::found(T::of_integer(value.into()), value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<T, E> {
        Self::found(T::of_integer(value.into()), value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<T, E> {
        Self::found(T::of_float(value), value)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        Self::found(T::of_bool(value), value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        Self::found(T::of_null(), "null")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T, E> {
        match T::of_text(value) {
            Some(element) => Ok(element),
            None => Self::found(None, format_args!("the string {:?}", beginning(value))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Self::found(None, "a list: it is nested too deeply")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Self::found(None, "an object")
    }
}

/// As much of a text of the request as an error repeats.
pub fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}
