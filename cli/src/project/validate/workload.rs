//! A workload against the settings of its processor.

use satellite_sdk::state::Configuration;
use serde_json::Value;

use super::Report;
use super::read::Object;
use super::settings::{find, list, of_container};
use super::{rbac, security};

/// Kubernetes gives a pod this many seconds to end, unless it says otherwise.
const DEFAULT_GRACE_PERIOD: u64 = 30;

/// Checks an object if it is a workload. Returns the settings of the processors in it, as far as
/// they are valid.
pub fn check(
    object: &Object,
    objects: &[Object],
    report: &mut Report,
) -> Vec<Option<Configuration>> {
    let pod = match object.kind() {
        "Pod" => &object.value["spec"],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            &object.value["spec"]["template"]["spec"]
        }
        _ => return Vec::new(),
    };
    security::check(object, pod, report);
    check_mounts(object, pod, report);
    let mut processors = Vec::new();
    let sidecars = list(&pod["initContainers"]).filter(|c| starts_first(c) || is_sidecar(c));
    for container in list(&pod["containers"]).chain(sidecars) {
        if !is_processor(container) {
            continue;
        }
        let settings = of_container(container, object, pod, objects, report);
        if let Some(settings) = &settings {
            let mut check = Check {
                object,
                pod,
                container,
                settings,
                report,
            };
            check.endpoints();
            check.hook();
            check.grace_period();
            let has_state = is_stateful(container);
            if keeps_folder_beside(container) {
                check.order();
            }
            if has_state {
                check.updates(objects);
                check.volume(objects);
                rbac::check(object, pod, settings, objects, check.report);
            }
        }
        processors.push(settings);
    }
    processors
}

/// The API refuses a pod that mounts a volume it does not have.
fn check_mounts(object: &Object, pod: &Value, report: &mut Report) {
    let volumes = list(&pod["volumes"]).map(|volume| &volume["name"]);
    let claims = list(&object.value["spec"]["volumeClaimTemplates"]);
    let claims = claims.map(|claim| &claim["metadata"]["name"]);
    let known: Vec<&Value> = volumes.chain(claims).collect();
    let containers = list(&pod["containers"]).chain(list(&pod["initContainers"]));
    for container in containers {
        for mount in list(&container["volumeMounts"]) {
            if !known.contains(&&mount["name"]) {
                let container = container["name"].as_str().unwrap_or_default();
                let name = mount["name"].as_str().unwrap_or_default();
                report.problem(
                    &object.label(),
                    format_args!(
                        "container {container}: volumeMounts: there is no volume {name:?}"
                    ),
                );
            }
        }
    }
}

fn is_processor(container: &Value) -> bool {
    list(&container["env"]).any(|entry| {
        let name = entry["name"].as_str().unwrap_or_default();
        name.starts_with("DORY_")
    })
}

/// A sidecar without `--state-dir` keeps no state.
fn is_stateful(container: &Value) -> bool {
    !is_sidecar(container) || has_state_dir(container)
}

fn words(container: &Value) -> impl Iterator<Item = &str> {
    let words = list(&container["command"]).chain(list(&container["args"]));
    words.filter_map(Value::as_str)
}

fn is_sidecar(container: &Value) -> bool {
    words(container).any(|word| word == "sidecar")
}

fn has_state_dir(container: &Value) -> bool {
    words(container).any(|word| word.starts_with("--state-dir"))
}

/// `satellite sidecar --state-dir DIR` without a command: the application is in another
/// container.
fn keeps_folder_beside(container: &Value) -> bool {
    is_sidecar(container) && has_state_dir(container) && !words(container).any(|word| word == "--")
}

/// An init container that keeps running while the others do.
fn starts_first(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

struct Check<'a> {
    object: &'a Object,
    pod: &'a Value,
    container: &'a Value,
    settings: &'a Configuration,
    report: &'a mut Report,
}

impl Check<'_> {
    fn problem(&mut self, what: impl std::fmt::Display) {
        let container = self.container["name"].as_str().unwrap_or_default();
        let place = format!("{}: container {container}", self.object.label());
        self.report.problem(&place, what);
    }

    fn warning(&mut self, what: impl std::fmt::Display) {
        let container = self.container["name"].as_str().unwrap_or_default();
        let place = format!("{}: container {container}", self.object.label());
        self.report.warning(&place, what);
    }

    fn endpoints(&mut self) {
        let (address, settings) = (self.settings.endpoints(), self.settings);
        if address.ip().is_loopback() {
            self.problem(format_args!(
                "DORY_HEALTH_HOST: the endpoints listen on {}, where no probe reaches them",
                address.ip()
            ));
        }
        let container = self.container;
        for (probe, path, what) in [
            (
                "livenessProbe",
                settings.health_path(),
                "the liveness endpoint",
            ),
            (
                "readinessProbe",
                settings.ready_path(),
                "the readiness endpoint",
            ),
        ] {
            if container[probe].is_null() {
                self.problem(format_args!("no {probe}: {path} is {what}"));
            } else {
                self.get(probe, &container[probe]["httpGet"], &[path]);
            }
        }
        if !container["startupProbe"].is_null() {
            let paths = [settings.health_path(), settings.ready_path(), "/restored"];
            self.get(
                "startupProbe",
                &container["startupProbe"]["httpGet"],
                &paths,
            );
        }
        let declared =
            list(&container["ports"]).any(|port| port["containerPort"] == address.port());
        if !declared {
            self.warning(format_args!("ports: {} is not declared", address.port()));
        }
    }

    fn hook(&mut self) {
        let hook = &self.container["lifecycle"]["preStop"];
        if hook.is_null() && !keeps_folder_beside(self.container) {
            self.warning("no preStop hook: the state is saved on SIGTERM only");
        } else if !hook["httpGet"].is_null() {
            self.get("preStop", &hook["httpGet"], &["/prestop"]);
        }
    }

    /// A probe or hook against the port and the paths of the settings.
    fn get(&mut self, what: &str, get: &Value, paths: &[&str]) {
        if get.is_null() {
            return self.problem(format_args!("{what}: expected httpGet of {}", paths[0]));
        }
        let expected = self.settings.endpoints().port();
        match (port_of(&get["port"], self.container), &get["port"]) {
            (Some(port), _) if port == u64::from(expected) => {}
            (Some(port), _) => self.problem(format_args!(
                "{what} uses port {port}, but the endpoints are on {expected} (DORY_HEALTH_PORT)"
            )),
            (None, Value::Null) => self.problem(format_args!("{what} has no port")),
            (None, name) => self.problem(format_args!("{what}: there is no port {name}")),
        }
        let path = get["path"].as_str().unwrap_or("/");
        if !paths.contains(&path) {
            self.problem(format_args!(
                "{what} asks {path}; expected {}",
                paths.join(" or ")
            ));
        }
        if get["scheme"]
            .as_str()
            .is_some_and(|scheme| scheme != "HTTP")
        {
            self.problem(format_args!("{what}: the endpoints speak plain HTTP"));
        }
    }

    fn grace_period(&mut self) {
        let configured = self.pod["terminationGracePeriodSeconds"].as_u64();
        let grace = configured.unwrap_or(DEFAULT_GRACE_PERIOD);
        let shutdown = self.settings.shutdown_timeout().as_secs_f64();
        if (grace as f64) <= shutdown {
            let default = if configured.is_none() {
                " (the default)"
            } else {
                ""
            };
            self.problem(format_args!(
                "terminationGracePeriodSeconds {grace}{default} is not longer than \
                 DORY_SHUTDOWN_TIMEOUT_SEC {shutdown}: the last save may be killed"
            ));
        }
    }

    /// The folder is restored before the application starts, and saved after it has ended.
    fn order(&mut self) {
        if !starts_first(self.container) {
            return self.problem(
                "with --state-dir and the application in another container it has to start \
                 before it and to end after it: make it an init container with restartPolicy \
                 Always and a startupProbe of /restored",
            );
        }
        if self.container["startupProbe"]["httpGet"]["path"] != "/restored" {
            self.problem(
                "startupProbe: expected /restored, or the application starts before its folder \
                 is restored",
            );
        }
        let mut variables = list(&self.container["env"]);
        let has_port = variables.any(|variable| variable["name"] == "DORY_APP_PORT");
        if !self.container["lifecycle"]["preStop"].is_null() && !has_port {
            self.problem(
                "preStop: without DORY_APP_PORT the folder is saved while the application still \
                 writes; without the hook it is saved when the application has ended",
            );
        }
        let probes = list(&self.pod["containers"]).map(|container| &container["livenessProbe"]);
        let mut paths = probes.map(|probe| &probe["httpGet"]["path"]);
        if !paths.any(|path| path == "/restored") {
            self.warning(
                "no livenessProbe of the application asks /restored: it goes on when the state \
                 has been lost to another pod",
            );
        }
    }

    fn updates(&mut self, objects: &[Object]) {
        let spec = &self.object.value["spec"];
        if self.object.kind() == "DaemonSet" {
            return self.problem("a DaemonSet runs several pods, and a state has one writer");
        }
        if self.object.kind() != "Deployment" {
            return; // each pod of a StatefulSet has a state of its own
        }
        if let Some(replicas) = spec["replicas"].as_u64().filter(|count| *count > 1) {
            self.problem(format_args!(
                "replicas {replicas}: a state has one writer; more pods would only wait for it"
            ));
        }
        let strategy = &spec["strategy"];
        let is_recreated = strategy["type"] == "Recreate";
        if keeps_folder_beside(self.container) {
            if !is_recreated {
                self.problem(
                    "strategy RollingUpdate: this sidecar cannot stop the application to hand \
                     its folder over, so the new pod would wait for the old one; use Recreate",
                );
            }
            return;
        }
        match self.settings.backend() {
            "pvc" if !is_recreated && !self.is_shared_volume(objects) => self.problem(
                "strategy RollingUpdate: a volume for one node keeps the new pod from starting \
                 beside the old one; use Recreate",
            ),
            "configmap" | "s3" if is_recreated => self.warning(
                "strategy Recreate: nothing runs between the pods; with RollingUpdate and \
                 maxSurge 1 the new pod takes the state over",
            ),
            "configmap" | "s3" => {
                let surge = &strategy["rollingUpdate"]["maxSurge"];
                if *surge == 0 || *surge == "0%" || *surge == "0" {
                    self.warning("maxSurge 0: the old pod ends before the new one starts");
                }
            }
            _ => {}
        }
    }

    fn is_shared_volume(&self, objects: &[Object]) -> bool {
        let claim = self.claim();
        let claim =
            claim.and_then(|name| find(objects, "PersistentVolumeClaim", name, self.object));
        claim.is_some_and(|claim| {
            list(&claim.value["spec"]["accessModes"]).any(|mode| mode == "ReadWriteMany")
        })
    }

    /// The volume that is mounted at the folder of the state, or above it.
    fn mounted(&self) -> Option<(&Value, &Value)> {
        let folder = self.settings.folder();
        let mounts = list(&self.container["volumeMounts"]);
        let mounts = mounts.filter(|mount| {
            let path = mount["mountPath"].as_str().unwrap_or_default();
            !path.is_empty() && folder.starts_with(path)
        });
        let mount = mounts.max_by_key(|mount| mount["mountPath"].as_str().map(str::len))?;
        let volume = list(&self.pod["volumes"]).find(|volume| volume["name"] == mount["name"]);
        Some((mount, volume.unwrap_or(&Value::Null)))
    }

    fn claim(&self) -> Option<&str> {
        let (_, volume) = self.mounted()?;
        volume["persistentVolumeClaim"]["claimName"].as_str()
    }

    fn volume(&mut self, objects: &[Object]) {
        let backend = self.settings.backend();
        if backend == "local" {
            self.problem(
                "DORY_STATE_BACKEND=local: the state is lost with the pod; use configmap, pvc or s3",
            );
        }
        if backend != "pvc" {
            return;
        }
        let folder = self.settings.folder().display().to_string();
        let templates = list(&self.object.value["spec"]["volumeClaimTemplates"]);
        let template_names: Vec<_> = templates
            .map(|claim| claim["metadata"]["name"].clone())
            .collect();
        let Some((mount, volume)) = self.mounted() else {
            return self.problem(format_args!(
                "no volume is mounted at {folder} (DORY_STATE_PVC_MOUNT)"
            ));
        };
        let is_template = template_names.contains(&mount["name"]);
        let is_read_only = mount["readOnly"] == true;
        let claim = volume["persistentVolumeClaim"]["claimName"]
            .as_str()
            .map(str::to_owned);
        let is_lost = claim.is_none() && !is_template && volume["nfs"].is_null();
        if is_read_only {
            self.problem(format_args!("the volume at {folder} is mounted read-only"));
        }
        if is_lost {
            self.problem(format_args!(
                "the volume at {folder} is no PersistentVolumeClaim"
            ));
        }
        if let Some(claim) = claim {
            if find(objects, "PersistentVolumeClaim", &claim, self.object).is_none() {
                self.warning(format_args!(
                    "PersistentVolumeClaim {claim} is not among the manifests"
                ));
            }
        }
    }
}

/// A port by its number or by its name in the container.
fn port_of(port: &Value, container: &Value) -> Option<u64> {
    match port {
        Value::Number(number) => number.as_u64(),
        Value::String(name) => list(&container["ports"])
            .find(|port| port["name"] == name.as_str())
            .and_then(|port| port["containerPort"].as_u64()),
        _ => None,
    }
}
