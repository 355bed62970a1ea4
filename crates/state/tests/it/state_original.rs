//! The state of dory-sdk, the Python original, taken over from where it really
//! lies. What it wrote was made by the real one: see `tests/original/make.py`.

use std::fs;
use std::path::Path;

use satellite_state::Snapshot;
use serde_json::{Value, json};
use tempfile::tempdir as temp_directory;

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NAMESPACE, NEW, OLD, pod};
use crate::process::{Satellite, start};
use crate::state_child::started_with;
use crate::state_child::{Counts, command, counts, eventually, last_count};

const CONFIG_MAP: &str = include_str!("../original/configmap.json");
const SAVES: &str = include_str!("../original/saves.json");

/// The document that dory-sdk saves for `id` with this count.
fn saved(id: &str, count: u64) -> String {
    let saves: Value = serde_json::from_str(SAVES).unwrap();
    let document = saves[id][count.to_string()].as_str();
    document.unwrap().to_owned()
}

/// As dory-sdk saves: a create, or else a replace without a version.
fn save_as_the_original(cluster: &FakeKubernetes, id: &str, count: u64) -> Value {
    let mut object: Value = serde_json::from_str(CONFIG_MAP).unwrap();
    object["data"]["state"] = json!(saved(id, count));
    cluster.put("configmaps", NAMESPACE, &name(id), object);
    data(cluster, &name(id)).unwrap()
}

fn name(id: &str) -> String {
    format!("dory-state-{id}")
}

fn data(cluster: &FakeKubernetes, name: &str) -> Option<Value> {
    let object = cluster.object("configmaps", NAMESPACE, name)?;
    Some(object["data"].clone())
}

fn kept(cluster: &FakeKubernetes, id: &str) -> u64 {
    let document = data(cluster, &name(id)).expect("something should be kept");
    let snapshot = Snapshot::from_document(document["state"].as_str().unwrap().as_bytes());
    let snapshot = snapshot.unwrap();
    assert!(snapshot.stamp.epoch > 0, "it is this kit's own");
    serde_json::from_slice::<Counts>(&snapshot.content.state)
        .unwrap()
        .count
}

fn stop(mut pod: Satellite) -> Satellite {
    pod.signal("TERM");
    assert_eq!(pod.end().0.code(), Some(0), "{:#?}", pod.log);
    pod
}

fn warnings(process: &Satellite) -> Vec<&String> {
    let lines = process.log.iter();
    lines
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .collect()
}

#[test]
fn a_configmap_under_the_name_that_its_manifests_lead_to_is_taken_over_and_kept() {
    let cluster = FakeKubernetes::start();
    let original = save_as_the_original(&cluster, "my", 41);
    let mut first = pod(&cluster, NEW, &[]);
    first.line("taken over from ConfigMap dory-state-my");
    assert_eq!(started_with(&mut first), 41);
    first.line("count 43");
    let first = stop(first);
    assert_eq!(kept(&cluster, "my-app"), last_count(&first));
    assert_eq!(data(&cluster, "dory-state-my"), Some(original.clone()));

    // From now on there is a state of its own, and nothing to warn of.
    let mut second = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut second), last_count(&first));
    let second = stop(second);
    assert_eq!(warnings(&second), [""; 0]);
    assert_eq!(data(&cluster, "dory-state-my"), Some(original));
}

#[test]
fn a_default_rolling_update_goes_on_at_the_last_count_that_the_original_saved() {
    // The original saves when it stops, which is when the new pod is ready; it
    // may never have saved before.
    for before in [None, Some(41)] {
        let cluster = FakeKubernetes::start();
        if let Some(count) = before {
            save_as_the_original(&cluster, "my", count);
        }
        let mut new = pod(&cluster, NEW, &[]);
        assert_eq!(started_with(&mut new), before.unwrap_or(0));
        new.line("ready");
        new.line("count ");
        // Once for the preStop hook, and once for the signal.
        save_as_the_original(&cluster, "my", 1000);
        new.line("count 1001");
        let last = save_as_the_original(&cluster, "my", 2000);
        new.line("count 2001");
        eventually(|| (kept(&cluster, "my-app") > 2000).then_some(()));
        let new = stop(new);
        assert_eq!(kept(&cluster, "my-app"), last_count(&new));
        assert!(last_count(&new) > 2000);
        let told = warnings(&new);
        assert!(told.len() == 2, "{told:?}");
        assert!(
            told[0].contains("dory-sdk saved its state again"),
            "{told:?}"
        );
        assert_eq!(data(&cluster, "dory-state-my"), Some(last));
    }
}

#[test]
fn an_original_that_writes_to_the_very_same_configmap_does_not_fence_its_successor() {
    for before in [None, Some(41)] {
        let cluster = FakeKubernetes::start();
        if let Some(count) = before {
            save_as_the_original(&cluster, "orders", count);
        }
        let mut new = pod(&cluster, "orders-6c5db8f9d4-tq9wv", &[]);
        assert_eq!(started_with(&mut new), before.unwrap_or(0));
        let copy = || data(&cluster, "dory-original-orders");
        if before.is_some() {
            assert_eq!(copy(), Some(json!({ "state": saved("orders", 41) })));
        }
        new.line("count ");
        save_as_the_original(&cluster, "orders", 1000);
        new.line("count 1001");
        eventually(|| (kept(&cluster, "orders") > 1000).then_some(()));
        assert_eq!(copy(), Some(json!({ "state": saved("orders", 1000) })));
        let new = stop(new);
        assert_eq!(kept(&cluster, "orders"), last_count(&new));
        // By this annotation, dory-sdk's states are removed after an hour.
        let own = cluster.object("configmaps", NAMESPACE, "dory-state-orders");
        let annotations = &own.unwrap()["metadata"]["annotations"];
        assert!(annotations["dory.io/state-ttl"].is_null(), "{annotations}");
    }
}

#[test]
fn what_is_there_and_not_taken_over_is_warned_of_with_the_reason() {
    let damaged = saved("my", 41).replace("\"count\": 41", "\"count\": 42");
    for (object, reason) in [
        (json!({ "data": { "state": damaged } }), "checksum"),
        (json!({ "data": { "state": "{\"payl" } }), "not a state"),
        (
            json!({ "data": { "state": saved("orders", 41) } }),
            "of processor \"orders\"",
        ),
        (json!({ "data": {} }), "holds no state"),
    ] {
        let cluster = FakeKubernetes::start();
        cluster.put("configmaps", NAMESPACE, "dory-state-my", object.clone());
        let mut new = pod(&cluster, NEW, &[]);
        assert_eq!(started_with(&mut new), 0);
        new.line("count ");
        let new = stop(new);
        let told = warnings(&new);
        assert_eq!(told.len(), 1, "{reason}: {told:#?}");
        assert!(told[0].contains("was not taken over"), "{told:?}");
        assert!(told[0].contains(reason), "{reason}: {told:?}");
        assert_eq!(
            data(&cluster, "dory-state-my"),
            Some(object["data"].clone())
        );
    }
}

#[test]
fn a_newer_state_of_the_original_beside_an_own_one_is_warned_of() {
    let cluster = FakeKubernetes::start();
    let mut first = pod(&cluster, NEW, &[]);
    first.line("count 3");
    let first = stop(first);
    // Back to the original for a while, and forth again.
    let later = saved("my", 1000).replace("\"timestamp_iso\": \"20", "\"timestamp_iso\": \"21");
    let object = json!({ "data": { "state": later } });
    cluster.put("configmaps", NAMESPACE, "dory-state-my", object);
    let mut second = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut second), last_count(&first));
    let told = stop(second).log.join("\n");
    assert!(
        told.contains("it is newer, but this processor has a state of its own"),
        "{told}"
    );
}

fn local(folder: &Path, temporary: &Path) -> Satellite {
    let mut command = command(folder);
    command
        .env("TMPDIR", temporary)
        .env("CHILD_DOES", "return")
        .env("DORY_LOG_FORMAT", "text");
    start(command)
}

fn count_in(folder: &Path) -> u64 {
    crate::state_child::kept(folder)
}

#[test]
fn a_file_in_the_temporary_folder_is_taken_over_and_kept() {
    let (folder, temporary) = (temp_directory().unwrap(), temp_directory().unwrap());
    let path = temporary.path().join("dory-state-counting.json");
    fs::write(&path, saved("counting", 41)).unwrap();
    let mut process = local(folder.path(), temporary.path());
    process.line(&format!("taken over from {}", path.display()));
    process.line("startup with 41");
    assert_eq!(process.end().0.code(), Some(0), "{:#?}", process.log);
    assert_eq!(count_in(folder.path()), 42);
    assert_eq!(fs::read_to_string(&path).unwrap(), saved("counting", 41));
    local(folder.path(), temporary.path()).end();
    assert_eq!(count_in(folder.path()), 43, "once, and not again");
}

#[test]
fn of_two_files_the_newer_one_is_taken_over() {
    let (folder, temporary) = (temp_directory().unwrap(), temp_directory().unwrap());
    let older =
        saved("counting", 1000).replace("\"timestamp_iso\": \"20", "\"timestamp_iso\": \"19");
    fs::write(folder.path().join("dory-state-counting.json"), older).unwrap();
    fs::write(
        temporary.path().join("dory-state-counting.json"),
        saved("counting", 41),
    )
    .unwrap();
    let mut process = local(folder.path(), temporary.path());
    process.line("startup with 41");
    process.end();
    assert!(
        process
            .log
            .iter()
            .any(|line| line.contains("another one is newer"))
    );
}

#[test]
fn a_file_that_is_saved_after_the_start_is_taken_over() {
    let (folder, temporary) = (temp_directory().unwrap(), temp_directory().unwrap());
    let mut command = command(folder.path());
    command
        .env("TMPDIR", temporary.path())
        .env("DORY_LOG_FORMAT", "text");
    let mut process = start(command);
    process.line("count ");
    let path = temporary.path().join("dory-state-counting.json");
    // It is not written at once.
    fs::write(&path, &saved("counting", 1000)[..100]).unwrap();
    fs::write(&path, saved("counting", 1000)).unwrap();
    process.line("count 1001");
    let process = stop(process);
    assert_eq!(count_in(folder.path()), last_count(&process));
    assert!(counts(&process).contains(&1001));
}

#[cfg(unix)]
#[test]
fn a_file_that_somebody_else_may_have_put_there_is_not_taken() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    let id = "dory-state-counting.json";
    let elsewhere = temp_directory().unwrap();
    fs::write(elsewhere.path().join("state"), saved("counting", 41)).unwrap();
    for kind in ["link", "folder", "owner"] {
        let (folder, temporary) = (temp_directory().unwrap(), temp_directory().unwrap());
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let path = temporary.path().join(id);
        match kind {
            "link" => symlink(elsewhere.path().join("state"), &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => {
                fs::write(&path, saved("counting", 41)).unwrap();
                if chown(&path, Some(54_321), None).is_err() {
                    eprintln!("skipped: only root may give a file away");
                    continue;
                }
            }
        }
        let mut process = local(folder.path(), temporary.path());
        process.line("startup with 0");
        assert_eq!(process.end().0.code(), Some(0), "{:#?}", process.log);
        let told = warnings(&process);
        assert!(
            told.len() == 1 && told[0].contains("was not taken over"),
            "{kind}: {told:?}"
        );
    }
}

#[test]
fn a_file_that_names_no_processor_is_warned_of() {
    let (folder, temporary) = (temp_directory().unwrap(), temp_directory().unwrap());
    let path = temporary.path().join("dory-state-unknown.json");
    fs::write(&path, saved("unknown", 41)).unwrap();
    let mut command = command(folder.path());
    command
        .env_remove("DORY_PROCESSOR_ID")
        .env_remove("DORY_POD_NAME")
        .env("TMPDIR", temporary.path())
        .env("CHILD_DOES", "return")
        .env("DORY_LOG_FORMAT", "text");
    let mut process = start(command);
    process.line("does not say which processor it belongs to");
    process.line("startup with 0");
    process.end();
}
