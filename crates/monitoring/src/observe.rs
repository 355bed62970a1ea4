//! The observations in the bodies of a call: the values of each feature, and predictions.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::profile::Feature;

/// One observed value of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
    /// A value of another type, or a list where one value belongs.
    Other,
}

/// The `inputs` of a call: a batch of observations for each feature.
///
/// A model takes each feature as an input of its own, or all of them as the columns of one
/// matrix; a single value is a batch of one.
#[derive(Debug)]
pub(crate) struct Inputs(Map<String, Value>);

impl Inputs {
    /// Parses the body of a request; `None` if it has no `inputs`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            inputs: Map<String, Value>,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        Some(Inputs(body.inputs))
    }

    /// The observations of a feature. A feature that the call lacks is one missing value.
    pub(crate) fn column<'a>(&'a self, name: &str, column: usize) -> Column<'a> {
        match self.0.get(name) {
            Some(Value::Array(rows)) => Column::List(rows),
            Some(value) => Column::Single(Some(value)),
            None => match self.matrix() {
                Some(rows) => Column::OfMatrix(rows, column),
                None => Column::Single(None),
            },
        }
    }

    /// The only input, if it is a list of rows.
    fn matrix(&self) -> Option<&Vec<Value>> {
        let mut values = self.0.values();
        let rows = values.next()?.as_array()?;
        let is_matrix = values.next().is_none() && rows.first().is_some_and(Value::is_array);
        is_matrix.then_some(rows)
    }

    /// The feature's observations, in order.
    pub(crate) fn of(&self, feature: &Feature) -> Column<'_> {
        self.column(&feature.name, feature.column)
    }
}

/// The observations of one feature in one call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    Single(Option<&'a Value>),
    List(&'a [Value]),
    OfMatrix(&'a [Value], usize),
}

impl<'a> Column<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Single(_) => 1,
            Column::List(rows) | Column::OfMatrix(rows, _) => rows.len(),
        }
    }

    pub(crate) fn get(&self, row: usize) -> Cell<'a> {
        match self {
            Column::Single(value) => value.map_or(Cell::Missing, cell),
            // A column of a tensor: `[[1], [2]]`.
            Column::List(rows) => match rows.get(row) {
                Some(Value::Array(one)) if one.len() == 1 => cell(&one[0]),
                value => value.map_or(Cell::Missing, cell),
            },
            Column::OfMatrix(rows, column) => {
                let row = rows.get(row).and_then(Value::as_array);
                row.and_then(|row| row.get(*column))
                    .map_or(Cell::Missing, cell)
            }
        }
    }

    pub(crate) fn cells(self) -> impl Iterator<Item = Cell<'a>> {
        (0..self.len()).map(move |row| self.get(row))
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Missing,
        Value::Number(number) => number.as_f64().map_or(Cell::Other, Cell::Number),
        // JSON has no NaN: model servers take this mark for it.
        Value::String(text) if text == "NaN" => Cell::Missing,
        Value::String(text) => Cell::Text(text),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Cell::Other,
    }
}

/// Calls `each` with every prediction in a response: those of the output with this name, or of
/// the only one. A response with several other outputs is not guessed at.
pub(crate) fn predictions(body: &[u8], name: Option<&str>, mut each: impl FnMut(&Value)) {
    let Ok(response) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let output = match &response {
        Value::Object(outputs) => {
            let named = name.and_then(|name| outputs.get(name));
            let only = outputs.values().next().filter(|_| outputs.len() == 1);
            named.or(only)
        }
        other => Some(other),
    };
    if let Some(output) = output {
        flatten(output, &mut each);
    }
}

fn flatten(value: &Value, each: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, each)),
        value => each(value),
    }
}
