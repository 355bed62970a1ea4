//! What a processor that supervises another program needs: endpoints of its own, a liveness
//! of its own, and a say in when it hands over.

use std::thread;
use std::time::Duration;

use satellite_state::serve::Response;
use satellite_state::{App, ExecutionContext};
use tempfile::tempdir as temp_directory;

use crate::state_child::{ask, eventually, get, request};

fn app(folder: &std::path::Path) -> App {
    App::new()
        .processor_id("supervisor")
        .folder(folder)
        .endpoints(([127, 0, 0, 1], 0).into())
        .no_signals()
}

/// Runs until it is stopped.
struct Idle;

impl satellite_state::Processor for Idle {
    type State = u64;

    fn run(&mut self, cx: &ExecutionContext<u64>) -> satellite_state::Outcome {
        while cx.sleep(Duration::from_secs(600)) {}
        Ok(())
    }
}

#[test]
fn a_processor_adds_endpoints_and_replaces_others() {
    let folder = temp_directory().unwrap();
    let app = app(folder.path())
        .state_token("secret-token")
        .intercept(|request, is_trusted| match request.path() {
            "/who" if is_trusted => Some(Response::text(200, "trusted")),
            "/who" => Some(Response::text(200, "anybody")),
            "/state" => Some(Response::new(404)),
            _ => None,
        });
    let process = app.build(Idle).unwrap();
    let address = process.address().unwrap().to_string();
    assert_eq!(get(&address, "/who"), (200, "anybody".to_owned()));
    let token = "Authorization: Bearer secret-token\r\n";
    let trusted = ask(&address, &request("GET", "/who", token, ""));
    assert_eq!(trusted, (200, "trusted".to_owned()));
    assert_eq!(get(&address, "/state").0, 404);
    assert_eq!(get(&address, "/healthz").0, 200);
}

#[test]
fn a_processor_reports_that_it_is_not_alive_and_when_its_stop_is_due() {
    let folder = temp_directory().unwrap();
    let limit = Duration::from_secs(7);
    let process = app(folder.path())
        .shutdown_timeout(limit)
        .build(Idle)
        .unwrap();
    let (address, cx) = (process.address().unwrap().to_string(), process.context());
    let running = thread::spawn(move || process.run());
    eventually(|| (get(&address, "/ready").0 == 200).then_some(()));
    cx.set_liveness_problem(Some("the child does not respond".to_owned()));
    let (status, body) = get(&address, "/healthz");
    assert_eq!(status, 503);
    assert!(body.contains("the child does not respond"), "{body}");
    cx.set_liveness_problem(None);
    assert_eq!(get(&address, "/healthz").0, 200);

    assert_eq!(cx.stop_deadline(), None);
    let before = std::time::Instant::now();
    cx.stop();
    let deadline = cx.stop_deadline().unwrap();
    assert!(deadline >= before + limit && deadline <= std::time::Instant::now() + limit);
    running.join().unwrap().unwrap();
    assert!(!cx.is_fenced());
    assert_eq!(cx.successor(), None);
}

#[test]
fn a_processor_that_does_not_hand_over_is_waited_for() {
    let folder = temp_directory().unwrap();
    let first = app(folder.path()).build(Idle).unwrap();
    let first_cx = first.context();
    first_cx.hand_over_on_request(false);
    let first = thread::spawn(move || first.run());
    eventually(|| first_cx.may_act().then_some(()));
    let second = app(folder.path()).build(Idle).unwrap();
    let (address, second_cx) = (second.address().unwrap().to_string(), second.context());
    let second = thread::spawn(move || second.run());
    eventually(|| {
        folder
            .path()
            .join("supervisor/claim")
            .exists()
            .then_some(())
    });
    thread::sleep(Duration::from_millis(2500)); // two renewals of the first
    assert!(first_cx.may_act() && !second_cx.may_act());
    let (status, body) = get(&address, "/ready");
    assert_eq!(status, 503);
    assert!(body.contains("waiting for"), "{body}");

    first_cx.hand_over_on_request(true);
    first.join().unwrap().unwrap();
    assert!(first_cx.successor().is_some());
    eventually(|| second_cx.may_act().then_some(()));
    second_cx.stop();
    second.join().unwrap().unwrap();
}

/// Cannot use an odd state.
struct Even;

impl satellite_state::Processor for Even {
    type State = u64;

    fn restored(&mut self, cx: &ExecutionContext<u64>) -> satellite_state::Outcome {
        if *cx.state() % 2 == 1 {
            let aside = cx.start_fresh()?;
            let mut files = aside.split(", ");
            assert!(
                files.all(|file| std::path::Path::new(file).exists()),
                "{aside}"
            );
        }
        Ok(())
    }

    fn run(&mut self, cx: &ExecutionContext<u64>) -> satellite_state::Outcome {
        *cx.state() += 10;
        Ok(())
    }
}

#[test]
fn a_processor_can_start_fresh_after_it_has_seen_the_state() {
    let folder = temp_directory().unwrap();
    let run = || {
        let process = app(folder.path()).build(Even).unwrap();
        let cx = process.context();
        process.run().unwrap();
        *cx.state()
    };
    assert_eq!((run(), run()), (10, 20));
    app(folder.path()).build(Odd).unwrap().run().unwrap();
    assert_eq!((run(), run()), (10, 20));
}

/// Makes the state odd.
struct Odd;

impl satellite_state::Processor for Odd {
    type State = u64;

    fn run(&mut self, cx: &ExecutionContext<u64>) -> satellite_state::Outcome {
        *cx.state() |= 1;
        Ok(())
    }
}
