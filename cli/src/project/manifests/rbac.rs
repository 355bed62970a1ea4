//! The service account of a processor and its rights.

use satellite_sdk::state::{ConfigMapStore, Right};

use super::super::options::{Processor, Store};
use super::super::yaml::Map;
use super::object;

const UNNAMED: &str = "The API cannot limit create to a name.";

pub fn documents(processor: &Processor) -> Vec<Map> {
    let name = processor.name.as_str();
    let account = object("v1", "ServiceAccount", processor, name)
        // Pods that need the token mount it themselves.
        .with("automountServiceAccountToken", false);
    if processor.store != Store::Configmap {
        return vec![account];
    }
    let role_name = format!("{name}-state-manager");
    let role = object(
        "rbac.authorization.k8s.io/v1",
        "Role",
        processor,
        &role_name,
    )
    .with("rules", rules(processor));
    let subject = Map::new()
        .with("kind", "ServiceAccount")
        .with("name", name)
        .with("namespace", processor.namespace());
    let role_ref = Map::new()
        .with("apiGroup", "rbac.authorization.k8s.io")
        .with("kind", "Role")
        .with("name", role_name.as_str());
    let binding = object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        processor,
        &role_name,
    )
    .with("subjects", vec![subject])
    .with("roleRef", role_ref);
    vec![account, role, binding]
}

/// One rule for each resource and name, with all its verbs.
fn rules(processor: &Processor) -> Vec<Map> {
    let mut rights = ConfigMapStore::rights(processor.name.as_str());
    if processor.options.state.import_dory_sdk {
        rights.extend(ConfigMapStore::import_rights(processor.name.as_str()));
    }
    let mut groups: Vec<Vec<Right>> = Vec::new();
    for right in rights {
        let key = |r: &Right| (r.group, r.resource, r.name.clone());
        let same = groups
            .iter_mut()
            .find(|group| key(&group[0]) == key(&right));
        match same {
            Some(group) => group.push(right),
            None => groups.push(vec![right]),
        }
    }
    groups.iter().map(|group| rule(group)).collect()
}

fn rule(rights: &[Right]) -> Map {
    let first = &rights[0];
    let verbs: Vec<&str> = rights.iter().map(|right| right.verb).collect();
    let rule = match first.name {
        Some(_) => Map::new().with("apiGroups", vec![first.group]),
        None => Map::new().commented(UNNAMED, "apiGroups", vec![first.group]),
    };
    rule.with("resources", vec![first.resource])
        .with_some("resourceNames", first.name.clone().map(|name| vec![name]))
        .with("verbs", verbs)
}
