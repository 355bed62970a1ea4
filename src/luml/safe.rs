//! Sanitizes results for the platform, which responds with 500 to NUL characters and
//! to very deep JSON, and returns each stored result in every later list.

use serde_json::{Map, Value, json};

/// A result whose JSON is larger than this is truncated.
const MAX_BYTES: usize = 256 * 1024;

/// Values nested deeper than this are dropped.
const MAX_DEPTH: usize = 32;

/// The size limit for the reason of a truncated failure; the error gets the rest.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// Converts the value that a handler returned into the object that the platform
/// expects. Null becomes `None`; a value that is not an object is put under `result`.
/// If the result is truncated, the log names the task.
pub(crate) fn as_result(task_id: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(_) => Some(limited(task_id, value, cut)),
        other => Some(limited(task_id, json!({ "result": other }), cut)),
    }
}

/// A failure in the format of the platform's pages. If truncated, it keeps both fields.
pub(crate) fn failure_result(task_id: &str, reason: &str, error: &str) -> Value {
    let whole = json!({ "reason": reason, "error": error });
    limited(task_id, whole, cut_failure)
}

fn limited(task_id: &str, value: Value, cut: fn(&Value, &str, usize) -> Value) -> Value {
    let (value, is_too_deep) = clean(value);
    if is_too_deep {
        log::warn!(
            "task {task_id}: its result is nested deeper than {MAX_DEPTH} levels and was truncated"
        );
    }
    let text = value.to_string();
    if text.len() <= MAX_BYTES {
        return value;
    }
    let bytes = text.len();
    log::warn!("task {task_id}: its result of {bytes} bytes exceeds {MAX_BYTES} and was truncated");
    cut(&value, &text, MAX_BYTES)
}

/// The beginning of `text`, which is `value` as JSON, in an object of at most `max` bytes.
fn cut(_: &Value, text: &str, max: usize) -> Value {
    let mut cut = json!({ "truncated": true, "bytes": text.len(), "head": "" });
    let room = max.saturating_sub(cut.to_string().len());
    cut["head"] = head(text, room).into();
    cut
}

/// A failure whose JSON, `text`, is too long, in at most `max` bytes.
fn cut_failure(failure: &Value, text: &str, max: usize) -> Value {
    let field = |name: &str| failure[name].as_str().unwrap_or_default();
    let reason = head(field("reason"), MAX_REASON_BYTES.min(max / 4));
    let mut cut = json!({ "truncated": true, "bytes": text.len(), "reason": reason, "error": "" });
    let room = max.saturating_sub(cut.to_string().len());
    cut["error"] = head(field("error"), room).into();
    cut
}

/// The longest prefix of `text` that takes at most `room` bytes in a JSON string.
fn head(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        taken += match c {
            '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
            '\0'..='\u{1f}' => 6,
            c => c.len_utf8(),
        };
        (taken > room).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

/// Removes NUL characters and values that are nested too deep; returns whether any were.
fn clean(value: Value) -> (Value, bool) {
    let mut is_too_deep = false;
    let value = clean_below(value, 0, &mut is_too_deep);
    (value, is_too_deep)
}

fn clean_below(value: Value, depth: usize, is_too_deep: &mut bool) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => {
            *is_too_deep = true;
            Value::String("… (too deep)".into())
        }
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => items
            .into_iter()
            .map(|v| clean_below(v, depth + 1, is_too_deep))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, v)| (without_nul(key), clean_below(v, depth + 1, is_too_deep)))
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

    /// The length of its JSON.
    fn length(value: &Value) -> usize {
        serde_json::to_vec(value).unwrap().len()
    }

    proptest! {
        #[test]
        fn any_result_is_sanitized(value in any_json()) {
            if let Some(safe) = as_result("t", value) {
                prop_assert!(safe.is_object());
                prop_assert!(depth(&safe) <= MAX_DEPTH);
                let text = safe.to_string();
                prop_assert!(!text.contains("\\u0000") && text.len() <= MAX_BYTES);
            }
        }

        #[test]
        fn a_truncated_result_is_marked_and_uses_the_available_space(value in any_json(), max in 120usize..2_000) {
            let text = clean(value).0.to_string();
            let cut = cut(&Value::Null, &text, max);
            prop_assert!(length(&cut) <= max);
            prop_assert_eq!(&cut["truncated"], &json!(true));
            prop_assert_eq!(&cut["bytes"], &json!(text.len()));
            let head = cut["head"].as_str().unwrap();
            prop_assert!(text.starts_with(head));
            // The next character would not fit.
            prop_assert!(head == text || length(&cut) > max - 6);
        }

        #[test]
        fn a_truncated_failure_keeps_its_fields(
            reason in ".{0,300}",
            error in "[\\PC\\x00-\\x1f\"\\\\]{200,900}",
            max in 200usize..600,
        ) {
            let (whole, _) = clean(json!({ "reason": reason, "error": error }));
            let text = whole.to_string();
            let cut = cut_failure(&whole, &text, max);
            prop_assert!(length(&cut) <= max);
            prop_assert_eq!(&cut["bytes"], &json!(text.len()));
            for field in ["reason", "error"] {
                let of = whole[field].as_str().unwrap();
                prop_assert!(of.starts_with(cut[field].as_str().unwrap()));
            }
        }
    }

    #[test]
    fn a_result_is_truncated_at_exactly_256_kib() {
        let around = json!({ "log": "" }).to_string().len();
        let of_bytes = |n: usize| json!({ "log": "x".repeat(n - around) });
        let fits = of_bytes(256 * 1024);
        assert_eq!(as_result("t", fits.clone()), Some(fits));
        let cut = as_result("t", of_bytes(256 * 1024 + 1)).unwrap();
        assert_eq!(cut["truncated"], true);
        assert_eq!(cut["bytes"], 256 * 1024 + 1);
        assert_eq!(length(&cut), 256 * 1024);
    }

    #[test]
    fn a_result_that_is_too_large_is_marked_and_keeps_its_beginning() {
        let safe = as_result("t", json!({ "log": "ä".repeat(10 << 20) })).unwrap();
        assert!(safe["bytes"].as_u64().unwrap() > 10 << 20);
        assert!(safe["head"].as_str().unwrap().starts_with(r#"{"log":"ä"#));
        assert!((MAX_BYTES - 6..=MAX_BYTES).contains(&length(&safe)));
    }

    #[test]
    fn an_ordinary_result_is_unchanged() {
        let value = json!({ "a": [1, 2.5, null, "ü"], "b": { "c": true } });
        assert_eq!(as_result("t", value.clone()), Some(value));
        assert_eq!(as_result("t", json!(7)), Some(json!({ "result": 7 })));
        assert_eq!(as_result("t", Value::Null), None);
    }
}
