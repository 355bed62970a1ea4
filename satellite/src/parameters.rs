//! `satellite_parameters`: the resources and options that a deployment requests, validated.
//! [`TABLE`] is the single list of them: the form on the platform's page, the parser and
//! the table in the README are derived from it.

use std::time::Duration;

use satellite_sdk::{Deployment, Failure, FormField};
use serde_json::Value;

use crate::settings::Settings;
use crate::variants::is_image;

/// One of the `satellite_parameters` that this satellite supports.
pub struct Parameter {
    pub name: &'static str,
    /// The expected value, for the README and for error messages.
    pub expected: &'static str,
    /// Whether only a container engine supports it.
    is_for_containers: bool,
    /// Its field in the platform's form; `None` if the settings do not allow it.
    field: fn(&'static str, &Settings) -> Option<FormField>,
    /// Parses a value; `None` if it is invalid.
    parse: fn(&mut Parameters, &Value, &Settings) -> Option<()>,
}

/// All parameters that this satellite supports. Others are ignored: they are the model's.
pub const TABLE: [Parameter; 8] = [
    Parameter {
        name: "health_check_timeout",
        expected: "seconds until the model must answer, 1 to 86400; `LUML_HEALTH_CHECK_TIMEOUT_SEC` by default",
        is_for_containers: false,
        field: |name, _| Some(FormField::number(name).min(1).max(86_400)),
        parse: |parameters, value, _| {
            let seconds = number(value).filter(|s| (1.0..=86_400.0).contains(s))?;
            parameters.health_check_timeout = Duration::from_secs_f64(seconds);
            Some(())
        },
    },
    Parameter {
        name: "memory_limit",
        expected: "bytes, or a size such as `512m` or `2g`",
        is_for_containers: false,
        field: |name, _| {
            let pattern = "^[0-9]{1,15}[bkmgBKMG]{0,2}$";
            Some(FormField::text(name).regex(pattern, "bytes, or a size such as 512m or 2g"))
        },
        parse: |parameters, value, _| {
            let limit = text(value);
            parameters.memory_limit = Some(is_memory(&limit).then_some(limit)?);
            Some(())
        },
    },
    Parameter {
        name: "cpu_limit",
        expected: "processors, such as `2`, `1.5`, or `500m` for half of one",
        is_for_containers: false,
        // No fractions: the page sends 1.5 as a number, and the platform accepts integers.
        field: |name, _| {
            let pattern = "^([1-9][0-9]{0,2}|[1-9][0-9]{0,5}m)$";
            let message = "processors, such as 2, or 500m for half of one";
            Some(FormField::text(name).regex(pattern, message))
        },
        parse: |parameters, value, _| {
            let cpus = processors(value).filter(|cpus| *cpus > 0.0 && *cpus <= 1024.0)?;
            parameters.cpu_limit = Some(cpus.to_string());
            Some(())
        },
    },
    Parameter {
        name: "use_gpu",
        expected: "`true` for all GPUs, unless `gpu_count` is given, or `false`",
        is_for_containers: true,
        field: |name, _| Some(FormField::boolean(name)),
        parse: |parameters, value, _| {
            parameters.use_gpu = Some(flag(value)?);
            Some(())
        },
    },
    Parameter {
        name: "gpu_count",
        expected: "a number of GPUs, 0 to 64",
        is_for_containers: true,
        field: |name, _| {
            let count = FormField::number(name).min(1).max(64);
            Some(count.shown_if("use_gpu", true))
        },
        parse: |parameters, value, _| {
            let count = number(value).filter(|n| n.fract() == 0.0 && (0.0..=64.0).contains(n))?;
            parameters.gpu_count = Some(count as u32);
            Some(())
        },
    },
    Parameter {
        name: "restart_policy",
        expected: "`no`, `always`, `unless-stopped`, or `on-failure[:times]`; `on-failure:3` by default",
        is_for_containers: false,
        field: |name, _| {
            let policies = ["on-failure:3", "no", "always", "unless-stopped"];
            Some(FormField::dropdown(name, policies))
        },
        parse: |parameters, value, _| {
            let policy = text(value);
            parameters.restart_policy = is_restart_policy(&policy).then_some(policy)?;
            Some(())
        },
    },
    Parameter {
        name: MONITORING,
        expected: "`true` or `false`: whether predictions are monitored; not without `LUML_MONITORING_ENABLED`",
        is_for_containers: false,
        field: |name, settings| {
            settings
                .monitoring
                .is_enabled()
                .then(|| FormField::boolean(name))
        },
        parse: |_, value, _| flag(value).map(drop),
    },
    Parameter {
        name: "image",
        expected: "one that `LUML_ALLOWED_IMAGES` lists, in place of the variant's",
        is_for_containers: true,
        field: |name, settings| {
            let is_open = !settings.allowed_images.is_empty();
            is_open.then(|| FormField::text(name))
        },
        parse: |parameters, value, settings| {
            let image = text(value);
            let is_allowed = is_image(&image) && settings.allows_image(&image);
            parameters.image = Some(is_allowed.then_some(image)?);
            Some(())
        },
    },
];

const MONITORING: &str = "monitoring_enabled";

/// Whether the deployment asks for its predictions to be monitored.
#[cfg(feature = "monitoring")]
pub fn is_monitored(deployment: &Deployment) -> bool {
    let value = deployment.satellite_parameters.get(MONITORING);
    value.and_then(flag).unwrap_or(false)
}

impl Parameter {
    /// Its field in the platform's form for a new deployment.
    pub fn field(&self, settings: &Settings) -> Option<FormField> {
        let is_supported = !(self.is_for_containers && settings.engine.is_process());
        is_supported.then(|| (self.field)(self.name, settings))?
    }
}

/// A deployment's parameters, validated for use as arguments of the engine's program.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// In place of the image of the artifact's variant.
    pub image: Option<String>,
    pub health_check_timeout: Duration,
    /// Bytes, or a number with a suffix, as the engine expects it.
    pub memory_limit: Option<String>,
    pub cpu_limit: Option<String>,
    use_gpu: Option<bool>,
    gpu_count: Option<u32>,
    pub restart_policy: String,
}

impl Parameters {
    /// Parses and validates all supported parameters.
    pub fn of(deployment: &Deployment, settings: &Settings) -> Result<Self, Failure> {
        let mut parameters = Parameters {
            image: None,
            health_check_timeout: settings.health_check_timeout,
            memory_limit: None,
            cpu_limit: None,
            use_gpu: None,
            gpu_count: None,
            restart_policy: "on-failure:3".to_owned(),
        };
        for parameter in &TABLE {
            let value = deployment.satellite_parameters.get(parameter.name);
            let given = value.filter(|v| !v.is_null() && v.as_str() != Some(""));
            if let Some(value) = given {
                (parameter.parse)(&mut parameters, value, settings)
                    .ok_or_else(|| invalid(parameter, value))?;
            }
        }
        if settings.engine.is_process()
            && (parameters.gpus().is_some() || parameters.image.is_some())
        {
            let text = "satellite_parameters: a GPU or an image needs a container engine, and \
                        this satellite runs with LUML_ENGINE=process";
            return Err(Failure::new("Failed to deploy model", text));
        }
        Ok(parameters)
    }

    /// The value of `--gpus`.
    pub fn gpus(&self) -> Option<String> {
        match (self.use_gpu, self.gpu_count) {
            (Some(false), _) | (None, None) | (_, Some(0)) => None,
            (Some(true), None) => Some("all".to_owned()),
            (_, Some(count)) => Some(count.to_string()),
        }
    }
}

fn invalid(parameter: &Parameter, found: &Value) -> Failure {
    let Parameter { name, expected, .. } = parameter;
    let found = text(found);
    Failure::new(
        "Failed to deploy model",
        format_args!("satellite_parameters.{name} is {found:?}; expected {expected}"),
    )
}

fn flag(value: &Value) -> Option<bool> {
    match text(value).as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The platform's form may send a number as text.
fn number(value: &Value) -> Option<f64> {
    // By the parser of JSON: that of the standard library would add 14 kB of tables.
    value
        .as_f64()
        .or_else(|| serde_json::from_str(value.as_str()?).ok())
}

/// `1.5`, or `1500m`.
fn processors(value: &Value) -> Option<f64> {
    let thousandths = value.as_str().and_then(|text| text.strip_suffix('m'));
    match thousandths {
        Some(digits) => digits.parse::<u32>().ok().map(|n| f64::from(n) / 1000.0),
        None => number(value),
    }
}

fn is_memory(limit: &str) -> bool {
    let digits = limit.trim_end_matches(['b', 'k', 'm', 'g', 'B', 'K', 'M', 'G']);
    limit.len() - digits.len() <= 2
        && !digits.is_empty()
        && digits.len() <= 15
        && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_restart_policy(policy: &str) -> bool {
    match policy.split_once(':') {
        Some(("on-failure", times)) => times.parse::<u16>().is_ok(),
        Some(_) => false,
        None => matches!(policy, "no" | "always" | "unless-stopped" | "on-failure"),
    }
}

#[cfg(test)]
mod tests {
    use satellite_sdk::Variables;
    use serde_json::json;

    use super::*;

    fn parameters(given: Value) -> Result<Parameters, Failure> {
        let deployment = json!({ "id": "d", "status": "pending", "satellite_parameters": given });
        let deployment = serde_json::from_value(deployment).unwrap();
        Parameters::of(&deployment, &settings("own/*, one:1"))
    }

    fn settings(allowed_images: &'static str) -> Settings {
        let lookup = |name: &str| (name == "LUML_ALLOWED_IMAGES").then(|| allowed_images.into());
        Settings::read(&mut Variables::from_lookup(lookup))
    }

    #[test]
    fn the_readme_contains_the_parameter_table() {
        let rows: Vec<String> = TABLE
            .iter()
            .map(|Parameter { name, expected, .. }| format!("| `{name}` | {expected} |\n"))
            .collect();
        let table = format!("| parameter | expected |\n|---|---|\n{}\n", rows.concat());
        let readme = include_str!("../README.md");
        assert!(
            readme.contains(&table),
            "README.md lacks this table:\n{table}"
        );
    }

    #[test]
    fn every_value_that_the_form_allows_is_accepted() {
        let entered = json!({
            "health_check_timeout": 1, "memory_limit": "536870912", "cpu_limit": "500m",
            "use_gpu": true, "gpu_count": 64, "restart_policy": "unless-stopped", "image": "one:1",
            "monitoring_enabled": true,
        });
        for parameter in &TABLE {
            let field = parameter.field(&settings("one:1")).unwrap();
            let field = serde_json::to_value(field).unwrap();
            assert_eq!(field["name"], parameter.name);
            let entered = &entered[parameter.name];
            let mut values = vec![entered.clone()];
            match field["type"].as_str().unwrap() {
                "boolean" => values.push(json!(false)),
                "dropdown" => {
                    let choices = field["values"].as_array().unwrap();
                    values.extend(choices.iter().map(|choice| choice["value"].clone()));
                }
                "number" => {
                    let limits = field["validators"].as_array().unwrap();
                    values.extend(limits.iter().map(|limit| limit["value"].clone()));
                }
                // The page sends a text that is a number as a number.
                _ => values.extend(entered.as_str().and_then(|t| serde_json::from_str(t).ok())),
            }
            for value in values {
                let parsed = parameters(json!({ (parameter.name): value }));
                assert!(parsed.is_ok(), "{}: {value}: {parsed:?}", parameter.name);
            }
        }
        assert!(TABLE.iter().filter_map(|p| p.field(&settings(""))).count() == TABLE.len() - 1);
    }

    #[test]
    fn defaults_apply_without_parameters() {
        let parameters = parameters(json!({})).unwrap();
        assert_eq!(parameters.image, None, "that of the variant");
        assert_eq!(parameters.health_check_timeout, Duration::from_secs(1800));
        assert_eq!(parameters.restart_policy, "on-failure:3");
        assert_eq!(parameters.gpus(), None);
    }

    #[test]
    fn values_are_accepted_as_number_or_text() {
        let parameters = parameters(json!({
            "image": "own/model:2", "health_check_timeout": "30", "memory_limit": "512m",
            "cpu_limit": "1500m", "use_gpu": true, "gpu_count": 2, "restart_policy": "always",
        }))
        .unwrap();
        assert_eq!(parameters.image.as_deref(), Some("own/model:2"));
        assert_eq!(parameters.health_check_timeout, Duration::from_secs(30));
        assert_eq!(parameters.memory_limit.as_deref(), Some("512m"));
        assert_eq!(parameters.cpu_limit.as_deref(), Some("1.5"));
        assert_eq!(parameters.gpus().as_deref(), Some("2"));
        assert_eq!(parameters.restart_policy, "always");
    }

    #[test]
    fn invalid_or_disallowed_values_are_rejected_and_the_parameter_is_named() {
        for (name, value) in [
            ("image", json!("somebody/elses")),
            ("image", json!("--privileged")),
            ("health_check_timeout", json!("soon")),
            ("memory_limit", json!("-1")),
            ("memory_limit", json!("lots")),
            ("cpu_limit", json!(-2)),
            ("cpu_limit", json!("nan")),
            ("cpu_limit", json!("0m")),
            ("cpu_limit", json!("-5m")),
            ("gpu_count", json!(1.5)),
            ("use_gpu", json!("perhaps")),
            ("monitoring_enabled", json!("perhaps")),
            ("restart_policy", json!("sometimes")),
            ("restart_policy", json!("on-failure:--privileged")),
        ] {
            let failure = parameters(json!({ name: value })).unwrap_err();
            assert!(format!("{failure:?}").contains(name), "{failure:?}");
        }
    }
}
