//! States written by an older or a newer program.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_state::{App, ExecutionContext, Outcome, Process, Processor, Snapshot, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::tempdir as temp_directory;

use crate::state_child::{doing, generations};

/// A processor that runs `work` once.
struct Once<S, F>(F, std::marker::PhantomData<S>);

impl<S: State, F: FnMut(&mut S)> Processor for Once<S, F> {
    type State = S;

    fn run(&mut self, cx: &ExecutionContext<S>) -> Outcome {
        (self.0)(&mut cx.state());
        Ok(())
    }
}

fn app(folder: &Path) -> App {
    App::new()
        .processor_id("counting")
        .folder(folder)
        .endpoints(([127, 0, 0, 1], 0).into())
        .no_signals()
}

fn once<S: State>(app: App, work: impl FnMut(&mut S)) -> satellite_core::Result<()> {
    app.build(Once(work, std::marker::PhantomData))
        .and_then(Process::run)
}

fn stored(folder: &Path) -> (u32, Value) {
    let document = fs::read(generations(folder).pop().unwrap()).unwrap();
    let content = Snapshot::from_document(&document).unwrap().content;
    (
        content.schema,
        serde_json::from_slice(&content.state).unwrap(),
    )
}

#[derive(Default, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Default, Serialize, Deserialize)]
struct New {
    names: Vec<String>,
    #[serde(default)]
    inner: Option<Inner>,
}

#[derive(Default, Serialize, Deserialize)]
struct Inner {
    a: u8,
}

fn migrate(from: u32, mut state: Value) -> Result<Value, satellite_core::Failure> {
    match from {
        1 => Ok(json!({ "names": [state["name"].take()] })),
        _ => Err("older than anybody remembers".into()),
    }
}

#[test]
fn an_older_state_is_migrated_and_a_newer_one_is_left_alone() {
    let folder = temp_directory().unwrap();
    let folder = folder.path();
    once(app(folder), |state: &mut Old| state.name = "Ada".into()).unwrap();
    once(app(folder).schema(2, migrate), |state: &mut New| {
        state.names.push("Grace".into());
    })
    .unwrap();
    let migrated = stored(folder);
    assert_eq!(migrated.0, 2);
    assert_eq!(migrated.1["names"], json!(["Ada", "Grace"]));

    // A rollback to the previous program: it reports the reason, and changes nothing.
    let error = once(app(folder), |_: &mut Old| ()).unwrap_err().to_string();
    assert!(error.contains("version 2, this program knows 1"), "{error}");
    assert_eq!(stored(folder), migrated);
}

#[test]
fn a_state_that_does_not_match_fails_the_start_and_is_left_unchanged() {
    let folder = temp_directory().unwrap();
    let folder = folder.path();
    once(app(folder), |state: &mut Old| state.name = "Ada".into()).unwrap();
    let before = stored(folder);
    for _ in 0..5 {
        let error = once(app(folder), |_: &mut New| ()).unwrap_err().to_string();
        assert!(error.contains("missing field `names`"), "{error}");
    }
    assert_eq!(stored(folder), before);
    let failing = |_, _| Err("on purpose".into());
    let error = once(app(folder).schema(2, failing), |_: &mut New| ()).unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
    assert_eq!(stored(folder), before);
}

#[test]
fn keys_of_a_newer_program_survive_a_rollback() {
    #[derive(Default, Serialize, Deserialize)]
    struct Newer {
        name: String,
        colour: String,
        inner: Value,
    }
    let folder = temp_directory().unwrap();
    let folder = folder.path();
    once(app(folder), |state: &mut Newer| {
        *state = Newer {
            name: "Ada".into(),
            colour: "red".into(),
            inner: json!({ "deep": [1, 2] }),
        };
    })
    .unwrap();
    once(app(folder), |state: &mut Old| state.name = "Grace".into()).unwrap();
    once(app(folder), |state: &mut Newer| {
        assert_eq!(state.name, "Grace");
        assert_eq!(state.colour, "red");
        assert_eq!(state.inner, json!({ "deep": [1, 2] }));
    })
    .unwrap();
}

#[test]
fn a_state_that_could_not_be_read_back_is_not_saved() {
    let folder = temp_directory().unwrap();
    let folder = folder.path();
    once(app(folder), |state: &mut f64| *state = 0.1 + 0.2).unwrap();
    let error = once(app(folder), |state: &mut f64| *state = f64::NAN).unwrap_err();
    assert!(error.to_string().contains("not saved"), "{error}");
    once(app(folder), |state: &mut f64| {
        assert_eq!(
            state.to_bits(),
            (0.1_f64 + 0.2).to_bits(),
            "to the last bit"
        );
    })
    .unwrap();
}

#[test]
fn a_file_of_dory_sdk_is_imported() {
    let folder = temp_directory().unwrap();
    // Written by Python: {"count": 7}.
    let envelope = r#"{"payload": {"count": 7}, "metadata": {"timestamp": 1.0, "processor_id": "counting"}, "checksum": "3e7caa2097c401b1b0068565b66f3ac89c6221a82d8614acd25475b171bc79be"}"#;
    let path = folder.path().join("dory-state-counting.json");
    fs::write(&path, envelope).unwrap();
    let mut process = doing(folder.path(), "return");
    process.line("startup with 7");
    process.end();
    assert!(path.exists(), "the reference's own stays");
    doing(folder.path(), "return").end();
    assert_eq!(stored(folder.path()).1["count"], 9);
}

#[test]
fn locking_the_state_twice_on_one_thread_panics_with_a_message() {
    let folder = temp_directory().unwrap();
    let output = Arc::new(Mutex::new(String::new()));
    let process = app(folder.path())
        .build(Twice(Arc::clone(&output)))
        .unwrap();
    assert!(process.address().is_some());
    let error = process.run().unwrap_err().to_string();
    assert!(error.contains("holds the state already"), "{error}");
    assert!(output.lock().unwrap().contains("drop its guard"));
}

struct Twice(Arc<Mutex<String>>);

impl Processor for Twice {
    type State = u64;

    fn run(&mut self, cx: &ExecutionContext<u64>) -> Outcome {
        assert!(!cx.sleep(Duration::ZERO) || !cx.is_shutdown_requested());
        let _guard = cx.state();
        *self.0.lock().unwrap() = cx.checkpoint().unwrap_err().to_string();
        let _ = *cx.state();
        Ok(())
    }
}
