//! The error responses of the platform.

use serde_json::{Map, Value, json};

use satellite_serve::Response;

pub(super) const TASK_STATUSES: &[&str] = &["pending", "running", "done", "failed"];
pub(super) const DEPLOYMENT_STATUSES: &[&str] = &[
    "pending",
    "active",
    "failed",
    "deletion_pending",
    "deletion_failed",
    "not_responding",
];

/// `{"detail": "…"}`
pub(super) fn detail(status: u16, detail: &str) -> Response {
    Response::json(status, json!({ "detail": detail }).to_string())
}

pub(super) fn internal() -> Response {
    Response::text(500, "Internal Server Error")
}

/// A 422 with the list of validation errors.
pub(super) fn invalid(kind: &str, place: Value, message: &str, input: &Value) -> Response {
    let error = json!({ "type": kind, "loc": place, "msg": message, "input": input });
    Response::json(422, json!({ "detail": [error] }).to_string())
}

/// Parses a request body as a JSON object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Response> {
    if body.is_empty() {
        return Err(invalid(
            "missing",
            json!(["body"]),
            "Field required",
            &Value::Null,
        ));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(invalid(
            "model_attributes_type",
            json!(["body"]),
            "Input should be a valid dictionary or object to extract fields from",
            &other,
        )),
        // The real platform parses it and then fails to store it.
        Err(error) if error.to_string().contains("recursion limit") => Err(internal()),
        Err(error) => {
            let place = json!(["body", error.column()]);
            Err(invalid(
                "json_invalid",
                place,
                "JSON decode error",
                &json!({}),
            ))
        }
    }
}

pub(super) fn required<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
) -> Result<&'a Value, Response> {
    let input = || Value::Object(fields.clone());
    fields
        .get(name)
        .ok_or_else(|| invalid("missing", json!(["body", name]), "Field required", &input()))
}

/// An optional field; unless it is null, it must satisfy `is_valid`.
pub(super) fn optional(
    fields: &Map<String, Value>,
    name: &str,
    kind: &str,
    is_valid: impl Fn(&Value) -> bool,
) -> Result<Value, Response> {
    let value = fields.get(name).cloned().unwrap_or_default();
    if value.is_null() || is_valid(&value) {
        return Ok(value);
    }
    let message = format!("Input should be a valid {kind}");
    Err(invalid(
        &format!("{kind}_type"),
        json!(["body", name]),
        &message,
        &value,
    ))
}

pub(super) fn one_of(value: &Value, allowed: &[&str], place: Value) -> Result<String, Response> {
    if let Some(value) = value.as_str().filter(|value| allowed.contains(value)) {
        return Ok(value.into());
    }
    let quoted: Vec<String> = allowed.iter().map(|value| format!("'{value}'")).collect();
    let message = match quoted.split_last() {
        Some((last, rest)) => format!("Input should be {} or {last}", rest.join(", ")),
        None => String::new(),
    };
    Err(invalid("enum", place, &message, value))
}

pub(super) fn http_url(value: &Value) -> Result<(), Response> {
    let place = json!(["body", "base_url"]);
    let Some(url) = value.as_str() else {
        return Err(invalid(
            "url_type",
            place,
            "URL input should be a string or URL",
            value,
        ));
    };
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let message = match host {
        None if url.contains("://") => "URL scheme should be 'http' or 'https'",
        None => "Input should be a valid URL, relative URL without a base",
        Some("") => "Input should be a valid URL, empty host",
        Some(host) if host.starts_with('/') || host.contains(char::is_whitespace) => {
            "Input should be a valid URL, invalid domain character"
        }
        Some(_) => return Ok(()),
    };
    Err(invalid("url_parsing", place, message, value))
}

/// The response for an unknown id: 422 if it is not a uuid, otherwise 404.
pub(super) fn unknown(id: &str, name: &str, what: &str) -> Response {
    if is_uuid(id) {
        return detail(404, &format!("{what} not found"));
    }
    let message = "Input should be a valid UUID, invalid character";
    invalid("uuid_parsing", json!(["path", name]), message, &json!(id))
}

fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a value contains NUL characters, which the database rejects.
pub(super) fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}
