//! The `deploy` capability of a satellite: which models it can serve, and the fields of
//! its form on the platform's web page.

use serde::Serialize;
use serde_json::{Value, json};

/// The capability `deploy`, for [`Builder::capability`](crate::Builder::capability)
/// and [`Registration::capability`](super::Registration::capability).
///
/// The platform's web page offers a satellite for a model if the satellite is registered,
/// has sent a request within the last 20 minutes, and its `deploy` capability contains
/// the model's variant.
///
/// ```
/// use satellite_sdk::{Builder, DeployCapability, FormField};
///
/// let deploy = DeployCapability::new(["pyfunc", "pipeline"])
///     .field(FormField::boolean("use_gpu"))
///     .field(FormField::number("gpu_count").min(1).max(8).shown_if("use_gpu", true));
/// Builder::new()
///     .base_url("http://edge-7.example:8000")
///     .capability("deploy", deploy);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeployCapability {
    version: u32,
    supported_variants: Vec<String>,
    /// `null` allows any tags.
    supported_tags_combinations: Option<Vec<Vec<String>>>,
    extra_fields_form_spec: Vec<FormField>,
}

impl DeployCapability {
    /// Serves models with these variants, the `variant` in a model's manifest: currently
    /// `pyfunc` and `pipeline`. Without a variant the platform's page offers the satellite
    /// for no model.
    pub fn new<T: Into<String>>(variants: impl IntoIterator<Item = T>) -> Self {
        DeployCapability {
            version: 1,
            supported_variants: variants.into_iter().map(Into::into).collect(),
            supported_tags_combinations: None,
            extra_fields_form_spec: Vec::new(),
        }
    }

    /// Adds a combination of producer tags: the satellite serves models that have all tags
    /// of one combination. Without a combination the tags do not matter.
    ///
    /// ```
    /// use satellite_sdk::DeployCapability;
    ///
    /// DeployCapability::new(["pipeline"]).tags(["luml.ai::sklearn:v1", "luml.ai::tabular:v1"]);
    /// ```
    pub fn tags<T: Into<String>>(mut self, combination: impl IntoIterator<Item = T>) -> Self {
        let combination = combination.into_iter().map(Into::into).collect();
        self.supported_tags_combinations
            .get_or_insert_default()
            .push(combination);
        self
    }

    /// Adds a field to the form for a new deployment. The user's input is stored in the
    /// deployment's `satellite_parameters` under the field's name.
    pub fn field(mut self, field: FormField) -> Self {
        self.extra_fields_form_spec.push(field);
        self
    }
}

impl From<DeployCapability> for Value {
    fn from(capability: DeployCapability) -> Self {
        // Contains only text, numbers and lists, so it always serializes.
        serde_json::to_value(capability).unwrap_or_default()
    }
}

/// A field of the platform's form for a new deployment. An empty field is not sent.
///
/// ```
/// use satellite_sdk::FormField;
///
/// FormField::text("memory_limit").regex("^[0-9]+[mg]$", "such as 512m or 2g");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormField {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    values: Option<Vec<Choice>>,
    required: bool,
    validators: Vec<Value>,
    conditions: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Choice {
    label: String,
    value: String,
}

impl FormField {
    /// A checkbox.
    pub fn boolean(name: impl Into<String>) -> Self {
        FormField::new(name, "boolean")
    }

    /// An integer: neither the page nor the platform accepts fractions.
    pub fn number(name: impl Into<String>) -> Self {
        FormField::new(name, "number")
    }

    /// A text. Input that looks like a number may arrive as a number.
    pub fn text(name: impl Into<String>) -> Self {
        FormField::new(name, "text")
    }

    /// A choice of one of these values.
    pub fn dropdown<T: Into<String>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let choice = |value: T| {
            let value = value.into();
            Choice {
                label: value.clone(),
                value,
            }
        };
        let mut field = FormField::new(name, "dropdown");
        field.values = Some(values.into_iter().map(choice).collect());
        field
    }

    /// Makes the field mandatory.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets the smallest number that the page accepts.
    pub fn min(mut self, least: i64) -> Self {
        self.validators
            .push(json!({ "type": "min", "value": least }));
        self
    }

    /// Sets the largest number that the page accepts.
    pub fn max(mut self, most: i64) -> Self {
        self.validators
            .push(json!({ "type": "max", "value": most }));
        self
    }

    /// Sets a JavaScript regular expression that the text must match, and the page's
    /// error message.
    pub fn regex(mut self, pattern: &str, message: &str) -> Self {
        let validator = json!({ "type": "regex", "value": pattern, "message": message });
        self.validators.push(validator);
        self
    }

    /// Shows the field only while another field has this value.
    pub fn shown_if(mut self, field: &str, value: impl Into<Value>) -> Self {
        let body = json!({ "field": field, "operator": "equal", "value": value.into() });
        self.conditions
            .push(json!({ "type": "field", "body": body }));
        self
    }

    /// The name of the value in `satellite_parameters`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new(name: impl Into<String>, kind: &'static str) -> Self {
        FormField {
            name: name.into(),
            kind,
            values: None,
            required: false,
            validators: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// Whether the platform's page can offer a satellite with this `deploy` capability
/// for any model.
pub(crate) fn is_choosable(deploy: &Value) -> bool {
    let variants = deploy["supported_variants"].as_array();
    variants.is_some_and(|variants| !variants.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_has_the_json_format_of_the_platform() {
        let capability = DeployCapability::new(["pipeline"])
            .tags(["a", "b"])
            .field(FormField::dropdown("size", ["s", "m"]).required())
            .field(
                FormField::number("count")
                    .min(1)
                    .max(8)
                    .shown_if("gpu", true),
            )
            .field(FormField::text("limit").regex("^a$", "an a"));
        let field = |name: &str, kind: &str| json!({ "name": name, "type": kind, "values": null, "required": false, "validators": [], "conditions": [] });
        let with = |mut field: Value, name: &str, value: Value| {
            field[name] = value;
            field
        };
        let size = with(
            field("size", "dropdown"),
            "values",
            json!([{ "label": "s", "value": "s" }, { "label": "m", "value": "m" }]),
        );
        let count = with(
            field("count", "number"),
            "validators",
            json!([{ "type": "min", "value": 1 }, { "type": "max", "value": 8 }]),
        );
        let shown = json!({ "field": "gpu", "operator": "equal", "value": true });
        let limit = json!([{ "type": "regex", "value": "^a$", "message": "an a" }]);
        let expected = json!({
            "version": 1,
            "supported_variants": ["pipeline"],
            "supported_tags_combinations": [["a", "b"]],
            "extra_fields_form_spec": [
                with(size, "required", json!(true)),
                with(count, "conditions", json!([{ "type": "field", "body": shown }])),
                with(field("limit", "text"), "validators", limit),
            ],
        });
        assert_eq!(Value::from(capability), expected);
        assert!(is_choosable(&expected));
        let any = Value::from(DeployCapability::new::<&str>([]));
        assert_eq!(any["supported_tags_combinations"], Value::Null);
        assert!(!is_choosable(&any) && !is_choosable(&json!({})));
    }
}
