//! Whether a pod fits the restricted Pod Security Standard of Kubernetes.

use serde_json::Value;

use super::Report;
use super::read::Object;
use super::settings::list;

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Warns of each thing that a namespace with the label
/// `pod-security.kubernetes.io/enforce: restricted` rejects.
pub fn check(object: &Object, pod: &Value, report: &mut Report) {
    let mut found = Vec::new();
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[host] == true {
            found.push(host.to_owned());
        }
    }
    for volume in list(&pod["volumes"]) {
        let kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key);
        for kind in kinds.filter(|key| *key != "name" && !VOLUMES.contains(&key.as_str())) {
            found.push(format!("a volume of kind {kind}"));
        }
    }
    let containers = ["containers", "initContainers"].into_iter();
    for container in containers.flat_map(|key| list(&pod[key])) {
        let name = container["name"].as_str().unwrap_or_default();
        let of_container = of_container(&pod["securityContext"], container);
        found.extend(
            of_container
                .into_iter()
                .map(|what| format!("{what} in container {name}")),
        );
    }
    if !found.is_empty() {
        report.warning(
            &object.label(),
            format_args!(
                "not allowed by the restricted Pod Security Standard: {}",
                found.join(", ")
            ),
        );
    }
}

fn of_container(pod: &Value, container: &Value) -> Vec<&'static str> {
    let own = &container["securityContext"];
    let of_either = |key: &str| match own[key].is_null() {
        true => &pod[key],
        false => &own[key],
    };
    let mut found = Vec::new();
    if own["privileged"] == true {
        found.push("privileged");
    }
    if own["allowPrivilegeEscalation"] != false {
        found.push("allowPrivilegeEscalation is not false");
    }
    if *of_either("runAsNonRoot") != true {
        found.push("runAsNonRoot is not true");
    }
    if *of_either("runAsUser") == 0 {
        found.push("runAsUser 0");
    }
    let profile = &of_either("seccompProfile")["type"];
    if *profile != "RuntimeDefault" && *profile != "Localhost" {
        found.push("no seccompProfile RuntimeDefault");
    }
    let capabilities = &own["capabilities"];
    if !list(&capabilities["drop"]).any(|name| name == "ALL") {
        found.push("capabilities.drop without ALL");
    }
    if list(&capabilities["add"]).any(|name| name != "NET_BIND_SERVICE") {
        found.push("added capabilities");
    }
    if list(&container["ports"]).any(|port| port["hostPort"].as_u64().is_some_and(|p| p > 0)) {
        found.push("hostPort");
    }
    found
}
