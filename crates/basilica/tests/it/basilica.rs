//! Deployments and machines of Basilica.

use std::time::Duration;

use satellite_basilica::MockBasilica;
use satellite_basilica::{
    ApiVersion, BasilicaClient, DeploymentConfig, DeploymentConfigBuilder, DeploymentStatus,
    ExecutorFilters, GpuRequirements, ListFilters, PortMapping, ResourceRequirements, VolumeMount,
};
use satellite_core::ManualClock;
use satellite_serve::testing::Fault;
use serde_json::json;

pub const SSH_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@edge";

pub fn config() -> DeploymentConfigBuilder {
    let resources = ResourceRequirements::builder()
        .cpu_cores(2.0)
        .memory_mb(4096);
    DeploymentConfig::builder()
        .executor_id("executor-1")
        .image("nginx:latest")
        .ssh_key(SSH_KEY)
        .resources(resources.gpu_count(1).gpu_types(["H100"]).build())
        .ports([PortMapping::tcp(80, 8080)])
}

/// A client with simulated waits, which take no time.
pub fn quick(mock: &MockBasilica) -> BasilicaClient {
    mock.builder()
        .clock(ManualClock::default())
        .build()
        .unwrap()
}

pub fn count(mock: &MockBasilica, method: &str, path: &str) -> usize {
    let all = mock.requests();
    all.iter()
        .filter(|r| r.method == method && r.path.contains(path))
        .count()
}

#[test]
fn a_deployment_is_created_inspected_and_stopped() {
    let mock = MockBasilica::start();
    let basilica = mock.client();
    let config = config()
        .env("MODEL", "llama")
        .volumes([VolumeMount::new("/srv", "/models").read_only()])
        .command(["serve", "--port", "80"])
        .build()
        .unwrap();
    let made = basilica.deployments().deploy(&config).unwrap();
    assert!(
        !format!("{config:?} {made:?}").contains("llama"),
        "values are not printed"
    );
    assert_eq!(
        mock.deployed()[0],
        json!({
            "executor_selection": { "type": "executor_id", "executor_id": "executor-1" },
            "container_image": "nginx:latest",
            "ssh_public_key": SSH_KEY,
            "environment": { "MODEL": "llama" },
            "ports": [{ "container_port": 80, "host_port": 8080, "protocol": "tcp" }],
            "resources": {
                "cpu_cores": 2.0, "memory_mb": 4096, "storage_mb": 10240, "gpu_count": 1,
                "gpu_types": ["H100"],
            },
            "command": ["serve", "--port", "80"],
            "volumes": [{ "host_path": "/srv", "container_path": "/models", "read_only": true }],
            "no_ssh": false,
        })
    );
    assert_eq!(made.status, DeploymentStatus::Running);
    assert_eq!(made.image.as_deref(), Some("nginx:latest"));
    assert_eq!(made.executor_id.as_deref(), Some("executor-1"));
    assert_eq!(made.resources.as_ref().unwrap().memory_mb, 4096);
    assert_eq!(made.ports, [PortMapping::tcp(80, 8080)]);
    let ssh = made.ssh_access.unwrap();
    assert_eq!(ssh.to_string(), "ssh -p 32022 root@192.0.2.7");

    let deployments = basilica.deployments();
    assert_eq!(
        deployments.status(&made.id).unwrap(),
        DeploymentStatus::Pending
    );
    assert_eq!(
        deployments.status(&made.id).unwrap(),
        DeploymentStatus::Running
    );
    let got = deployments.get(&made.id).unwrap();
    assert_eq!(
        got.image.as_deref(),
        Some("nginx:latest"),
        "joined with the list"
    );
    assert!(
        got.resources.is_none(),
        "the service does not return them again"
    );
    let machine = got.machine_resources.unwrap();
    assert_eq!((machine.gpu_count, machine.cpu_cores), (1, 32.0));
    assert_eq!(machine.gpu_types, ["NVIDIA H100"]);
    assert!(got.created_at.unwrap().starts_with("2026-"));
    assert!(got.extra.contains_key("updated_at"));

    deployments.stop(&made.id).unwrap();
    for gone in [
        deployments.stop(&made.id).unwrap_err(),
        deployments.get(&made.id).unwrap_err(),
        deployments.status(&made.id).unwrap_err(),
        deployments.logs(&made.id, false).unwrap_err(),
    ] {
        assert!(gone.is_not_found(), "{gone}");
        assert!(gone.to_string().contains(&made.id), "{gone}");
    }
}

#[test]
fn a_machine_is_selected_by_its_gpus() {
    let mock = MockBasilica::start();
    let gpu = GpuRequirements::new(4, 40).gpu_type("H100");
    let config = config().gpu(gpu).no_ssh(true).build().unwrap();
    let made = mock.client().deployments().deploy(&config).unwrap();
    assert!(made.ssh_access.is_none());
    assert_eq!(made.executor_id.as_deref(), Some("executor-2"));
    assert_eq!(count(&mock, "GET", "/rentals/"), 1, "looked up once");
    let deployed = &mock.deployed()[0];
    assert_eq!(
        deployed["executor_selection"]["gpu_requirements"],
        json!({ "min_memory_gb": 40, "gpu_type": "H100", "gpu_count": 4 })
    );
    // A failed look-up does not fail the rental and is not retried.
    mock.fault("GET", "/rentals/", Fault::Status(503));
    let made = quick(&mock).deployments().deploy(&config).unwrap();
    assert_eq!((made.executor_id, mock.deployed().len()), (None, 2));
    assert_eq!(count(&mock, "GET", "/rentals/"), 2);
    // GPUs that no machine has.
    let none = self::config().gpu(GpuRequirements::new(64, 80)).build();
    let error = mock
        .client()
        .deployments()
        .deploy(&none.unwrap())
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(error.server_type(), Some("BASILICA_API_NOT_FOUND"));
}

#[test]
fn every_problem_is_reported_before_anything_is_sent() {
    let resources = ResourceRequirements::builder()
        .cpu_cores(f64::NAN)
        .memory_mb(0);
    let wrong = DeploymentConfig::builder()
        .image("no such\nimage")
        .ssh_key("-----BEGIN OPENSSH PRIVATE KEY----- hush")
        .resources(resources.gpu_types(["H100", "; rm"]).build())
        .ports([
            PortMapping::tcp(80, 0),
            PortMapping::tcp(1, 9),
            PortMapping::tcp(2, 9),
        ])
        .volumes([
            VolumeMount::new("relative", "/../etc"),
            VolumeMount::new("/a", "/"),
        ])
        .env("A=B", "c")
        .command([""])
        .name("Not A Name")
        .replicas(0);
    let error = wrong.build().unwrap_err();
    assert!(error.is_settings());
    let text = error.to_string();
    for name in [
        "image:",
        "ssh_key:",
        "cpu_cores:",
        "memory_mb:",
        "gpu_types:",
        "ports:",
        "volumes:",
        "environment:",
        "command:",
        "name:",
        "replicas:",
        "host port 9 is mapped twice",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("hush"), "{text}");

    let mock = MockBasilica::start();
    let minimal = || DeploymentConfig::builder().image("nginx");
    let rejection = |config: DeploymentConfigBuilder, version| {
        let client = mock.builder().api_version(version).build().unwrap();
        let error = client.deployments().deploy(&config.build().unwrap());
        error.unwrap_err().to_string()
    };
    let text = rejection(minimal().public(true), ApiVersion::Rentals);
    assert!(text.starts_with("3 settings are wrong"), "{text}");
    let two = [PortMapping::tcp(80, 80), PortMapping::udp(53, 53)];
    let text = rejection(
        config().ports(two).volumes([VolumeMount::new("/a", "/b")]),
        ApiVersion::Deployments,
    );
    assert!(text.starts_with("3 settings are wrong"), "{text}");
    assert!(mock.requests().is_empty());
}

#[test]
fn machines_are_found_by_each_filter() {
    let mock = MockBasilica::start();
    let basilica = mock.client();
    let all = basilica.executors().list_available().unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[1].gpu_specs.len(), 8);
    assert_eq!(
        (all[0].cpu_specs.cores, all[0].uptime_percentage),
        (32, 99.5)
    );
    assert!(all[0].extra.contains_key("network_speed"));
    let ids = |filters: ExecutorFilters| -> Vec<_> {
        let found = basilica.executors().find(&filters).unwrap();
        found.into_iter().map(|executor| executor.id).collect()
    };
    let any = ExecutorFilters::default;
    assert_eq!(
        ids(any().min_gpu_memory_gb(40)),
        ["executor-1", "executor-2"]
    );
    assert_eq!(ids(any().gpu_type("rtx A4000")), ["executor-3"]);
    assert_eq!(ids(any().min_gpu_count(2)), ["executor-2"]);
    assert_eq!(ids(any().city("Paris")), ["executor-3"]);
    assert_eq!(ids(any().region("Texas")), ["executor-2"]);
    assert_eq!(ids(any().country("FI").country("FR")), ["executor-3"]);
}

#[test]
fn deployments_are_listed_by_each_filter() {
    let mock = MockBasilica::start();
    let deployments = mock.client();
    let deployments = deployments.deployments();
    let ids: Vec<_> = ["executor-1", "executor-2", "executor-3"]
        .map(|executor| config().executor_id(executor).build().unwrap())
        .map(|config| deployments.deploy(&config).unwrap().id)
        .into();
    deployments.status(&ids[0]).unwrap();
    mock.fail(&ids[2]);
    let list = |filters: ListFilters| -> Vec<_> {
        let found = deployments.list(&filters).unwrap();
        found.into_iter().map(|deployment| deployment.id).collect()
    };
    let any = ListFilters::default;
    assert_eq!(list(any()), ids);
    assert_eq!(list(any().status(DeploymentStatus::Running)), ids[..1]);
    assert_eq!(list(any().status(DeploymentStatus::Pending)), ids[1..2]);
    assert_eq!(
        list(any().status(DeploymentStatus::Failed("".into()))),
        ids[2..]
    );
    assert_eq!(list(any().gpu_type("h100").min_gpu_count(2)), ids[1..2]);
}

#[test]
fn the_newer_service_identifies_deployments_by_its_assigned_name() {
    let mock = MockBasilica::speaking(ApiVersion::Deployments);
    let basilica = mock.client();
    assert_eq!(
        basilica.executors().list_available().unwrap()[1].hourly_rate_cents,
        Some(792.0)
    );
    let resources = ResourceRequirements::builder().cpu_cores(0.5).gpu_count(1);
    let config = DeploymentConfig::builder()
        .name("my-model")
        .image("vllm/vllm-openai")
        .resources(resources.gpu_types(["H100"]).build())
        .ports([PortMapping::tcp(8000, 8000)])
        .env("A", "b")
        .command(["serve"])
        .ttl(Duration::from_secs(3600))
        .public(true)
        .build()
        .unwrap();
    let made = basilica.deployments().deploy(&config).unwrap();
    assert_ne!(made.id, config.name());
    assert_eq!(made.image.as_deref(), Some("vllm/vllm-openai"));
    let url = made.url.unwrap();
    assert!(
        url.starts_with(&format!("{}/apps/my-model-", mock.url())),
        "{url}"
    );
    assert_eq!(
        mock.deployed()[0],
        json!({
            "instanceName": "my-model", "image": "vllm/vllm-openai", "replicas": 1, "port": 8000,
            "command": ["serve"], "env": { "A": "b" }, "ttlSeconds": 3600, "public": true,
            "resources": {
                "cpu": "0.5", "memory": "1024Mi", "gpus": { "count": 1, "model": ["H100"] },
            },
        })
    );
    let deployments = basilica.deployments();
    assert_eq!(
        deployments.get(&made.id).unwrap().status,
        DeploymentStatus::Running
    );
    assert_eq!(
        deployments.list(&ListFilters::default()).unwrap()[0].id,
        made.id
    );
    mock.print(&made.id, "hello");
    mock.fail(&made.id);
    let reason = DeploymentStatus::Failed("the container exited with 1".into());
    assert_eq!(deployments.status(&made.id).unwrap(), reason);
    let lines: Vec<_> = deployments
        .logs(&made.id, true)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines[0].message, "hello");
    deployments.stop(&made.id).unwrap();
    assert!(deployments.stop(&made.id).unwrap_err().is_not_found());
}
