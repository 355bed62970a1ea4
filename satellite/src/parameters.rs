//! `satellite_parameters`: what a deployment asks of the host, checked.

use std::time::Duration;

use satellite_sdk::{Deployment, Failure};
use serde_json::Value;

use crate::settings::Settings;

/// A deployment's wishes, fit to be handed to the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub image: String,
    pub health_check_timeout: Duration,
    /// Bytes, or with a suffix, as the engine takes it.
    pub memory_limit: Option<String>,
    pub cpu_limit: Option<String>,
    /// What follows `--gpus`.
    pub gpus: Option<String>,
    pub restart_policy: String,
}

impl Parameters {
    /// Checks all that this satellite obeys; other parameters are the model's.
    pub fn of(deployment: &Deployment, settings: &Settings) -> Result<Self, Failure> {
        let given = |name: &str| {
            let value = deployment.satellite_parameters.get(name);
            value.filter(|v| !v.is_null() && v.as_str() != Some(""))
        };
        let image = match given("image") {
            None => settings.image.clone(),
            Some(value) => {
                let image = text(value);
                if !is_image(&image) || !settings.allows_image(&image) {
                    return Err(unfit("image", &image, "one that LUML_ALLOWED_IMAGES lists"));
                }
                image
            }
        };
        let health_check_timeout = match given("health_check_timeout") {
            None => settings.health_check_timeout,
            Some(value) => {
                let seconds = number(value).filter(|s| (1.0..=86_400.0).contains(s));
                let expected = "1 to 86400 seconds";
                let seconds =
                    seconds.ok_or_else(|| unfit("health_check_timeout", &text(value), expected))?;
                Duration::from_secs_f64(seconds)
            }
        };
        let memory_limit = given("memory_limit").map(|value| {
            let limit = text(value);
            match is_memory(&limit) {
                true => Ok(limit),
                false => Err(unfit(
                    "memory_limit",
                    &limit,
                    "bytes, or such as 512m or 2g",
                )),
            }
        });
        let cpu_limit = given("cpu_limit").map(|value| match number(value) {
            Some(cpus) if cpus > 0.0 && cpus <= 1024.0 => Ok(cpus.to_string()),
            _ => Err(unfit("cpu_limit", &text(value), "a number of processors")),
        });
        let restart_policy = match given("restart_policy") {
            None => "on-failure:3".to_owned(),
            Some(value) => {
                let policy = text(value);
                if !is_restart_policy(&policy) {
                    let expected = "no, always, unless-stopped, or on-failure[:times]";
                    return Err(unfit("restart_policy", &policy, expected));
                }
                policy
            }
        };
        Ok(Parameters {
            image,
            health_check_timeout,
            memory_limit: memory_limit.transpose()?,
            cpu_limit: cpu_limit.transpose()?,
            gpus: gpus(given("use_gpu"), given("gpu_count"))?,
            restart_policy,
        })
    }
}

fn gpus(wanted: Option<&Value>, count: Option<&Value>) -> Result<Option<String>, Failure> {
    let wanted = match wanted.map(text).as_deref() {
        None => count.is_some_and(|v| number(v) != Some(0.0)),
        Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(other) => return Err(unfit("use_gpu", other, "true or false")),
    };
    if !wanted {
        return Ok(None);
    }
    match count {
        None => Ok(Some("all".to_owned())),
        Some(value) => match number(value) {
            Some(n) if n.fract() == 0.0 && (1.0..=64.0).contains(&n) => {
                Ok(Some((n as u32).to_string()))
            }
            _ => Err(unfit("gpu_count", &text(value), "1 to 64")),
        },
    }
}

fn unfit(name: &str, found: &str, expected: &str) -> Failure {
    Failure::new(
        "Failed to deploy model",
        format_args!("satellite_parameters.{name} is {found:?}; expected {expected}"),
    )
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The platform's form sends numbers as text, too.
fn number(value: &Value) -> Option<f64> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
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

/// Nothing that the engine's program could take for an option.
fn is_image(image: &str) -> bool {
    !image.is_empty()
        && !image.starts_with('-')
        && image.len() <= 512
        && image
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
}

#[cfg(test)]
mod tests {
    use satellite_sdk::Variables;
    use serde_json::json;

    use super::*;

    fn parameters(given: Value) -> Result<Parameters, Failure> {
        let deployment = json!({ "id": "d", "status": "pending", "satellite_parameters": given });
        let deployment = serde_json::from_value(deployment).unwrap();
        let allowed = |name: &str| (name == "LUML_ALLOWED_IMAGES").then(|| "own/*, one:1".into());
        let settings = Settings::read(&mut Variables::from_lookup(allowed));
        Parameters::of(&deployment, &settings)
    }

    #[test]
    fn nothing_asked_for_is_fine() {
        let parameters = parameters(json!({})).unwrap();
        assert_eq!(parameters.image, "luml-random-svc:latest");
        assert_eq!(parameters.health_check_timeout, Duration::from_secs(1800));
        assert_eq!(parameters.restart_policy, "on-failure:3");
        assert_eq!(parameters.gpus, None);
    }

    #[test]
    fn what_is_asked_for_is_taken_as_number_or_text() {
        let parameters = parameters(json!({
            "image": "own/model:2", "health_check_timeout": "30", "memory_limit": "512m",
            "cpu_limit": 1.5, "use_gpu": true, "gpu_count": 2, "restart_policy": "always",
        }))
        .unwrap();
        assert_eq!(parameters.image, "own/model:2");
        assert_eq!(parameters.health_check_timeout, Duration::from_secs(30));
        assert_eq!(parameters.memory_limit.as_deref(), Some("512m"));
        assert_eq!(parameters.cpu_limit.as_deref(), Some("1.5"));
        assert_eq!(parameters.gpus.as_deref(), Some("2"));
        assert_eq!(parameters.restart_policy, "always");
    }

    #[test]
    fn what_the_operator_or_the_engine_would_not_take_is_refused_by_name() {
        for (name, value) in [
            ("image", json!("somebody/elses")),
            ("image", json!("--privileged")),
            ("health_check_timeout", json!("soon")),
            ("memory_limit", json!("-1")),
            ("memory_limit", json!("lots")),
            ("cpu_limit", json!(-2)),
            ("cpu_limit", json!("nan")),
            ("gpu_count", json!(1.5)),
            ("use_gpu", json!("perhaps")),
            ("restart_policy", json!("sometimes")),
            ("restart_policy", json!("on-failure:--privileged")),
        ] {
            let failure = parameters(json!({ name: value })).unwrap_err();
            assert!(format!("{failure:?}").contains(name), "{failure:?}");
        }
    }
}
