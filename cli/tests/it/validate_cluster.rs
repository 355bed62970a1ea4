//! `satellite validate --cluster`: the rights that the API grants.

use satellite_state::{ConfigMapStore, Content, FileStore, StateEditor, WhenHeld};
use serde_json::json;

use crate::command::{End, Folder, ended};
use crate::fake_kubernetes::FakeKubernetes;

fn validate(cluster: &FakeKubernetes, more: &[&str]) -> End {
    let folder = Folder::new();
    let url = cluster.url();
    let account = cluster.account().to_str().unwrap().to_owned();
    let mut command = folder.command(&["validate", "--cluster", "--api", &url]);
    if !more.contains(&"--as") {
        command.args(["--service-account", &account]);
    }
    command
        .args(more)
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .env("DORY_PROCESSOR_ID", "orders")
        .env("DORY_POD_NAMESPACE", "shop");
    ended(&mut command, "")
}

#[test]
fn a_processor_with_its_rights_is_valid() {
    let cluster = FakeKubernetes::start();
    cluster.state().granted = Some(ConfigMapStore::rights("orders"));
    let end = validate(&cluster, &[]);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(
        end.stdout
            .contains("  get configmaps/dory-state-orders: granted\n"),
        "{end:?}"
    );
    let requests = cluster.state().requests.clone();
    let is_read_only = |request: &String| {
        request.starts_with("GET ") || request.ends_with("/selfsubjectaccessreviews")
    };
    assert!(requests.iter().all(is_read_only), "{requests:?}");
}

#[test]
fn the_stored_state_is_read_and_a_damaged_one_is_a_problem() {
    let cluster = FakeKubernetes::start();
    let end = validate(&cluster, &[]);
    assert!(end.stdout.contains("  state: none stored yet\n"), "{end:?}");

    let folder = Folder::new();
    let store = FileStore::new(folder.path());
    let mut editor = StateEditor::new(store, "shop", "orders").unwrap();
    let state = br#"{"card":"hunter2"}"#.to_vec();
    let content = Content {
        schema: 1,
        unclean_starts: 0,
        state,
    };
    editor.replace(WhenHeld::Refuse, |_| Ok(content)).unwrap();
    let newest = editor.history().unwrap().remove(0).snapshot.unwrap();
    let document = String::from_utf8(newest.to_document()).unwrap();
    let name = "dory-state-orders";
    cluster.put(
        "configmaps",
        "shop",
        name,
        json!({ "data": { "state": document } }),
    );
    let end = validate(&cluster, &[]);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(
        end.stdout.contains("  state: generation 1 of 20"),
        "{end:?}"
    );
    assert!(end.stdout.contains("dory-state-orders"), "{end:?}");
    assert!(!end.stdout.contains("hunter2"), "{end:?}");

    let damaged = document.replace("hunter2", "hunter3");
    cluster.put(
        "configmaps",
        "shop",
        name,
        json!({ "data": { "state": damaged } }),
    );
    let end = validate(&cluster, &[]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("error: store: "), "{end:?}");
    assert!(!end.stderr.contains("hunter3"), "{end:?}");
}

#[test]
fn other_stores_are_read_as_well() {
    let folder = Folder::new();
    let end = folder.done(&["validate", "--cluster"]);
    assert!(
        end.stdout
            .contains("rights: none needed for the store local"),
        "{end:?}"
    );
    assert!(end.stdout.contains("state: none stored yet"), "{end:?}");
    folder.write("dory-state", "a file in place of the folder");
    let end = folder.run(&["validate", "--cluster"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("error: store: "), "{end:?}");
}

#[test]
fn a_check_of_a_processor_that_is_not_in_the_manifests_is_a_warning() {
    let folder = Folder::new();
    folder.done(&["generate", "all", "my-app", "--image", "shop/app:1"]);
    let check = |id: &str, backend: &str| {
        let mut command = folder.command(&["validate", "--cluster"]);
        command.env("DORY_PROCESSOR_ID", id);
        command.env("DORY_STATE_BACKEND", backend);
        ended(&mut command, "")
    };
    let end = check("my-app", "local");
    let warning = "warning: cluster: the processor checked is my-app with the store local, which is \
                   not in the manifests: set DORY_PROCESSOR_ID=my-app and DORY_STATE_BACKEND=configmap";
    assert!(end.code == 0 && end.stderr.contains(warning), "{end:?}");
    let end = check("my-app", "configmap");
    assert!(!end.stderr.contains("the processor checked"), "{end:?}");
}

#[test]
fn each_missing_right_is_named() {
    let cluster = FakeKubernetes::start();
    // Those of the original's manifests: no leases.
    let mut rights = ConfigMapStore::rights("orders");
    rights.retain(|right| right.resource != "leases");
    cluster.state().granted = Some(rights);
    let end = validate(&cluster, &[]);
    assert_eq!(end.code, 1, "{end:?}");
    let expected =
        "error: cluster: create leases.coordination.k8s.io is not granted in namespace shop";
    assert!(end.stderr.contains(expected), "{end:?}");
    assert_eq!(end.stderr.lines().count(), 3, "{end:?}");
}

#[test]
fn through_a_proxy_it_asks_for_the_rights_of_the_service_account() {
    let cluster = FakeKubernetes::start();
    cluster.state().token = String::new();
    let user = "system:serviceaccount:shop:orders";
    let end = validate(&cluster, &["--as", user]);
    assert_eq!(end.code, 0, "{end:?}");
    let impersonated = cluster.state().impersonated.clone();
    assert!(
        !impersonated.is_empty() && impersonated.iter().all(|u| u == user),
        "{impersonated:?}"
    );
}

#[test]
fn an_api_that_rejects_the_token_or_does_not_answer_is_a_problem() {
    let cluster = FakeKubernetes::start();
    cluster.state().token = "another".into();
    let end = validate(&cluster, &[]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("401"), "{end:?}");
    assert!(!end.stderr.contains("first-token"), "{end:?}");

    let folder = Folder::new();
    let mut command = folder.command(&["validate", "--cluster", "--api", "http://127.0.0.1:1"]);
    command
        .env("DORY_STATE_BACKEND", "configmap")
        .env("DORY_PROCESSOR_ID", "orders");
    let end = ended(&mut command, "");
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("error: cluster:"), "{end:?}");
}
