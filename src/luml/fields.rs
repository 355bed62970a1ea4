//! The fields of a JSON object from the platform, taken out one by one.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::{Map, Value};

/// The fields that are left. What remains after the known ones is kept as `extra`: the same as
/// `#[serde(flatten)]`, which would buffer every field in a type of its own and cost 8 kB.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Map::deserialize(from).map(Fields)
    }

    /// A field that must be there.
    pub(super) fn required<T: DeserializeOwned, E: Error>(
        &mut self,
        name: &'static str,
    ) -> Result<T, E> {
        let value = self.0.remove(name).ok_or_else(|| E::missing_field(name))?;
        parse(name, value)
    }

    /// A field whose absence or null is its default.
    pub(super) fn optional<T: DeserializeOwned + Default, E: Error>(
        &mut self,
        name: &'static str,
    ) -> Result<T, E> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => parse(name, value),
        }
    }

    /// The unknown fields.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

fn parse<T: DeserializeOwned, E: Error>(name: &str, value: Value) -> Result<T, E> {
    T::deserialize(value).map_err(|error| E::custom(format_args!("field `{name}`: {error}")))
}
