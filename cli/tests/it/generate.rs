//! `satellite generate`: valid manifests, or a clear refusal.

use saphyr::{LoadableYamlNode, Yaml};

use crate::command::Folder;

/// The documents that a command writes to stdout.
fn generated(folder: &Folder, arguments: &[&str]) -> String {
    let arguments = [arguments, &["-o", "-"]].concat();
    folder
        .done(&[&["generate"], arguments.as_slice()].concat())
        .stdout
}

fn of_kind<'a, 'b>(documents: &'b [Yaml<'a>], kind: &str) -> &'b Yaml<'a> {
    let mut found = documents
        .iter()
        .filter(|d| d["kind"].as_str() == Some(kind));
    found.next().unwrap_or_else(|| panic!("no {kind}"))
}

fn values(container: &Yaml<'_>) -> Vec<(String, Option<String>)> {
    let text = |node: &Yaml<'_>| node.as_str().map(str::to_owned);
    let env = container["env"].as_sequence().unwrap().iter();
    env.map(|entry| {
        let value = entry.as_mapping_get("value").and_then(text);
        (text(&entry["name"]).unwrap(), value)
    })
    .collect()
}

#[test]
fn the_same_options_give_the_same_bytes_on_stdout_and_in_a_file() {
    let folder = Folder::new();
    let options = ["all", "my-app", "--app-port", "8081", "--store", "pvc"];
    let first = generated(&folder, &options);
    assert_eq!(first, generated(&folder, &options));
    let end = folder.done(&[&["generate"], options.as_slice()].concat());
    assert_eq!(end.stdout, "Generated: k8s/all.yaml\n");
    assert_eq!(folder.read("k8s/all.yaml"), first);
    // The name as an option, as in dory-sdk.
    let named = [
        "all",
        "--name",
        "my-app",
        "--app-port",
        "8081",
        "--store",
        "pvc",
    ];
    assert_eq!(generated(&folder, &named), first);
}

#[test]
fn a_file_with_another_content_is_overwritten_only_with_force() {
    let folder = Folder::new();
    folder.write("k8s/rbac.yaml", "mine\n");
    let end = folder.run(&["generate", "rbac", "my-app"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(
        end.stderr.contains("k8s/rbac.yaml already exists"),
        "{end:?}"
    );
    assert_eq!(folder.read("k8s/rbac.yaml"), "mine\n");

    let end = folder.done(&["generate", "rbac", "my-app", "--force", "--dry-run"]);
    assert!(
        end.stdout.starts_with("Would write: k8s/rbac.yaml"),
        "{end:?}"
    );
    assert_eq!(folder.read("k8s/rbac.yaml"), "mine\n");

    folder.done(&["generate", "rbac", "my-app", "--force"]);
    assert!(folder.read("k8s/rbac.yaml").contains("kind: Role\n"));
    let again = folder.done(&["generate", "rbac", "my-app"]);
    assert_eq!(again.stdout, "Unchanged: k8s/rbac.yaml\n");
    assert_eq!(
        folder.files(),
        ["k8s/rbac.yaml"],
        "no temporary file is left"
    );
}

#[test]
fn values_that_kubernetes_would_reject_are_refused() {
    let folder = Folder::new();
    for (options, expected) in [
        ("My_App", "RFC 1123"),
        ("my-app --image App:1", "expected an image"),
        ("my-app -n Shop", "RFC 1123"),
        ("my-app --memory 1GiB", "expected a quantity"),
        ("my-app --memory 500m", "expected bytes"),
        ("my-app --cpu 0.5m", "expected processors"),
        ("my-app --health-port 0", "0 is not in 1..=65535"),
        ("my-app --health-port 70000", "70000 is not in 1..=65535"),
        ("my-app --shutdown-timeout 301", "301 is not in 1..=300"),
        ("my-app --store floppy", "possible values"),
        ("my-app --store s3", "--s3-bucket"),
        ("my-app --store s3 --s3-bucket A", "expected a bucket"),
        ("my-app --state-dir data", "absolute path"),
        ("my-app --app-health-path /up", "--sidecar-image"),
        ("my-app --storage-class Fast", "RFC 1123"),
        ("", "<NAME>"),
    ] {
        let mut arguments = vec!["generate", "all"];
        arguments.extend(options.split_whitespace());
        let end = folder.run(&arguments);
        assert_eq!(end.code, 2, "{options}: {end:?}");
        assert!(end.stderr.contains(expected), "{options}: {end:?}");
    }
    assert_eq!(folder.files(), [""; 0], "nothing was written");
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let folder = Folder::new();
    folder.write("secret.yaml", "state_token: hunter2\n");
    folder.write("typo.yaml", "helth_port: 1\n");
    folder.write("wrong.yaml", "health_port: many\n");
    for (options, expected) in [
        ("all my-app --replicas 2", "one writer"),
        ("service my-app", "--app-port"),
        ("service 1st-app --app-port 80", "RFC 1035"),
        (
            "all my-app --app-port 8080",
            "also the port of the endpoints",
        ),
        ("all my-app --cpu 2 --cpu-limit 1", "more than --cpu-limit"),
        ("all my-app --store none", "behind the sidecar"),
        (
            "all my-app --sidecar-image s:1 --store pvc",
            "only with --state-dir",
        ),
        (
            "all my-app --store s3 --s3-bucket abc --s3-endpoint minio:9000",
            "expected an http",
        ),
        ("all my-app --config secret.yaml", "use --token-secret"),
        ("all my-app --config typo.yaml", "did you mean health_port?"),
        ("all my-app --config wrong.yaml", "expected a port"),
        (
            "all my-app --config nowhere.yaml",
            "cannot read nowhere.yaml",
        ),
    ] {
        let mut arguments = vec!["generate"];
        arguments.extend(options.split_whitespace());
        let end = folder.run(&arguments);
        assert_eq!(end.code, 1, "{options}: {end:?}");
        assert!(end.stderr.contains(expected), "{options}: {end:?}");
        assert!(!end.stderr.contains("hunter2"), "{end:?}");
    }
    assert!(!folder.path().join("k8s").exists(), "nothing was written");
}

#[test]
fn every_variant_passes_its_own_validation() {
    let folder = Folder::new();
    folder.write("dory.yaml", include_str!("dory.yaml"));
    for options in [
        "--name my-app",
        "my-app --app-port 8081 --health-port 9090 -n shop --token-secret t",
        "my-app --shutdown-timeout 300",
        "my-app --store pvc --storage-size 5Gi --storage-class fast",
        "my-app --store s3 --s3-bucket states --s3-endpoint http://minio:9000",
        "my-app --import-dory-sdk --config dory.yaml",
        "web --sidecar-image s:1 --app-port 80 --app-health-path /up --ready-requires-app",
        "web --sidecar-image s:1 --replicas 3",
        "web --sidecar-image s:1 --state-dir /var/lib/web",
        "sidecar --sidecar-image s:1 --state-dir /state --store pvc",
    ] {
        for kind in ["all", "pod"] {
            let mut arguments = vec!["generate", kind, "-o", "-", "--image", "app:1"];
            arguments.extend(options.split_whitespace());
            let text = folder.done(&arguments).stdout;
            // A Pod comes without its rights.
            let strict: &[&str] = if kind == "all" { &["--strict"] } else { &[] };
            let arguments = [&["validate", "-", "-c", "dory.yaml"], strict].concat();
            let end = folder.run_with_input(&arguments, &text);
            assert_eq!(end.code, 0, "{kind} {options}: {end:?}\n{text}");
        }
    }
}

#[test]
fn names_that_are_words_or_numbers_in_yaml_stay_names() {
    let folder = Folder::new();
    for name in [
        "null", "true", "on", "no", "y", "1e3", "123", "0x1f", "1-2-3", "010",
    ] {
        let text = generated(&folder, &["all", name, "-n", name]);
        let documents = Yaml::load_from_str(&text).unwrap();
        let deployment = of_kind(&documents, "Deployment");
        let metadata = &deployment["metadata"];
        assert_eq!(metadata["name"].as_str(), Some(name));
        assert_eq!(metadata["namespace"].as_str(), Some(name));
        // YAML 1.1, which Kubernetes reads, has more words.
        assert!(text.contains(&format!("\n  name: \"{name}\"\n")), "{text}");
    }
    let prefix = "no: \"yes\" # 'x' \\ {{a}}";
    let options = [
        "all",
        "a",
        "--store",
        "s3",
        "--s3-bucket",
        "abc",
        "--s3-prefix",
        prefix,
    ];
    let text = generated(&folder, &options);
    let documents = Yaml::load_from_str(&text).unwrap();
    let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
    let env = values(&pod["containers"][0]);
    let found = env.iter().find(|(name, _)| name == "DORY_STATE_S3_PREFIX");
    assert_eq!(found.unwrap().1.as_deref(), Some(prefix));
}

#[test]
fn rights_are_limited_to_names_except_create() {
    let folder = Folder::new();
    let text = generated(&folder, &["rbac", "my-app", "--import-dory-sdk"]);
    let documents = Yaml::load_from_str(&text).unwrap();
    let rules = of_kind(&documents, "Role")["rules"].as_sequence().unwrap();
    let mut named = Vec::new();
    for rule in rules {
        let verbs: Vec<_> = rule["verbs"]
            .as_sequence()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        match rule.as_mapping_get("resourceNames") {
            Some(names) => named.push((names[0].as_str().unwrap(), verbs.join(" "))),
            None => assert_eq!(verbs, ["create"]),
        }
    }
    let expected = [
        ("dory-state-my-app", "get update delete"),
        ("dory-original-my-app", "update"),
        ("dory-state-my-app", "get update"),
        ("dory-state-my", "get"),
    ];
    for (name, verbs) in expected {
        assert!(named.contains(&(name, verbs.to_owned())), "{named:?}");
    }
    assert_eq!(named.len(), expected.len());
    assert!(
        text.contains("# The API cannot limit create to a name."),
        "{text}"
    );
    // Other stores need nothing of the API.
    let text = generated(&folder, &["rbac", "my-app", "--store", "pvc"]);
    assert!(!text.contains("kind: Role"), "{text}");
    assert!(
        text.contains("automountServiceAccountToken: false"),
        "{text}"
    );
}

#[test]
fn ports_paths_and_times_of_a_file_of_settings_reach_the_pod() {
    let folder = Folder::new();
    folder.write("dory.yaml", include_str!("dory.yaml"));
    let text = generated(&folder, &["deployment", "my-app", "--config", "dory.yaml"]);
    let documents = Yaml::load_from_str(&text).unwrap();
    let config = of_kind(&documents, "ConfigMap")["data"]["config.yaml"].as_str();
    assert_eq!(config, Some(include_str!("dory.yaml")));
    let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(
        pod["terminationGracePeriodSeconds"].as_integer(),
        Some(13 + 5)
    );
    let container = &pod["containers"][0];
    assert_eq!(
        container["ports"][0]["containerPort"].as_integer(),
        Some(9191)
    );
    assert_eq!(
        container["livenessProbe"]["httpGet"]["path"].as_str(),
        Some("/live")
    );
    let env = values(container);
    assert!(
        env.contains(&("DORY_HEALTH_PORT".into(), Some("9191".into()))),
        "{env:?}"
    );
}

#[test]
fn a_volume_is_not_shared_by_two_pods_and_other_stores_are_handed_over() {
    let folder = Folder::new();
    for (store, strategy) in [("pvc", "Recreate"), ("configmap", "RollingUpdate")] {
        let text = generated(&folder, &["deployment", "my-app", "--store", store]);
        let documents = Yaml::load_from_str(&text).unwrap();
        let found = &of_kind(&documents, "Deployment")["spec"]["strategy"];
        assert_eq!(found["type"].as_str(), Some(strategy), "{store}");
    }
}
