//! `LabelEncoder`, `CategoryMapper` and `OneHotEncoder`: categories to numbers, and back.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::ML;
use super::kernel::{Built, Form, Kernel, build};
use super::values::{attribute_tensor, flag, floats, ints, slice, strings, tensor};

pub(super) fn label_encoder(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let classes = strings(node, "classes_strings")?;
    if !classes.is_empty() {
        let indices: Vec<i64> = (0..classes.len() as i64).collect();
        return build(node, mapper(node, "LabelEncoder", classes, indices)?);
    }
    let keys = one_list(context, node, "keys")?;
    let values = one_list(context, node, "values")?;
    let default = match attribute_tensor(context, node, "default_tensor")? {
        Some(default) => {
            node.expect_attr("default_tensor", default.len() == 1, "one value")?;
            default.into_shape(&[1])?
        }
        None if values.datum_type() == String::datum_type() => {
            tensor1(&[default_string(node, "_Unused")?])
        }
        None if values.datum_type().is_float() => {
            tensor1(&[node.get_attr_opt::<f32>("default_float")?.unwrap_or(-0.0)])
        }
        None => tensor1(&[default_int(node)?]),
    };
    let default = default.cast_to_dt(values.datum_type())?.into_owned();
    let mut table = Table::new(&keys, values, default)?;
    // onnxruntime finds NaN from version 4 of the operator on.
    let version = context
        .model
        .opset_import
        .iter()
        .find(|import| import.domain == ML);
    if version.is_none_or(|import| import.version < 4) {
        table.keys.forget_nan();
    }
    build(
        node,
        Mapper {
            name: "LabelEncoder",
            tables: vec![table],
        },
    )
}

pub(super) fn category_mapper(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (words, numbers) = (strings(node, "cats_strings")?, ints(node, "cats_int64s")?);
    build(node, mapper(node, "CategoryMapper", words, numbers)?)
}

pub(super) fn one_hot(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (words, numbers) = (strings(node, "cats_strings")?, ints(node, "cats_int64s")?);
    let one = words.is_empty() != numbers.is_empty();
    node.expect(one, "either cats_strings or cats_int64s")?;
    let count = words.len().max(numbers.len());
    let categories = if words.is_empty() {
        tensor1(&numbers)
    } else {
        tensor1(&words)
    };
    let keys = Keys::new(&categories)?;
    build(
        node,
        OneHot {
            keys,
            count,
            zeros: flag(node, "zeros", true)?,
        },
    )
}

/// Strings to integers or integers to strings, by the type of the input.
fn mapper(
    node: &NodeProto,
    name: &'static str,
    words: Vec<String>,
    numbers: Vec<i64>,
) -> TractResult<Mapper> {
    node.expect(words.len() == numbers.len(), "as many strings as integers")?;
    let (words, numbers) = (tensor1(&words), tensor1(&numbers));
    let to_numbers = Table::new(&words, numbers.clone(), tensor1(&[default_int(node)?]))?;
    let word = default_string(node, "_Unused")?;
    let to_words = Table::new(&numbers, words, tensor1(&[word]))?;
    Ok(Mapper {
        name,
        tables: vec![to_numbers, to_words],
    })
}

fn default_int(node: &NodeProto) -> TractResult<i64> {
    Ok(node.get_attr_opt("default_int64")?.unwrap_or(-1))
}

fn default_string(node: &NodeProto, otherwise: &str) -> TractResult<String> {
    Ok(node
        .get_attr_opt("default_string")?
        .unwrap_or_else(|| otherwise.to_owned()))
}

/// The one of the four attributes that is set, for keys or for values.
fn one_list(context: &ParsingContext<'_>, node: &NodeProto, prefix: &str) -> TractResult<Tensor> {
    if let Some(list) = attribute_tensor(context, node, &format!("{prefix}_tensor"))? {
        let len = list.len();
        return list.into_shape(&[len]);
    }
    let words = strings(node, &format!("{prefix}_strings"))?;
    let numbers = ints(node, &format!("{prefix}_int64s"))?;
    let reals = floats(node, &format!("{prefix}_floats"))?;
    match (words.is_empty(), numbers.is_empty(), reals.is_empty()) {
        (false, true, true) => Ok(tensor1(&words)),
        (true, false, true) => Ok(tensor1(&numbers)),
        (true, true, false) => Ok(tensor1(&reals)),
        _ => node.bail(&format!("expected one list of {prefix}")),
    }
}

/// Finds the place of a value in a list.
#[derive(Debug)]
enum Keys {
    Ints(HashMap<i64, usize>),
    Strings(HashMap<String, usize>),
    /// By the bits of the number as a double.
    Floats(HashMap<u64, usize>),
}

impl Keys {
    /// Of keys that are there twice, the first counts.
    fn new(keys: &Tensor) -> TractResult<Keys> {
        fn places<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
            let mut places = HashMap::new();
            keys.enumerate().for_each(|(at, key)| {
                places.entry(key).or_insert(at);
            });
            places
        }
        Ok(if keys.datum_type() == String::datum_type() {
            Keys::Strings(places(slice::<String>(keys)?.iter().cloned()))
        } else if keys.datum_type().is_float() {
            let keys = keys.cast_to::<f64>()?;
            Keys::Floats(places(slice::<f64>(&keys)?.iter().map(|key| bits(*key))))
        } else {
            let keys = keys.cast_to::<i64>()?;
            Keys::Ints(places(slice::<i64>(&keys)?.iter().copied()))
        })
    }

    fn forget_nan(&mut self) {
        if let Keys::Floats(places) = self {
            places.remove(&bits(f64::NAN));
        }
    }

    fn accepts(&self, kind: DatumType) -> bool {
        match self {
            Keys::Ints(_) => kind.is_integer(),
            Keys::Strings(_) => kind == String::datum_type(),
            Keys::Floats(_) => kind.is_float(),
        }
    }

    fn find(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        Ok(match self {
            Keys::Strings(keys) => slice::<String>(input)?
                .iter()
                .map(|key| keys.get(key).copied())
                .collect(),
            Keys::Floats(keys) => {
                let input = input.cast_to::<f64>()?;
                let input = slice::<f64>(&input)?.iter();
                input.map(|key| keys.get(&bits(*key)).copied()).collect()
            }
            Keys::Ints(keys) => {
                let input = input.cast_to::<i64>()?;
                slice::<i64>(&input)?
                    .iter()
                    .map(|key| keys.get(key).copied())
                    .collect()
            }
        })
    }
}

/// The same bits for all NaN, and for both zeros.
fn bits(number: f64) -> u64 {
    if number.is_nan() {
        f64::NAN.to_bits()
    } else {
        // Adding zero makes a positive zero of a negative one.
        (number + 0.0).to_bits()
    }
}

#[derive(Debug)]
struct Table {
    keys: Keys,
    values: Tensor,
    default: Tensor,
}

impl Table {
    fn new(keys: &Tensor, values: Tensor, default: Tensor) -> TractResult<Table> {
        let (key_count, count) = (keys.len(), values.len());
        ensure!(
            key_count == count,
            "there are {key_count} keys, but {count} values"
        );
        Ok(Table {
            keys: Keys::new(keys)?,
            values,
            default,
        })
    }

    fn chosen<T: Datum>(&self, found: &[Option<usize>], shape: &[usize]) -> TractResult<Tensor> {
        let (values, default) = (slice::<T>(&self.values)?, &slice::<T>(&self.default)?[0]);
        let choose = |place: &Option<usize>| place.map_or(default, |at| &values[at]).clone();
        tensor(shape, found.iter().map(choose).collect())
    }
}

#[derive(Debug)]
struct Mapper {
    name: &'static str,
    tables: Vec<Table>,
}

impl Mapper {
    fn table(&self, kind: DatumType) -> TractResult<&Table> {
        let fits = self.tables.iter().find(|table| table.keys.accepts(kind));
        fits.ok_or_else(|| format_err!("the input has the type {kind:?}, which no key has"))
    }
}

impl Kernel for Mapper {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let table = self.table(inputs[0].datum_type)?;
        Ok(vec![Form::new(
            table.values.datum_type(),
            inputs[0].shape.iter().cloned(),
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let table = self.table(inputs[0].datum_type())?;
        let found = table.keys.find(&inputs[0])?;
        let kind = table.values.datum_type();
        Ok(vec![dispatch_datum!(Table::chosen(kind)(
            table,
            &found,
            inputs[0].shape()
        ))?])
    }
}

#[derive(Debug)]
struct OneHot {
    keys: Keys,
    count: usize,
    /// Whether an unknown category has all zeros; otherwise it is an error.
    zeros: bool,
}

impl Kernel for OneHot {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let kind = inputs[0].datum_type;
        let fits = match self.keys {
            Keys::Strings(_) => kind == String::datum_type(),
            _ => kind.is_number(),
        };
        ensure!(
            fits,
            "the input has the type {kind:?}, which no category has"
        );
        let shape = inputs[0].shape.iter().cloned().chain([self.count.to_dim()]);
        Ok(vec![Form::new(f32::datum_type(), shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let found = self.keys.find(&inputs[0])?;
        let mut all = vec![0.0f32; found.len() * self.count];
        for (row, place) in found.iter().enumerate() {
            match place {
                Some(at) => all[row * self.count + at] = 1.0,
                None if self.zeros => {}
                None => bail!("a value is none of the {} categories", self.count),
            }
        }
        let mut shape = inputs[0].shape().to_vec();
        shape.push(self.count);
        Ok(vec![tensor(&shape, all)?])
    }
}
