//! Tools that read and replace the state of a processor, while it runs or after it ended.

use std::time::{Duration, Instant};

use satellite_state::{
    ConfigMapStore, Content, FileStore, Result, Snapshot, StateEditor, WhenHeld,
};
use serde_json::{Value, json};
use tempfile::tempdir as temp_directory;

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NAMESPACE, NEW, OLD, pod, stored, stored_count};
use crate::process::start;
use crate::state_child::{command, last_count, started_with};
use crate::state_s3;

fn editor(cluster: &FakeKubernetes) -> StateEditor {
    let store = ConfigMapStore::new()
        .at(cluster.url())
        .service_account(cluster.account())
        .lease_duration(Duration::from_secs(2));
    StateEditor::new(store, NAMESPACE, "my-app").unwrap()
}

/// Keeps the rest of the stored state.
fn with_count(count: u64) -> impl FnOnce(Option<&Snapshot>) -> Result<Content> {
    move |stored| {
        let stored = stored.expect("something should be stored");
        let mut state: Value = serde_json::from_slice(&stored.content.state)?;
        state["count"] = json!(count);
        Ok(Content {
            state: serde_json::to_vec(&state)?,
            unclean_starts: 0,
            ..stored.content.clone()
        })
    }
}

#[test]
fn a_held_state_is_not_replaced_and_the_holder_does_not_notice() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    for when_held in [WhenHeld::Refuse, WhenHeld::Wait(Duration::from_secs(3))] {
        let error = editor(&cluster).replace(when_held, with_count(1000));
        let error = error.unwrap_err().to_string();
        let expected = format!("{OLD} ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.contains("holds the state of my-app (generation "));
    }
    let history = editor(&cluster).history().unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].snapshot.as_ref().unwrap().stamp.epoch, 1);
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert_eq!(stored_count(&cluster), last_count(&old));
    assert!(last_count(&old) < 1000);
}

#[test]
fn a_released_state_is_replaced_and_its_pod_starts_with_it_at_once() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    old.signal("TERM");
    old.end();
    let before = stored(&cluster).unwrap();
    for count in [1000, 2000] {
        let edited = editor(&cluster).replace(WhenHeld::Refuse, with_count(count));
        assert!(edited.unwrap() > before.stamp.generation);
    }
    let started = Instant::now();
    let mut again = pod(&cluster, OLD, &[("CHILD_LEASE_SECONDS", "600")]);
    assert_eq!(started_with(&mut again), 2000);
    assert!(
        started.elapsed() < Duration::from_secs(600),
        "no wait for a lease"
    );
    again.line("count ");
}

#[test]
fn a_holder_that_is_asked_hands_over_and_its_restart_has_the_new_state() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    let asked = WhenHeld::Ask(Duration::from_secs(20));
    editor(&cluster).replace(asked, with_count(1000)).unwrap();
    old.line("handed over to editor/");
    // Nobody holds the state: it exits, and the kubelet restarts it.
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let mut again = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut again), 1000);
    // The order of the pods is known as before.
    let mut new = pod(&cluster, NEW, &[]);
    assert!(started_with(&mut new) >= 1000);
    let mut older = pod(&cluster, OLD, &[]);
    older.line("endpoints");
    new.line("count ");
    new.line("count ");
    assert!(new.log.iter().all(|line| !line.contains("handing over")));
}

#[test]
fn the_state_of_a_dead_holder_is_replaced_when_its_lease_expires() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    old.signal("KILL");
    old.end();
    let refused = editor(&cluster).replace(WhenHeld::Refuse, with_count(1000));
    assert!(refused.is_err(), "it may still run");
    let waited = WhenHeld::Wait(Duration::from_secs(20));
    editor(&cluster).replace(waited, with_count(1000)).unwrap();
    assert_eq!(stored_count(&cluster), 1000);
}

#[test]
fn a_replacement_that_fails_changes_nothing_and_releases_the_state() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    old.signal("TERM");
    old.end();
    let before = stored_count(&cluster);
    let failed = editor(&cluster).replace(WhenHeld::Refuse, |_| {
        Err(satellite_state::Error::new("on purpose"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "on purpose");
    assert_eq!(stored_count(&cluster), before);
    assert!(stored(&cluster).unwrap().stamp.is_released());
    let mut again = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut again), before);
}

#[test]
fn the_generations_of_a_folder_are_listed_while_a_process_writes_them() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("DORY_CHECKPOINT_SEC", "0.05");
    let mut process = start(command);
    process.line("count 20");
    let mut editor = StateEditor::new(FileStore::new(folder.path()), "", "counting").unwrap();
    let history = editor.history().unwrap();
    assert!((2..=3).contains(&history.len()), "{history:?}");
    let numbers = history
        .iter()
        .map(|stored| stored.snapshot.as_ref().unwrap().stamp.generation);
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    let refused = editor.replace(WhenHeld::Refuse, with_count(1000));
    assert!(refused.unwrap_err().to_string().contains("holds the state"));
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(0));
    let generation = editor.replace(WhenHeld::Refuse, with_count(1000)).unwrap();
    assert!(generation > numbers[0]);
    assert_eq!(crate::state_child::stored(folder.path()), 1000);
}

#[test]
fn a_state_that_could_not_be_read_back_from_a_bucket_is_not_written() {
    let bucket = state_s3::Bucket::get();
    let store =
        satellite_state::S3Store::new(&bucket.endpoint(), "us-east-1", "states", "key", "secret");
    let id = state_s3::id("large");
    let mut editor = StateEditor::new(store.unwrap(), "shop", id).unwrap();
    let content = |bytes: usize| Content {
        schema: 1,
        unclean_starts: 0,
        state: format!("\"{}\"", "x".repeat(bytes)).into_bytes(),
    };
    editor
        .replace(WhenHeld::Refuse, |_| Ok(content(10)))
        .unwrap();
    let refused = editor.replace(WhenHeld::Refuse, |_| Ok(content(32 * 1024 * 1024)));
    let error = refused.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    let newest = editor.history().unwrap().remove(0).snapshot.unwrap();
    assert_eq!(newest.content, content(10));
}
