//! The settings that a container of a manifest would have.

use std::path::Path;

use satellite_sdk::state::Configuration;
use serde_json::Value;

use super::Report;
use super::read::Object;

/// Where a processor looks for its settings, as an absolute path.
const DEFAULT_FILES: [&str; 2] = ["/etc/dory/config.yaml", "/app/config/dory.yaml"];
/// Variables whose value may come from a Secret.
const SECRETS: [&str; 4] = [
    "DORY_STATE_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// Reports settings that do not exist, and those without an effect.
pub fn report_names(configuration: &Configuration, place: &str, report: &mut Report) {
    for warning in configuration.warnings() {
        match configuration.unknown().contains(warning) {
            true => report.problem(place, warning.replace(" is ignored", "")),
            false => report.warning(place, warning),
        }
    }
}

/// Reports each invalid setting by itself.
pub fn report_error(error: &satellite_sdk::Error, place: &str, report: &mut Report) {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let problems = match lines.as_slice() {
        [_, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    for line in problems {
        report.problem(place, line.trim());
    }
}

/// The settings of a container; `None` if it has none or they are not valid.
pub fn of_container(
    container: &Value,
    workload: &Object,
    pod: &Value,
    objects: &[Object],
    report: &mut Report,
) -> Option<Configuration> {
    let place = workload.label();
    let mut variables = vec![(
        "KUBERNETES_SERVICE_HOST".to_owned(),
        "in-the-cluster".to_owned(),
    )];
    for source in list(&container["envFrom"]) {
        variables.extend(from_source(source, workload, objects, report));
    }
    for entry in list(&container["env"]) {
        variables.extend(variable(entry, workload, objects, report));
    }
    let file = mounted_file(container, pod, &variables, workload, objects);
    let read = match file {
        Some((name, text)) => Configuration::from_variables_and_file(variables, &name, &text),
        None => {
            // A file of the image, or of a ConfigMap that is not among the manifests.
            variables.retain(|(name, _)| name != "DORY_CONFIG_FILE");
            Configuration::from_variables(variables)
        }
    };
    match read {
        Ok(configuration) => {
            report_names(&configuration, &place, report);
            Some(configuration)
        }
        Err(e) => {
            report_error(&e, &place, report);
            None
        }
    }
}

fn variable(
    entry: &Value,
    workload: &Object,
    objects: &[Object],
    report: &mut Report,
) -> Option<(String, String)> {
    let place = workload.label();
    let name = entry["name"].as_str()?;
    let from = &entry["valueFrom"];
    if from.is_null() {
        let value = match &entry["value"] {
            Value::Null => "",
            Value::String(text) => text,
            _ => {
                let what = format!("{name}: a variable's value is a text: put it in quotes");
                report.problem(&place, what);
                return None;
            }
        };
        let is_secret = SECRETS.contains(&name) && name != "AWS_ACCESS_KEY_ID";
        if is_secret && !value.is_empty() {
            let what = format!("{name} is in clear text: use a Secret and valueFrom.secretKeyRef");
            report.problem(&place, what);
        }
        return Some((name.to_owned(), value.to_owned()));
    }
    let value = match from["fieldRef"]["fieldPath"].as_str() {
        Some("metadata.name") => pod_name(workload),
        Some("metadata.namespace") => workload.namespace().to_owned(),
        _ if !from["secretKeyRef"].is_null() && SECRETS.contains(&name) => "secret".to_owned(),
        _ => {
            let reference = &from["configMapKeyRef"];
            let map = find(objects, "ConfigMap", reference["name"].as_str()?, workload)?;
            let key = reference["key"].as_str()?;
            let Some(value) = map.value["data"][key].as_str() else {
                report.problem(&place, format!("{name}: {} has no key {key}", map.label()));
                return None;
            };
            value.to_owned()
        }
    };
    Some((name.to_owned(), value))
}

fn from_source(
    source: &Value,
    workload: &Object,
    objects: &[Object],
    report: &mut Report,
) -> Vec<(String, String)> {
    let prefix = source["prefix"].as_str().unwrap_or_default();
    if !source["secretRef"].is_null() {
        let names = SECRETS.iter().filter(|name| name.starts_with("AWS_"));
        return names
            .map(|name| ((*name).to_owned(), "secret".to_owned()))
            .collect();
    }
    let name = source["configMapRef"]["name"].as_str().unwrap_or_default();
    let Some(map) = find(objects, "ConfigMap", name, workload) else {
        let what = format!("envFrom: ConfigMap {name} is not among the manifests: not checked");
        report.warning(&workload.label(), what);
        return vec![];
    };
    let data = map.value["data"].as_object().into_iter().flatten();
    data.filter_map(|(key, value)| Some((format!("{prefix}{key}"), value.as_str()?.to_owned())))
        .collect()
}

/// The name that a pod of this workload would get.
fn pod_name(workload: &Object) -> String {
    match workload.kind() {
        "Pod" => workload.name().to_owned(),
        "StatefulSet" => format!("{}-0", workload.name()),
        _ => format!("{}-7d9f8b6c5d-x2x4z", workload.name()),
    }
}

/// The file of settings that the container mounts from a ConfigMap of the manifests.
fn mounted_file(
    container: &Value,
    pod: &Value,
    variables: &[(String, String)],
    workload: &Object,
    objects: &[Object],
) -> Option<(String, String)> {
    let named = variables
        .iter()
        .rfind(|(name, _)| name == "DORY_CONFIG_FILE");
    let paths = match named {
        Some((_, path)) => vec![path.as_str()],
        None => DEFAULT_FILES.to_vec(),
    };
    paths.iter().find_map(|path| {
        let mount = list(&container["volumeMounts"]).find_map(|mount| {
            let folder = Path::new(mount["mountPath"].as_str()?);
            let rest = Path::new(path).strip_prefix(folder).ok()?.to_str()?;
            Some((mount, rest.to_owned()))
        });
        let (mount, rest) = mount?;
        let volume = list(&pod["volumes"]).find(|volume| volume["name"] == mount["name"])?;
        let source = &volume["configMap"];
        let map = find(objects, "ConfigMap", source["name"].as_str()?, workload)?;
        let file = match mount["subPath"].as_str() {
            Some(sub_path) if rest.is_empty() => sub_path.to_owned(),
            Some(_) => return None,
            None => rest,
        };
        let item = list(&source["items"]).find(|item| item["path"] == file.as_str());
        let key = match item {
            Some(item) => item["key"].as_str()?,
            None => &file,
        };
        let text = map.value["data"][key].as_str()?;
        Some((format!("{} {key}", map.label()), text.to_owned()))
    })
}

pub fn find<'a>(
    objects: &'a [Object],
    kind: &str,
    name: &str,
    beside: &Object,
) -> Option<&'a Object> {
    objects.iter().find(|object| {
        object.kind() == kind && object.name() == name && object.namespace() == beside.namespace()
    })
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
