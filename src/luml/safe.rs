//! Results made safe for the platform, which answers 500 to NUL characters and
//! very deep JSON, and echoes whatever it took in every later list.

use serde_json::{Map, Value, json};

/// A result larger than this, as JSON, is cut.
const MAX_BYTES: usize = 256 * 1024;

/// Of a result that is cut, this much of its text is kept.
const KEPT_BYTES: usize = 4 * 1024;

/// Deeper than this nothing is kept.
const MAX_DEPTH: usize = 32;

/// What a handler returned as the object that the platform takes. Nothing
/// stays nothing; what is no object is put under `result`.
pub(crate) fn as_result(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(_) => Some(bounded(value)),
        other => Some(bounded(json!({ "result": other }))),
    }
}

/// A failure as the platform's pages show it.
pub(crate) fn failure_result(reason: &str, error: &str) -> Value {
    bounded(json!({ "reason": head(reason), "error": head(error) }))
}

fn bounded(value: Value) -> Value {
    let value = clean(value, 0);
    let text = value.to_string();
    if text.len() <= MAX_BYTES {
        return value;
    }
    json!({
        "truncated": true,
        "bytes": text.len(),
        "head": head(&text),
    })
}

fn clean(value: Value, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => {
            Value::String("… (too deep)".into())
        }
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => items.into_iter().map(|v| clean(v, depth + 1)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, v)| (without_nul(key), clean(v, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        plain => plain,
    }
}

fn without_nul(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', ""),
        false => text,
    }
}

fn head(text: &str) -> String {
    if text.len() <= KEPT_BYTES {
        return text.to_owned();
    }
    let mut end = KEPT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            Just(Value::from("a\0b")),
        ];
        leaf.prop_recursive(60, 200, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,8}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_result_is_made_digestible(value in any_json()) {
            if let Some(safe) = as_result(value) {
                prop_assert!(safe.is_object());
                prop_assert!(depth(&safe) <= MAX_DEPTH);
                let text = safe.to_string();
                prop_assert!(!text.contains("\\u0000") && text.len() <= MAX_BYTES);
            }
        }
    }

    #[test]
    fn a_result_that_is_too_large_says_so_and_keeps_its_head() {
        let safe = as_result(json!({ "log": "ä".repeat(10 << 20) })).unwrap();
        assert_eq!(safe["truncated"], true);
        assert!(safe["bytes"].as_u64().unwrap() > 10 << 20);
        assert!(safe["head"].as_str().unwrap().starts_with(r#"{"log":"ä"#));
        assert!(safe.to_string().len() < 2 * KEPT_BYTES);
    }

    #[test]
    fn an_ordinary_result_is_left_as_it_is() {
        let value = json!({ "a": [1, 2.5, null, "ü"], "b": { "c": true } });
        assert_eq!(as_result(value.clone()), Some(value));
        assert_eq!(as_result(json!(7)), Some(json!({ "result": 7 })));
        assert_eq!(as_result(Value::Null), None);
    }
}
