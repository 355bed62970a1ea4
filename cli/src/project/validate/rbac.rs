//! The rights of a processor's service account, as far as the manifests say.

use satellite_sdk::state::{ConfigMapStore, Configuration, Right};
use serde_json::Value;

use super::Report;
use super::read::Object;
use super::settings::{find, list};

pub fn check(
    workload: &Object,
    pod: &Value,
    settings: &Configuration,
    objects: &[Object],
    report: &mut Report,
) {
    if settings.backend() != "configmap" {
        return;
    }
    let place = workload.label();
    let account = pod["serviceAccountName"].as_str().unwrap_or("default");
    if settings.namespace() != workload.namespace() {
        report.problem(
            &place,
            format_args!(
                "DORY_POD_NAMESPACE is {}, but the pod runs in {}",
                settings.namespace(),
                workload.namespace()
            ),
        );
    }
    let of_account = find(objects, "ServiceAccount", account, workload);
    let automount = match &pod["automountServiceAccountToken"] {
        Value::Bool(mounted) => *mounted,
        _ => of_account.is_none_or(|a| a.value["automountServiceAccountToken"] != false),
    };
    if !automount {
        report.problem(
            &place,
            "automountServiceAccountToken is false, but the store configmap needs the token",
        );
    }
    let mut rules = Vec::new();
    let mut is_bound = false;
    for binding in objects
        .iter()
        .filter(|object| binds(object, account, workload))
    {
        is_bound = true;
        let role = &binding.value["roleRef"];
        let kind = role["kind"].as_str().unwrap_or_default();
        let name = role["name"].as_str().unwrap_or_default();
        let found = objects.iter().find(|object| {
            let is_here = kind == "ClusterRole" || object.namespace() == workload.namespace();
            object.kind() == kind && object.name() == name && is_here
        });
        match found {
            Some(role) => rules.extend(list(&role.value["rules"])),
            None => report.problem(
                &binding.label(),
                format_args!("{kind} {name} is not among the manifests"),
            ),
        }
    }
    if !is_bound {
        let what = format!(
            "no RoleBinding for service account {account} is among the manifests: its rights \
             are not checked; see --cluster"
        );
        return report.warning(&place, what);
    }
    let rights = ConfigMapStore::rights(settings.processor_id());
    let missing: Vec<_> = (rights.iter())
        .filter(|right| !rules.iter().any(|rule| covers(rule, right)))
        .map(Right::to_string)
        .collect();
    if !missing.is_empty() {
        let what = format!("service account {account} lacks: {}", missing.join(", "));
        report.problem(&place, what);
    }
    let too_many: Vec<_> = rules.iter().filter_map(|rule| too_much(rule)).collect();
    if !too_many.is_empty() {
        let what = format!(
            "service account {account} has more rights than it needs: {}",
            too_many.join("; ")
        );
        report.warning(&place, what);
    }
}

fn binds(object: &Object, account: &str, workload: &Object) -> bool {
    let is_binding = match object.kind() {
        "RoleBinding" => object.namespace() == workload.namespace(),
        "ClusterRoleBinding" => true,
        _ => false,
    };
    is_binding
        && list(&object.value["subjects"]).any(|subject| {
            subject["kind"] == "ServiceAccount"
                && subject["name"] == account
                && subject["namespace"] == workload.namespace()
        })
}

fn has(list_of: &Value, wanted: &str) -> bool {
    list(list_of).any(|item| item == wanted || item == "*")
}

fn covers(rule: &Value, right: &Right) -> bool {
    let names = &rule["resourceNames"];
    let is_named = match &right.name {
        _ if list(names).next().is_none() => true,
        Some(name) => list(names).any(|item| item == name.as_str()),
        // A rule with names never allows create.
        None => false,
    };
    is_named
        && has(&rule["apiGroups"], right.group)
        && has(&rule["resources"], right.resource)
        && has(&rule["verbs"], right.verb)
}

/// A rule that no processor needs, for a message.
fn too_much(rule: &Value) -> Option<String> {
    let needed = ConfigMapStore::rights("x");
    let has_names = list(&rule["resourceNames"]).next().is_some();
    let verbs: Vec<_> = list(&rule["verbs"]).filter_map(Value::as_str).collect();
    let resources: Vec<_> = list(&rule["resources"]).filter_map(Value::as_str).collect();
    let is_needed = |resource: &str, verb: &str| {
        needed
            .iter()
            .any(|right| right.resource == resource && right.verb == verb)
            && (has_names || verb == "create")
    };
    let more: Vec<_> = resources
        .iter()
        .flat_map(|resource| verbs.iter().map(move |verb| (resource, verb)))
        .filter(|(resource, verb)| !is_needed(resource, verb))
        .map(|(resource, verb)| format!("{verb} {resource}"))
        .collect();
    let any = if has_names { "" } else { " of any name" };
    (!more.is_empty()).then(|| format!("{}{any}", more.join(", ")))
}
