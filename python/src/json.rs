//! Converts between Python objects and JSON.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyNone, PyString, PyTuple};
use serde_json::{Map, Number, Value};

/// The same as the limit of serde_json's parser: deeper values could not be read back.
const MAX_DEPTH: usize = 127;

/// The fields that this version does not know, beside those that it does.
pub fn with(extra: Map<String, Value>, known: Value) -> Value {
    let mut fields = extra;
    if let Value::Object(known) = known {
        fields.extend(known);
    }
    Value::Object(fields)
}

/// Converts a Python object. Raises `TypeError` or `ValueError` with the path of the part that is
/// not JSON.
pub fn from_py(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, &mut Vec::new())
}

/// Converts to `None`, `bool`, `int`, `float`, `str`, `list` and `dict`.
pub fn to_py<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_py(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, value) in fields {
                dict.set_item(name, to_py(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

fn read(object: &Bound<'_, PyAny>, path: &mut Vec<String>) -> PyResult<Value> {
    if path.len() > MAX_DEPTH {
        let text = format!("nested deeper than {MAX_DEPTH} levels; does it contain itself?");
        return Err(PyValueError::new_err(text));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        return Ok(flag.is_true().into());
    }
    if let Ok(text) = object.cast::<PyString>() {
        // Fails for lone surrogates, which JSON in UTF-8 cannot contain.
        return Ok(text.to_str().map_err(|_| not_utf8(path))?.into());
    }
    if object.is_instance_of::<PyInt>() {
        let signed = object.extract::<i64>().map(Value::from);
        let number = signed.or_else(|_| object.extract::<u64>().map(Value::from));
        return number.map_err(|_| {
            PyValueError::new_err(format!("{}an integer of more than 64 bits", at(path)))
        });
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        let number = Number::from_f64(float.value()).map(Value::Number);
        return number.ok_or_else(|| {
            PyValueError::new_err(format!("{}{} is not JSON", at(path), float.value()))
        });
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut fields = Map::new();
        for (name, value) in dict {
            insert(&mut fields, &name, &value, path)?;
        }
        return Ok(Value::Object(fields));
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let mut items = Vec::new();
        for (n, item) in object.try_iter()?.enumerate() {
            path.push(format!("[{n}]"));
            items.push(read(&item?, path)?);
            path.pop();
        }
        return Ok(Value::Array(items));
    }
    if let Ok(mapping) = object.cast::<PyMapping>() {
        let mut fields = Map::new();
        for pair in mapping.items()?.iter() {
            let (name, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            insert(&mut fields, &name, &value, path)?;
        }
        return Ok(Value::Object(fields));
    }
    let kind = object.get_type();
    let text = format!("{}{} is not JSON", at(path), kind.name()?);
    Err(PyTypeError::new_err(text))
}

fn insert(
    fields: &mut Map<String, Value>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    path: &mut Vec<String>,
) -> PyResult<()> {
    let Ok(text) = name.cast::<PyString>() else {
        let kind = name.get_type();
        let text = format!("{}a key is {}, expected str", at(path), kind.name()?);
        return Err(PyTypeError::new_err(text));
    };
    let text = text.to_str().map_err(|_| not_utf8(path))?;
    path.push(format!(".{text}"));
    let value = read(value, path)?;
    path.pop();
    fields.insert(text.to_owned(), value);
    Ok(())
}

fn not_utf8(path: &[String]) -> PyErr {
    PyValueError::new_err(format!("{}text with a lone surrogate", at(path)))
}

fn at(path: &[String]) -> String {
    let text: String = path.concat().chars().take(200).collect();
    match text.strip_prefix('.').unwrap_or(&text) {
        "" => String::new(),
        text => format!("{text}: "),
    }
}
