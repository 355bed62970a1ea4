//! Reads the body of `POST /compute` straight into tensors. An error has the path inside the body.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::Deserializer;
use tract_onnx::prelude::tract_ndarray::{ArrayD, IxDyn};
use tract_onnx::prelude::{Datum, Tensor, f16};

use super::Dtype;
use crate::artifact::{Dim, Shape};

/// An input that the model declares.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<Dim>,
}

/// The tensors of a body.
#[derive(Debug)]
pub enum Inputs {
    /// A single request: a tensor for each declared input, in their order.
    One(Vec<Tensor>),
    /// A list of requests.
    Many(Vec<Vec<Tensor>>),
}

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// Where: `inputs.x[2][0]`; empty for the body as a whole.
    pub path: String,
    pub text: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.text),
            path => write!(f, "{path}: {}", self.text),
        }
    }
}

/// The characters of the request that an error repeats at most.
const QUOTED_CHARACTERS: usize = 60;

/// Parses a body: an object with `inputs` and `dynamic_attributes`, or a list of them.
pub fn decode_body(body: &[u8], declared: &[Input]) -> Result<Inputs, InputError> {
    let mut path = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = BodySeed(Context {
        declared,
        path: &mut path,
    });
    let result = seed
        .deserialize(&mut json)
        .and_then(|inputs| json.end().map(|()| inputs));
    result.map_err(|error| explain(&error, &path, body))
}

fn explain(error: &serde_json::Error, path: &[Step], body: &[u8]) -> InputError {
    let mut text = error.to_string();
    if error.is_data() {
        // The path says where; serde_json adds a position.
        let position = format!(" at line {} column {}", error.line(), error.column());
        text.truncate(text.strip_suffix(&position).map_or(text.len(), str::len));
    } else {
        text = format!("the body is not valid JSON: {text}");
        let lines = body.split(|byte| *byte == b'\n');
        let line = lines.skip(error.line().saturating_sub(1)).next();
        let rest = line.and_then(|line| line.get(error.column().saturating_sub(1)..));
        let has = |word: &[u8]| rest.is_some_and(|rest| rest.starts_with(word));
        if has(b"NaN") || has(b"Infinity") || has(b"I") {
            text.push_str("; write \"NaN\", \"Infinity\" and \"-Infinity\" in quotes");
        }
    }
    if text.len() > 400 {
        let end = (0..=400).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Index(index) => shown.push_str(&format!("[{index}]")),
            Step::Name(name) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(name);
            }
        }
    }
    InputError { path: shown, text }
}

enum Step {
    Name(String),
    Index(usize),
}

/// What all parts of the parser share. On an error the path stays where it was.
struct Context<'a> {
    declared: &'a [Input],
    path: &'a mut Vec<Step>,
}

impl Context<'_> {
    fn enter(&mut self, name: &str) {
        self.path.push(Step::Name(quoted(name)));
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    fn reborrow(&mut self) -> Context<'_> {
        Context {
            declared: self.declared,
            path: self.path,
        }
    }
}

fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && text.len() <= QUOTED_CHARACTERS {
        return text.to_owned();
    }
    format!("{:?}", text.chars().take(QUOTED_CHARACTERS).collect::<String>())
}

struct BodySeed<'a>(Context<'a>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Inputs;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Inputs, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with inputs, or a list of such objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Inputs, A::Error> {
        RequestSeed(self.0).visit_map(map).map(Inputs::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Inputs, A::Error> {
        let mut requests = Vec::new();
        loop {
            self.0.path.push(Step::Index(requests.len()));
            match items.next_element_seed(RequestSeed(self.0.reborrow()))? {
                Some(request) => requests.push(request),
                None => break,
            }
            self.0.leave();
        }
        self.0.leave();
        if requests.is_empty() {
            return Err(A::Error::custom("the list of requests is empty"));
        }
        Ok(Inputs::Many(requests))
    }
}

struct RequestSeed<'a>(Context<'a>);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Vec<Tensor>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Tensor>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Vec<Tensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with inputs")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Vec<Tensor>, A::Error> {
        let mut inputs = None;
        while let Some(key) = map.next_key::<String>()? {
            self.0.enter(&key);
            match key.as_str() {
                "inputs" if inputs.is_some() => return Err(A::Error::custom("appears twice")),
                "inputs" => inputs = Some(map.next_value_seed(InputsSeed(self.0.reborrow()))?),
                "dynamic_attributes" => {
                    map.next_value_seed(AttributesSeed(self.0.reborrow()))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.0.leave();
        }
        inputs.ok_or_else(|| A::Error::custom("inputs is missing"))
    }
}

/// Checks the dynamic attributes. No operator of the format reads them.
struct AttributesSeed<'a>(Context<'a>);

impl<'de> DeserializeSeed<'de> for AttributesSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AttributesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            self.0.enter(&name);
            map.next_value::<String>()?;
            self.0.leave();
        }
        Ok(())
    }
}

struct InputsSeed<'a>(Context<'a>);

impl<'de> DeserializeSeed<'de> for InputsSeed<'_> {
    type Value = Vec<Tensor>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Tensor>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_> {
    type Value = Vec<Tensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the inputs of the model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Tensor>, A::Error> {
        let Context { declared, path } = self.0;
        let mut tensors: Vec<Option<Tensor>> = declared.iter().map(|_| None).collect();
        while let Some(name) = map.next_key::<String>()? {
            path.push(Step::Name(quoted(&name)));
            let Some(at) = declared.iter().position(|input| input.name == name) else {
                let names: Vec<_> = declared.iter().map(|input| input.name.as_str()).collect();
                return Err(A::Error::custom(format_args!(
                    "is not an input of the model, which has {}",
                    names.join(", ")
                )));
            };
            if tensors[at].is_some() {
                return Err(A::Error::custom("appears twice"));
            }
            let input = &declared[at];
            tensors[at] = Some(map.next_value_seed(TensorSeed { input, path })?);
            path.pop();
        }
        let mut pairs = tensors.iter().zip(declared);
        if let Some((_, missing)) = pairs.find(|(tensor, _)| tensor.is_none()) {
            return Err(A::Error::custom(format_args!(
                "{} is missing: {} of the shape {}",
                quoted(&missing.name),
                missing.dtype.name(),
                Shape(&missing.shape)
            )));
        }
        Ok(tensors.into_iter().flatten().collect())
    }
}

struct TensorSeed<'a> {
    input: &'a Input,
    path: &'a mut Vec<Step>,
}

impl<'de> DeserializeSeed<'de> for TensorSeed<'_> {
    type Value = Tensor;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Tensor, D::Error> {
        match self.input.dtype {
            Dtype::Bool => self.read::<bool, D>(from),
            Dtype::I8 => self.read::<i8, D>(from),
            Dtype::I16 => self.read::<i16, D>(from),
            Dtype::I32 => self.read::<i32, D>(from),
            Dtype::I64 => self.read::<i64, D>(from),
            Dtype::U8 => self.read::<u8, D>(from),
            Dtype::U16 => self.read::<u16, D>(from),
            Dtype::U32 => self.read::<u32, D>(from),
            Dtype::U64 => self.read::<u64, D>(from),
            Dtype::F16 => self.read::<f16, D>(from),
            Dtype::F32 => self.read::<f32, D>(from),
            Dtype::F64 => self.read::<f64, D>(from),
            Dtype::String => self.read::<String, D>(from),
        }
    }
}

impl TensorSeed<'_> {
    fn read<'de, T: Element, D: Deserializer<'de>>(self, from: D) -> Result<Tensor, D::Error> {
        let rank = self.input.shape.len();
        let mut reader = Reader::<T> {
            declared: &self.input.shape,
            sizes: vec![None; rank],
            data: Vec::new(),
            path: self.path,
        };
        let seed = Level {
            reader: &mut reader,
            depth: 0,
        };
        seed.deserialize(from)?;
        let Reader { sizes, data, .. } = reader;
        let shape: Vec<usize> = sizes.into_iter().flatten().collect();
        let array = ArrayD::from_shape_vec(IxDyn(&shape), data);
        Ok(array.map_err(D::Error::custom)?.into())
    }
}

/// Collects the elements of nested lists, and the sizes of the lists at each depth.
struct Reader<'a, T> {
    declared: &'a [Dim],
    sizes: Vec<Option<usize>>,
    data: Vec<T>,
    path: &'a mut Vec<Step>,
}

impl<T> Reader<'_, T> {
    /// The size that a list at this depth must have, if that is known already.
    fn size(&self, depth: usize) -> Option<usize> {
        match self.declared[depth] {
            Dim::Fixed(size) => Some(size),
            Dim::Named(_) => self.sizes[depth],
        }
    }
}

/// Reads a list at a depth, or an element below the last one.
struct Level<'a, 'b, T> {
    reader: &'a mut Reader<'b, T>,
    depth: usize,
}

impl<'de, T: Element> DeserializeSeed<'de> for Level<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.depth < self.reader.declared.len() {
            return from.deserialize_seq(self);
        }
        let element = from.deserialize_any(ElementVisitor(PhantomData))?;
        self.reader.data.push(element);
        Ok(())
    }
}

impl<'de, T: Element> Visitor<'de> for Level<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")?;
        if let Some(size) = self.reader.size(self.depth) {
            write!(f, " of {size}")?;
        }
        write!(f, " (the shape is {})", Shape(self.reader.declared))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Level { reader, depth } = self;
        let expected = reader.size(depth);
        let at = reader.path.len();
        reader.path.push(Step::Index(0));
        let mut count = 0;
        loop {
            reader.path[at] = Step::Index(count);
            let seed = Level {
                reader: &mut *reader,
                depth: depth + 1,
            };
            if expected == Some(count) {
                // One more item is an error, whatever it is.
                if items.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
            } else if items.next_element_seed(seed)?.is_none() {
                break;
            }
            count += 1;
            if expected.is_some_and(|expected| count > expected) {
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                break;
            }
        }
        reader.path.truncate(at);
        if count == 0 {
            return Err(A::Error::custom("the list is empty"));
        }
        if let Some(expected) = expected.filter(|expected| *expected != count) {
            return Err(A::Error::custom(format_args!(
                "has {count} items, expected {expected} (the shape is {})",
                Shape(reader.declared)
            )));
        }
        reader.sizes[depth] = Some(count);
        Ok(())
    }
}

/// An element type, and how it is read from JSON.
trait Element: Datum {
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

struct ElementVisitor<T>(PhantomData<T>);

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
            None => Self::found(None, quoted_string(value)),
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

fn quoted_string(text: &str) -> String {
    format!("the string {:?}", text.chars().take(QUOTED_CHARACTERS).collect::<String>())
}
