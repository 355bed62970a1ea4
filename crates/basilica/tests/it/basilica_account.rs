//! Basilica: SSH keys, API keys, the account, and features of the newer service.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use satellite_basilica::MockBasilica;
use satellite_basilica::{
    ApiVersion, DeploymentConfig, DeploymentStatus, GpuRequirements, ListFilters, PortMapping,
};

use crate::basilica::{SSH_KEY, config, count};

#[test]
fn without_ssh_a_random_public_key_is_sent() {
    let mock = MockBasilica::start();
    let basilica = mock.client();
    let bare = || {
        DeploymentConfig::builder()
            .executor_id("executor-1")
            .image("train:1")
    };
    let keys: Vec<_> = (0..2)
        .map(|n| {
            let config = bare().no_ssh(true).build().unwrap();
            basilica.deployments().deploy(&config).unwrap();
            let deployed = &mock.deployed()[n];
            assert_eq!(deployed["no_ssh"], true);
            deployed["ssh_public_key"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_ne!(keys[0], keys[1], "each is random");
    for key in &keys {
        let blob = key
            .strip_prefix("ssh-ed25519 ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        assert!(blob.starts_with("AAAAC3NzaC1lZDI1NTE5AAAAI"), "{key}");
        assert_eq!(blob.len(), 68, "{key}");
        assert!(matches!(blob.as_bytes()[25], b'A'..=b'P'), "{key}");
    }
    // A configured key is sent unchanged.
    let config = bare().no_ssh(true).ssh_key(SSH_KEY).build().unwrap();
    basilica.deployments().deploy(&config).unwrap();
    assert_eq!(mock.deployed()[2]["ssh_public_key"], SSH_KEY);
    // With SSH a key is required, of a type that the gateway accepts.
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY me@edge";
    for config in [
        bare(),
        bare().ssh_key(ecdsa),
        bare().ssh_key(ecdsa).no_ssh(true),
    ] {
        let error = basilica.deployments().deploy(&config.build().unwrap());
        let error = error.unwrap_err();
        assert!(
            error.is_settings() && error.to_string().contains("ssh_key"),
            "{error}"
        );
    }
    assert_eq!(count(&mock, "POST", "/rentals"), 3);
}

/// The example of the README, statement by statement.
#[test]
fn the_readme_example_runs() {
    let mock = MockBasilica::start();
    mock.script(&["epoch 1", "epoch 2"], Duration::from_millis(1));
    let basilica = mock.client();
    let gpu = GpuRequirements::new(1, 80).gpu_type("H100");
    let config = DeploymentConfig::builder()
        .gpu(gpu)
        .image("train:1")
        .no_ssh(true)
        .build()
        .unwrap();
    let deployment = basilica.deployments().deploy(&config).unwrap();
    let log = basilica.deployments().logs(&deployment.id, true).unwrap();
    let lines: Vec<_> = log.map(|line| line.unwrap().message).collect();
    assert_eq!(lines, ["epoch 1", "epoch 2"]);
    basilica.deployments().stop(&deployment.id).unwrap();
    let readme = include_str!("../../README.md");
    for statement in [
        "let gpu = GpuRequirements::new(1, 80).gpu_type(\"H100\");",
        "DeploymentConfig::builder().gpu(gpu).image(\"train:1\").no_ssh(true).build()?;",
    ] {
        assert!(readme.contains(statement), "{statement}");
    }
}

#[test]
fn a_login_creates_lists_and_deletes_api_keys() {
    for version in [ApiVersion::Rentals, ApiVersion::Deployments] {
        let mock = MockBasilica::speaking(version);
        let token: String = mock.access_token();
        let person = mock.builder().token(&token).build().unwrap();
        assert!(person.account().api_keys().unwrap().is_empty());
        let made = person
            .account()
            .create_api_key("edge_1", &["rentals:*"])
            .unwrap();
        assert!(!format!("{made:?}").contains(made.token.expose()));
        // The new key works at once.
        let worker = mock.builder().token(made.token.clone()).build().unwrap();
        worker.executors().list_available().unwrap();
        let keys = person.account().api_keys().unwrap();
        assert_eq!((keys.len(), keys[0].name.as_str()), (1, "edge_1"));
        assert!(keys[0].last_used_at.is_some() && !keys[0].kid.is_empty());
        let again = person.account().create_api_key("edge_1", &[]).unwrap_err();
        assert!(again.is_conflict(), "{again}");
        // An API key cannot manage keys.
        let error = worker.account().api_keys().unwrap_err();
        assert!(error.is_unauthorized(), "{error}");
        assert_eq!(error.server_type(), Some("BASILICA_API_AUTH_ERROR"));

        person.account().delete_api_key("edge_1").unwrap();
        assert!(
            worker
                .executors()
                .list_available()
                .unwrap_err()
                .is_unauthorized()
        );
        let gone = person.account().delete_api_key("edge_1").unwrap_err();
        assert!(gone.is_not_found(), "{gone}");
        let before = mock.requests().len();
        for name in ["", "a/b", "é", &"a".repeat(101)] {
            assert!(
                person
                    .account()
                    .create_api_key(name, &[])
                    .unwrap_err()
                    .is_settings()
            );
            assert!(
                person
                    .account()
                    .delete_api_key(name)
                    .unwrap_err()
                    .is_settings()
            );
        }
        assert_eq!(mock.requests().len(), before, "nothing was sent");
    }
}

#[test]
fn the_list_accepts_only_the_gateways_states() {
    let mock = MockBasilica::start();
    let basilica = mock.client();
    let deployments = basilica.deployments();
    let ids: Vec<_> = (0..4)
        .map(|_| deployments.deploy(&config().build().unwrap()).unwrap().id)
        .collect();
    ids[1..]
        .iter()
        .for_each(|id| drop(deployments.status(id).unwrap()));
    mock.finish(&ids[2]);
    mock.fail(&ids[3]);
    let ask = |status: &str| {
        let host = mock.url().replace("http://", "");
        let mut stream = TcpStream::connect(&host).unwrap();
        let token = mock.access_token();
        write!(
            stream,
            "GET /rentals?status={status} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    for (n, state) in ["Provisioning", "Active", "Stopped", "Failed"]
        .iter()
        .enumerate()
    {
        let answer: serde_json::Value = serde_json::from_str(&ask(state)).unwrap();
        assert_eq!(answer["total_count"], 1, "{state}");
        assert_eq!(answer["rentals"][0]["rental_id"], ids[n].as_str());
        assert_eq!(answer["rentals"][0]["state"], *state);
    }
    assert!(ask("Stopping").contains("\"total_count\":0"));
    for unknown in ["active", "Pending", "Terminated"] {
        assert!(ask(unknown).contains("unknown variant"), "{unknown}");
    }
    let states: Vec<_> = deployments.list(&ListFilters::default()).unwrap();
    let states: Vec<_> = states.into_iter().map(|one| one.status).collect();
    let failed = DeploymentStatus::Failed(String::new());
    assert_eq!(
        states,
        [
            DeploymentStatus::Pending,
            DeploymentStatus::Running,
            DeploymentStatus::Stopped,
            failed
        ]
    );
}

#[test]
fn the_newer_service_has_restarts_events_offerings_and_billing() {
    let mock = MockBasilica::speaking(ApiVersion::Deployments);
    let basilica = mock.client();
    let deployments = basilica.deployments();
    let config = DeploymentConfig::builder()
        .image("nginx")
        .ports([PortMapping::tcp(80, 80)]);
    let made = deployments.deploy(&config.build().unwrap()).unwrap();
    let ready = || deployments.get(&made.id).unwrap().extra["replicas"]["ready"].clone();
    assert_eq!(ready(), 1);
    assert_eq!(
        deployments.restart(&made.id).unwrap().status,
        DeploymentStatus::Pending
    );
    assert_eq!(ready(), 1);
    let events = deployments.events(&made.id, 20).unwrap();
    assert_eq!(events[0].reason, "Pulled");
    assert_eq!(
        (events[1].kind.as_str(), events[1].count),
        ("Normal", Some(2))
    );
    assert!(events[1].last_timestamp.is_some());
    assert_eq!(deployments.events(&made.id, 1).unwrap().len(), 1);
    for gone in [
        deployments.restart("none").map(drop),
        deployments.events("none", 1).map(drop),
        deployments.get("none").map(drop),
    ] {
        assert!(gone.unwrap_err().is_not_found());
    }

    let account = basilica.account();
    assert!(account.ssh_key().unwrap().is_none());
    let key = account.register_ssh_key("laptop", SSH_KEY).unwrap();
    assert_eq!(key.public_key, SSH_KEY);
    assert!(
        account
            .register_ssh_key("other", SSH_KEY)
            .unwrap_err()
            .is_conflict()
    );
    assert_eq!(account.ssh_key().unwrap().unwrap().id, key.id);
    account.delete_ssh_key().unwrap();
    assert!(account.delete_ssh_key().unwrap_err().is_not_found());

    assert_eq!(account.balance().unwrap().balance, "12.500000");
    let usage = account.usage(10, 0).unwrap();
    assert_eq!(
        (usage.total_count, usage.rentals[0].rental_id.as_str()),
        (1, made.id.as_str())
    );
    assert!(account.usage(10, 1).unwrap().rentals.is_empty());
    let offerings = basilica.executors().cpu_offerings().unwrap();
    assert_eq!(
        (offerings[0].vcpu_count, offerings[0].availability),
        (8, true)
    );
}

#[test]
fn features_of_the_newer_service_are_rejected_before_anything_is_sent() {
    let mock = MockBasilica::start();
    let basilica = mock.client();
    let account = basilica.account();
    for refused in [
        basilica.deployments().restart("a").map(drop),
        basilica.deployments().events("a", 1).map(drop),
        basilica.executors().cpu_offerings().map(drop),
        account.ssh_key().map(drop),
        account.register_ssh_key("a", SSH_KEY).map(drop),
        account.delete_ssh_key(),
        account.balance().map(drop),
        account.usage(1, 0).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert!(error.to_string().contains("Rentals"), "{error}");
    }
    assert!(mock.requests().is_empty());
}
