//! Which state of which store.

use std::path::PathBuf;

use clap::Args;
use satellite_sdk::state::{ConfigMapStore, FileStore, S3Store, StateEditor};
use satellite_sdk::{Error, Result, Variables};

/// Where a pod finds its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[derive(Args, Debug)]
pub struct Place {
    /// The processor's id (DORY_PROCESSOR_ID): the name of its Deployment
    #[arg(value_name = "PROCESSOR")]
    pub processor: String,
    /// The state is in this folder, the value of DORY_STATE_DIR or DORY_STATE_PVC_MOUNT
    #[arg(long, value_name = "DIR", conflicts_with_all = ["configmap", "s3"])]
    folder: Option<PathBuf>,
    /// The state is in a ConfigMap
    #[arg(long, conflicts_with = "s3")]
    configmap: bool,
    /// The state is in a bucket, DORY_STATE_S3_BUCKET
    #[arg(long)]
    s3: bool,
    /// The namespace of the processor's pod [env: DORY_POD_NAMESPACE]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The URL of the Kubernetes API, such as that of `kubectl proxy`; that of this pod's
    /// cluster by default [env: DORY_KUBERNETES_URL]
    #[arg(long, value_name = "URL")]
    kubernetes: Option<String>,
    /// The folder with the token and ca.crt for the Kubernetes API [env:
    /// DORY_KUBERNETES_ACCOUNT]
    #[arg(long, value_name = "DIR")]
    service_account: Option<PathBuf>,
}

enum Backend {
    Folder(PathBuf),
    ConfigMap,
    S3,
}

impl Place {
    pub fn editor(&self) -> Result<StateEditor> {
        let mut read = Variables::from_env();
        let backend = self.backend(&mut read);
        let namespace = self.namespace(&read);
        match backend {
            Backend::Folder(folder) => {
                read.finish()?;
                StateEditor::new(FileStore::new(folder), namespace, &self.processor)
            }
            Backend::ConfigMap => {
                let mut store = ConfigMapStore::from_env(&mut read);
                let is_set = |name: &str| read.text(name).is_some();
                let has_url = self.kubernetes.is_some() || is_set("DORY_KUBERNETES_URL");
                if !has_url && !is_set("KUBERNETES_SERVICE_HOST") {
                    read.problem(
                        "--kubernetes",
                        "expected the URL of the API, since this is no pod: run `kubectl proxy` \
                         and use http://127.0.0.1:8001",
                    );
                }
                if let Some(url) = &self.kubernetes {
                    read.check_transport("--kubernetes", Some(url), false);
                    if let Some(url) = read.url_of("--kubernetes", url) {
                        store = store.at(url);
                    }
                }
                read.finish()?;
                if let Some(folder) = &self.service_account {
                    store = store.service_account(folder);
                }
                StateEditor::new(store, namespace, &self.processor)
            }
            Backend::S3 => {
                let store = S3Store::from_env(&mut read);
                read.finish()?;
                let store = store.ok_or_else(|| Error::new("no bucket is configured"))?;
                StateEditor::new(store, namespace, &self.processor)
            }
        }
    }

    fn backend(&self, read: &mut Variables) -> Backend {
        if let Some(folder) = &self.folder {
            return Backend::Folder(folder.clone());
        }
        if self.configmap {
            return Backend::ConfigMap;
        }
        if self.s3 {
            return Backend::S3;
        }
        let default = match read.text("KUBERNETES_SERVICE_HOST") {
            Some(_) => "configmap",
            None => "local",
        };
        let expected = "configmap, pvc, s3 or local";
        let name = read.value("DORY_STATE_BACKEND", default.to_owned(), expected, |text| {
            ["configmap", "pvc", "s3", "local"]
                .contains(&text)
                .then(|| text.to_owned())
        });
        let folder = |name: &str, default: &str| {
            let folder = read.text(name).unwrap_or_else(|| default.to_owned());
            Backend::Folder(folder.into())
        };
        match name.as_str() {
            "configmap" => Backend::ConfigMap,
            "s3" => Backend::S3,
            "pvc" => folder("DORY_STATE_PVC_MOUNT", "/data"),
            _ => folder("DORY_STATE_DIR", "dory-state"),
        }
    }

    fn namespace(&self, read: &Variables) -> String {
        let of_account = || {
            let text = std::fs::read_to_string(NAMESPACE_FILE).ok()?;
            Some(text.trim().to_owned()).filter(|name| !name.is_empty())
        };
        (self.namespace.clone())
            .or_else(|| read.text("DORY_POD_NAMESPACE"))
            .or_else(|| read.text("POD_NAMESPACE"))
            .or_else(of_account)
            .unwrap_or_else(|| "default".to_owned())
    }

    /// The store, for people.
    pub fn shown(&self) -> String {
        let mut read = Variables::from_env();
        match self.backend(&mut read) {
            Backend::Folder(folder) => folder.display().to_string(),
            Backend::ConfigMap => format!("a ConfigMap of namespace {}", self.namespace(&read)),
            Backend::S3 => format!("the bucket, namespace {}", self.namespace(&read)),
        }
    }
}
