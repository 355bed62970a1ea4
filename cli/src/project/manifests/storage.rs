//! What a processor's pod mounts: its settings and its volume.

use super::super::options::{Processor, Store};
use super::super::yaml::{Map, Node};
use super::object;

pub fn documents(processor: &Processor) -> Vec<Map> {
    let mut documents = Vec::new();
    if let Some(text) = &processor.config {
        let data = Map::new().with("config.yaml", Node::Block(text.clone()));
        let config = object("v1", "ConfigMap", processor, &processor.config_name());
        documents.push(config.with("data", data));
    }
    if processor.store == Store::Pvc {
        let state = &processor.options.state;
        let size = Map::new().with("storage", state.storage_size.as_str());
        let class = state.storage_class.as_ref().map(|class| class.as_str());
        let spec = Map::new()
            .with("accessModes", vec!["ReadWriteOnce"])
            .with_some("storageClassName", class)
            .with("resources", Map::new().with("requests", size));
        let claim = object(
            "v1",
            "PersistentVolumeClaim",
            processor,
            &processor.volume_name(),
        );
        documents.push(claim.with("spec", spec));
    }
    documents
}
