//! The patches of a manifest: RFC 6902 with `add` and `replace` only.

use serde::Deserialize;
use serde_json::Value;

/// One operation of a patch.
#[derive(Debug, Deserialize)]
pub struct Operation {
    op: String,
    path: String,
    /// Absent is an error, null is not.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Applies one operation.
///
/// # Errors
/// Says which path cannot be followed, and why.
pub fn apply(document: &mut Value, operation: Operation) -> Result<(), String> {
    let Operation { op, path, value } = operation;
    let explain = |why: String| format!("{op} {path}: {why}");
    let value = value.ok_or_else(|| explain("has no value".into()))?;
    let is_add = match op.as_str() {
        "add" => true,
        "replace" => false,
        _ => return Err(explain("only add and replace are allowed".into())),
    };
    let tokens = tokens(&path).map_err(explain)?;
    let Some((last, parents)) = tokens.split_last() else {
        return Err(explain("the document itself cannot be replaced".into()));
    };
    let mut parent = document;
    for token in parents {
        parent = match parent {
            Value::Array(items) => {
                let at = index(token, items.len()).map_err(explain)?;
                items.get_mut(at)
            }
            Value::Object(map) => map.get_mut(token),
            _ => None,
        }
        .ok_or_else(|| explain(format!("{token:?} does not exist")))?;
    }
    match parent {
        Value::Array(items) if is_add && last == "-" => items.push(value),
        Value::Array(items) if is_add => {
            let at = index(last, items.len() + 1).map_err(explain)?;
            items.insert(at, value);
        }
        Value::Array(items) => {
            let at = index(last, items.len()).map_err(explain)?;
            items[at] = value;
        }
        Value::Object(map) if is_add || map.contains_key(last) => {
            map.insert(last.clone(), value);
        }
        _ => return Err(explain(format!("{last:?} does not exist"))),
    }
    Ok(())
}

/// The parts of a JSON pointer. As in the format's own package, empty parts are left out.
fn tokens(path: &str) -> Result<Vec<String>, String> {
    if !path.starts_with('/') {
        return Err("the path does not start with /".into());
    }
    let parts = path.split('/').filter(|part| !part.is_empty());
    Ok(parts
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect())
}

fn index(token: &str, length: usize) -> Result<usize, String> {
    let at: usize = token
        .parse()
        .map_err(|_| format!("{token:?} is not an index"))?;
    if at >= length {
        return Err(format!("the index {at} is out of range"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn patched(mut document: Value, patch: Value) -> Result<Value, String> {
        let patch: Vec<Operation> = serde_json::from_value(patch).map_err(|e| e.to_string())?;
        for operation in patch {
            apply(&mut document, operation)?;
        }
        Ok(document)
    }

    #[test]
    fn members_and_items_are_added_and_replaced() {
        let document = json!({ "a": [1, { "b/c~": 2 }], "d": 3 });
        let patch = json!([
            { "op": "add", "path": "/a/-", "value": 4 },
            { "op": "add", "path": "/a/0", "value": 0 },
            { "op": "replace", "path": "/a/2/b~1c~0", "value": null },
            { "op": "replace", "path": "/d", "value": "x" },
            { "op": "add", "path": "/e", "value": {} },
        ]);
        assert_eq!(
            patched(document, patch).unwrap(),
            json!({ "a": [0, 1, { "b/c~": null }, 4], "d": "x", "e": {} })
        );
    }

    #[test]
    fn an_operation_that_does_not_fit_is_an_error() {
        for patch in [
            json!({ "op": "remove", "path": "/d" }),
            json!({ "op": "remove", "path": "/d", "value": 1 }),
            json!({ "op": "replace", "path": "/x", "value": 1 }),
            json!({ "op": "replace", "path": "/a/1", "value": 1 }),
            json!({ "op": "add", "path": "/a/2", "value": 1 }),
            json!({ "op": "add", "path": "/a/-1", "value": 1 }),
            json!({ "op": "add", "path": "/d/e", "value": 1 }),
            json!({ "op": "add", "path": "", "value": 1 }),
            json!({ "op": "add", "path": "a", "value": 1 }),
            json!({ "op": "add", "path": "/", "value": 1 }),
        ] {
            let document = json!({ "a": [1], "d": 3 });
            let error = patched(document, json!([patch])).unwrap_err();
            assert!(!error.is_empty(), "{patch}");
        }
    }
}
