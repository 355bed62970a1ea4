//! The manifests of a processor. Everything that has to agree comes from one
//! [`Processor`]: ports, paths, times, names.

mod pod;
mod rbac;
mod storage;

use super::options::{Processor, Store};
use super::yaml::{Map, number};

/// What can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rbac,
    Deployment,
    Pod,
    Service,
    All,
}

impl Kind {
    pub fn file_name(self) -> &'static str {
        match self {
            Kind::Rbac => "rbac.yaml",
            Kind::Deployment => "deployment.yaml",
            Kind::Pod => "pod.yaml",
            Kind::Service => "service.yaml",
            Kind::All => "all.yaml",
        }
    }
}

/// The documents of a kind. The error says which option is missing.
pub fn documents(kind: Kind, processor: &Processor) -> Result<Vec<Map>, String> {
    match kind {
        Kind::Rbac => Ok(rbac::documents(processor)),
        Kind::Deployment => Ok(with_volumes(processor, deployment(processor))),
        Kind::Pod => Ok(with_volumes(processor, single_pod(processor))),
        Kind::Service => service(processor).map(|service| vec![service]),
        Kind::All => {
            let mut all = rbac::documents(processor);
            all.extend(with_volumes(processor, deployment(processor)));
            if processor.options.app_port.is_some() {
                all.push(service(processor)?);
            }
            Ok(all)
        }
    }
}

fn with_volumes(processor: &Processor, workload: Map) -> Vec<Map> {
    let mut documents = storage::documents(processor);
    documents.push(workload);
    documents
}

fn deployment(processor: &Processor) -> Map {
    let spec = Map::new()
        .with("replicas", number(processor.options.replicas))
        .with(
            "selector",
            Map::new().with("matchLabels", selector(processor)),
        )
        .commented(why_strategy(processor), "strategy", strategy(processor))
        .with(
            "template",
            Map::new()
                .with("metadata", Map::new().with("labels", labels(processor)))
                .with("spec", pod::spec(processor)),
        );
    object("apps/v1", "Deployment", processor, processor.name.as_str()).with("spec", spec)
}

fn strategy(processor: &Processor) -> Map {
    if processor.store == Store::Pvc || processor.keeps_folder_beside() {
        return Map::new().with("type", "Recreate");
    }
    let update = Map::new()
        .with("maxSurge", number(1))
        .with("maxUnavailable", number(0));
    Map::new()
        .with("type", "RollingUpdate")
        .with("rollingUpdate", update)
}

fn why_strategy(processor: &Processor) -> &'static str {
    match processor.store {
        _ if processor.keeps_folder_beside() => {
            "The sidecar cannot stop the application to hand its folder over: the old pod ends\n\
             before the new one starts."
        }
        Store::Pvc => "The volume belongs to one pod: the old pod ends before the new one starts.",
        Store::None => "The new pod is ready before the old one ends.",
        _ => "The new pod starts beside the old one and asks it for the state.",
    }
}

fn single_pod(processor: &Processor) -> Map {
    object("v1", "Pod", processor, processor.name.as_str()).with("spec", pod::spec(processor))
}

fn service(processor: &Processor) -> Result<Map, String> {
    let Some(port) = processor.options.app_port else {
        return Err("a Service needs the application's port: --app-port".to_owned());
    };
    if !processor.name.is_for_service() {
        return Err(format!(
            "a Service cannot be named {}: its name begins with a letter (RFC 1035)",
            processor.name
        ));
    }
    let port = Map::new()
        .with("name", "app")
        .with("port", number(port))
        .with("targetPort", "app")
        .with("protocol", "TCP");
    let spec = Map::new()
        .with("type", "ClusterIP")
        .with("selector", selector(processor))
        .with("ports", vec![port]);
    Ok(object("v1", "Service", processor, processor.name.as_str()).with("spec", spec))
}

/// An object of the processor's namespace, without its content.
fn object(api: &str, kind: &str, processor: &Processor, name: &str) -> Map {
    Map::new().with("apiVersion", api).with("kind", kind).with(
        "metadata",
        Map::new()
            .with("name", name)
            .with("namespace", processor.namespace())
            .with("labels", labels(processor)),
    )
}

fn selector(processor: &Processor) -> Map {
    Map::new().with("app", processor.name.as_str())
}

fn labels(processor: &Processor) -> Map {
    selector(processor).with("app.kubernetes.io/name", processor.name.as_str())
}
