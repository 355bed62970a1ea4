//! The pod of a processor: its containers, probes, hooks and volumes.

use super::super::options::{CONFIG_FOLDER, Processor, Store};
use super::super::yaml::{Map, Node, number};

/// The user of images `FROM scratch`, as in distroless ones.
const USER: u32 = 65532;
/// Where the volume of the store `pvc` is mounted.
const VOLUME_FOLDER: &str = "/data";

pub fn spec(processor: &Processor) -> Map {
    let has_token = processor.store == Store::Configmap;
    let mut spec = Map::new()
        .with("serviceAccountName", processor.name.as_str())
        .with("automountServiceAccountToken", has_token)
        .commented(
            "Longer than DORY_SHUTDOWN_TIMEOUT_SEC: the time of the hook counts.",
            "terminationGracePeriodSeconds",
            number(processor.grace_period()),
        )
        .with("securityContext", pod_security());
    let application = match &processor.options.sidecar.sidecar_image {
        None => vec![processor_container(processor)],
        Some(image) if processor.keeps_folder_beside() => {
            let sidecar = sidecar(processor, image.as_str());
            spec = spec.commented(
                "Starts before the application, and ends after it: Kubernetes 1.29 or later.",
                "initContainers",
                vec![before_application(sidecar)],
            );
            vec![application(processor)]
        }
        Some(image) => vec![application(processor), sidecar(processor, image.as_str())],
    };
    spec = spec.with("containers", application);
    spec.with("volumes", volumes(processor))
}

fn pod_security() -> Map {
    Map::new()
        .with("runAsNonRoot", true)
        .with("runAsUser", number(USER))
        .with("runAsGroup", number(USER))
        .with("fsGroup", number(USER))
        .with("seccompProfile", Map::new().with("type", "RuntimeDefault"))
}

/// An unmodified application may write into its image's folders.
fn container_security(is_ours: bool) -> Map {
    let security = Map::new().with("allowPrivilegeEscalation", false);
    let security = match is_ours {
        true => security.with("readOnlyRootFilesystem", true),
        false => security,
    };
    security.with("capabilities", Map::new().with("drop", vec!["ALL"]))
}

/// A processor that serves the endpoints itself.
fn processor_container(processor: &Processor) -> Map {
    let container = Map::new()
        .with("name", processor.name.as_str())
        .with("image", processor.image.as_str())
        .with("ports", ports(processor, true, processor.options.app_port))
        .with("env", environment(processor));
    let mut mounts = endpoint_mounts(processor);
    mounts.extend(state_dir_mount(processor));
    let container = with_hook(with_probes(container, processor));
    finished(container, processor, mounts)
}

/// An unmodified application: the sidecar serves the endpoints.
fn application(processor: &Processor) -> Map {
    let container = Map::new()
        .with("name", processor.name.as_str())
        .with("image", processor.image.as_str());
    let container = match processor.options.app_port {
        Some(port) => container.with("ports", ports(processor, false, Some(port))),
        None => container,
    };
    let container = match processor.keeps_folder_beside() {
        true => beside_its_folder(container, processor),
        false => container,
    };
    let mut mounts = vec![mount("tmp", "/tmp", false)];
    mounts.extend(state_dir_mount(processor));
    finished(container, processor, mounts)
}

/// The endpoints are in the other container, whose ports have no names here. The liveness probe
/// ends an application whose sidecar has lost the state to another pod. The hook is only for
/// DORY_APP_PRESTOP_PATH.
fn beside_its_folder(container: Map, processor: &Processor) -> Map {
    let get = |path: &str| {
        let port = number(processor.health_port);
        Map::new().with("httpGet", Map::new().with("path", path).with("port", port))
    };
    let probe = get("/restored")
        .with("periodSeconds", number(5))
        .with("timeoutSeconds", number(3))
        .with("failureThreshold", number(3));
    let container = container.with("livenessProbe", probe);
    match processor.options.sidecar.app_prestop_path {
        Some(_) => container.with("lifecycle", Map::new().with("preStop", get("/prestop"))),
        None => container,
    }
}

fn sidecar(processor: &Processor, image: &str) -> Map {
    let mut args = vec!["sidecar"];
    if let Some(folder) = &processor.options.sidecar.state_dir {
        args.extend(["--state-dir", folder.as_str()]);
    }
    let container = Map::new()
        .with("name", sidecar_name(processor))
        .with("image", image)
        .with("args", args)
        .with("ports", ports(processor, true, None))
        .with("env", environment(processor));
    let mut mounts = endpoint_mounts(processor);
    mounts.extend(state_dir_mount(processor));
    let container = with_probes(container, processor);
    let container = match processor.keeps_folder_beside() {
        // It saves the folder at SIGTERM, after the application has ended: a hook is called
        // while the application still writes.
        true => container,
        false => with_hook(container),
    };
    container
        .with("resources", resources("10m", "16Mi", "100m", "128Mi"))
        .with("securityContext", container_security(true))
        .with("volumeMounts", mounts)
}

/// The application starts once its folder is restored, which may mean to wait until another
/// pod has ended.
fn before_application(sidecar: Map) -> Map {
    let probe = Map::new()
        .with("httpGet", own_endpoint("/restored"))
        .with("periodSeconds", number(1))
        .with("timeoutSeconds", number(3))
        .with("failureThreshold", number(600));
    sidecar
        .with("restartPolicy", "Always")
        .with("startupProbe", probe)
}

/// Two containers cannot have the same name.
fn sidecar_name(processor: &Processor) -> &'static str {
    match processor.name.as_str() {
        "sidecar" => "satellite-sidecar",
        _ => "sidecar",
    }
}

fn ports(processor: &Processor, has_health: bool, app: Option<u16>) -> Vec<Map> {
    let port = |name: &str, port: u16| {
        Map::new()
            .with("name", name)
            .with("containerPort", number(port))
            .with("protocol", "TCP")
    };
    let health = has_health.then(|| port("health", processor.health_port));
    health
        .into_iter()
        .chain(app.map(|app| port("app", app)))
        .collect()
}

fn with_probes(container: Map, processor: &Processor) -> Map {
    let probe = |path: &str, delay: i64, period: i64, timeout: i64| {
        Map::new()
            .with("httpGet", own_endpoint(path))
            .with("initialDelaySeconds", number(delay))
            .with("periodSeconds", number(period))
            .with("timeoutSeconds", number(timeout))
            .with("failureThreshold", number(3))
    };
    container
        .with("livenessProbe", probe(&processor.health_path, 10, 10, 5))
        .with("readinessProbe", probe(&processor.ready_path, 1, 5, 3))
}

fn with_hook(container: Map) -> Map {
    let hook = Map::new().with("httpGet", own_endpoint("/prestop"));
    container.with("lifecycle", Map::new().with("preStop", hook))
}

/// An endpoint that the same container serves.
fn own_endpoint(path: &str) -> Map {
    Map::new().with("path", path).with("port", "health")
}

fn finished(container: Map, processor: &Processor, mounts: Vec<Map>) -> Map {
    let options = &processor.options.resources;
    let is_ours = processor.options.sidecar.sidecar_image.is_none();
    let resources = resources(
        options.cpu.as_str(),
        options.memory.as_str(),
        options.cpu_limit.as_str(),
        options.memory_limit.as_str(),
    );
    container
        .with("resources", resources)
        .with("securityContext", container_security(is_ours))
        .with("volumeMounts", mounts)
}

fn resources(cpu: &str, memory: &str, cpu_limit: &str, memory_limit: &str) -> Map {
    let pair = |cpu: &str, memory: &str| Map::new().with("cpu", cpu).with("memory", memory);
    Map::new()
        .with("requests", pair(cpu, memory))
        .with("limits", pair(cpu_limit, memory_limit))
}

/// The variables of the container that serves the endpoints.
fn environment(processor: &Processor) -> Vec<Map> {
    let value = |name: &str, value: &str| Map::new().with("name", name).with("value", value);
    let field = |name: &str, path: &str| from(name, "fieldRef", Map::new().with("fieldPath", path));
    let mut env = vec![
        value("DORY_PROCESSOR_ID", processor.name.as_str()),
        field("DORY_POD_NAME", "metadata.name"),
        field("DORY_POD_NAMESPACE", "metadata.namespace"),
        value("DORY_HEALTH_PORT", &processor.health_port.to_string()),
        value(
            "DORY_SHUTDOWN_TIMEOUT_SEC",
            &processor.shutdown_timeout.to_string(),
        ),
    ];
    match processor.store {
        Store::Configmap => env.push(value("DORY_STATE_BACKEND", "configmap")),
        Store::Pvc => {
            env.push(value("DORY_STATE_BACKEND", "pvc"));
            env.push(value("DORY_STATE_PVC_MOUNT", VOLUME_FOLDER));
        }
        Store::S3 => env.extend(bucket(processor)),
        Store::None => {}
    }
    if let Some(secret) = &processor.options.token_secret {
        env.push(secret_key("DORY_STATE_TOKEN", secret.as_str(), "token"));
    }
    env.extend(of_application(processor));
    env
}

fn bucket(processor: &Processor) -> Vec<Map> {
    let state = &processor.options.state;
    let secret = match &state.s3_secret {
        Some(secret) => secret.as_str().to_owned(),
        None => format!("{}-s3", processor.name),
    };
    let bucket = state.s3_bucket.as_ref().map(|bucket| bucket.as_str());
    let values = [
        ("DORY_STATE_BACKEND", Some("s3")),
        ("DORY_STATE_S3_BUCKET", bucket),
        ("DORY_STATE_S3_ENDPOINT", state.s3_endpoint.as_deref()),
        ("DORY_STATE_S3_PREFIX", state.s3_prefix.as_deref()),
        ("AWS_REGION", state.s3_region.as_deref()),
    ];
    let values = values
        .into_iter()
        .filter_map(|(name, value)| Some(Map::new().with("name", name).with("value", value?)));
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    values
        .chain(keys.map(|key| secret_key(key, &secret, key)))
        .collect()
}

/// Where the sidecar finds the application. A processor that serves its own endpoints
/// needs only the port, so that it listens where the Service sends requests.
fn of_application(processor: &Processor) -> Vec<Map> {
    let sidecar = &processor.options.sidecar;
    let port = processor.options.app_port.map(|port| port.to_string());
    let values = [
        ("DORY_APP_PORT", port),
        (
            "DORY_APP_HEALTH_PATH",
            sidecar
                .app_health_path
                .as_ref()
                .map(|path| path.as_str().to_owned()),
        ),
        (
            "DORY_APP_READY_PATH",
            sidecar
                .app_ready_path
                .as_ref()
                .map(|path| path.as_str().to_owned()),
        ),
        (
            "DORY_APP_PRESTOP_PATH",
            sidecar
                .app_prestop_path
                .as_ref()
                .map(|path| path.as_str().to_owned()),
        ),
        (
            "DORY_READY_REQUIRES_APP",
            sidecar.ready_requires_app.then(|| "true".to_owned()),
        ),
    ];
    let values = values.into_iter();
    values
        .filter_map(|(name, value)| Some(Map::new().with("name", name).with("value", value?)))
        .collect()
}

fn secret_key(name: &str, secret: &str, key: &str) -> Map {
    from(
        name,
        "secretKeyRef",
        Map::new().with("name", secret).with("key", key),
    )
}

fn from(name: &str, source: &str, reference: Map) -> Map {
    Map::new()
        .with("name", name)
        .with("valueFrom", Map::new().with(source, reference))
}

/// What the container that serves the endpoints mounts.
fn endpoint_mounts(processor: &Processor) -> Vec<Map> {
    let mut mounts = vec![mount("tmp", "/tmp", false)];
    if processor.config.is_some() {
        mounts.push(mount("config", CONFIG_FOLDER, true));
    }
    if processor.store == Store::Pvc {
        mounts.push(mount("state", VOLUME_FOLDER, false));
    }
    mounts
}

fn state_dir_mount(processor: &Processor) -> Option<Map> {
    let folder = processor.options.sidecar.state_dir.as_ref()?;
    Some(mount("app-state", folder.as_str(), false))
}

fn mount(name: &str, path: &str, is_read_only: bool) -> Map {
    let mount = Map::new().with("name", name).with("mountPath", path);
    match is_read_only {
        true => mount.with("readOnly", true),
        false => mount,
    }
}

fn volumes(processor: &Processor) -> Vec<Map> {
    let volume =
        |name: &str, kind: &str, source: Node| Map::new().with("name", name).with(kind, source);
    let mut volumes = vec![volume("tmp", "emptyDir", Map::new().into())];
    if processor.config.is_some() {
        let source = Map::new().with("name", processor.config_name());
        volumes.push(volume("config", "configMap", source.into()));
    }
    if processor.store == Store::Pvc {
        let source = Map::new().with("claimName", processor.volume_name());
        volumes.push(volume("state", "persistentVolumeClaim", source.into()));
    }
    if processor.options.sidecar.state_dir.is_some() {
        volumes.push(volume("app-state", "emptyDir", Map::new().into()));
    }
    volumes
}
