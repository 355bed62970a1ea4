//! The fields of an object by themselves: names, images, quantities.

use serde_json::Value;

use super::super::fields::{Quantity, is_label, is_subdomain};
use super::super::image::Image;
use super::Report;
use super::read::Object;
use super::settings::list;

pub fn check(object: &Object, report: &mut Report) {
    let place = object.label();
    let name = object.name();
    // Names of RBAC objects may hold almost anything.
    let is_rbac = object.value["apiVersion"]
        .as_str()
        .is_some_and(|api| api.starts_with("rbac."));
    let is_valid = match object.kind() {
        "Service" | "Namespace" => is_label(name),
        _ => is_rbac && !name.is_empty() || is_subdomain(name),
    };
    if !is_valid {
        report.problem(
            &place,
            format_args!("metadata.name {name:?} is no name by RFC 1123"),
        );
    }
    if !is_label(object.namespace()) {
        let namespace = object.namespace();
        let what = format!("metadata.namespace {namespace:?} is no name by RFC 1123");
        report.problem(&place, what);
    }
    let pod = match object.kind() {
        "Pod" => &object.value["spec"],
        _ => &object.value["spec"]["template"]["spec"],
    };
    for key in ["containers", "initContainers"] {
        for container in list(&pod[key]) {
            check_container(&place, container, report);
        }
    }
    let labels = &object.value["spec"]["template"]["metadata"]["labels"];
    let selector = object.value["spec"]["selector"]["matchLabels"].as_object();
    for (key, value) in selector.into_iter().flatten() {
        if labels[key] != *value {
            let what = format!("selector {key}={value} does not match the labels of its pods");
            report.problem(&place, what);
        }
    }
}

fn check_container(place: &str, container: &Value, report: &mut Report) {
    let name = container["name"].as_str().unwrap_or_default();
    let place = format!("{place}: container {name}");
    if !is_label(name) {
        report.problem(&place, "its name is no name by RFC 1123");
    }
    match container["image"].as_str().map(str::parse::<Image>) {
        Some(Ok(image)) if image.is_mutable_by_default() => {
            report.warning(
                &place,
                format_args!("image {} has no fixed tag: pods may differ", image.as_str()),
            );
        }
        Some(Ok(_)) => {}
        Some(Err(e)) => report.problem(&place, format_args!("image: {e}")),
        None => report.problem(&place, "no image"),
    }
    for port in list(&container["ports"]) {
        let number = port["containerPort"].as_u64().unwrap_or_default();
        if !(1..=65535).contains(&number) {
            let found = &port["containerPort"];
            report.problem(&place, format_args!("containerPort {found} is no port"));
        }
    }
    let resources = &container["resources"];
    for what in ["cpu", "memory"] {
        let request = quantity(&resources["requests"][what], what, &place, report);
        let limit = quantity(&resources["limits"][what], what, &place, report);
        if let (Some(request), Some(limit)) = (request, limit) {
            if request.value() > limit.value() {
                let (request, limit) = (request.as_str(), limit.as_str());
                report.problem(
                    &place,
                    format_args!("requests.{what} {request} is more than limits.{what} {limit}"),
                );
            }
        }
    }
}

fn quantity(value: &Value, what: &str, place: &str, report: &mut Report) -> Option<Quantity> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parsed = match what {
        "cpu" => Quantity::cpu(&text),
        _ => Quantity::bytes(&text),
    };
    parsed
        .map_err(|e| report.problem(place, format_args!("resources {what}: {e}")))
        .ok()
}
