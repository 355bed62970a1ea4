//! FaaS: the streamed output of executions.

use std::thread;

use satellite_core::ManualClock;
use satellite_core::client::{Cancel, Ended};
use satellite_faas::Output::{Exit, Stderr, Stdout};
use satellite_faas::{ExecutionRequest, ExecutionStatus, FaasKind, MockFaas};

use crate::faas::{count, until};

#[test]
fn an_execution_is_listed_followed_and_cancelled() {
    let mock = MockFaas::start();
    let faas = mock.client();
    thread::scope(|scope| {
        let run = scope.spawn(|| faas.execute("echo begun; sleep 30"));
        until(|| mock.executions() == 1);
        let listed = faas.executions().list().unwrap().remove(0);
        assert_eq!(listed.status, ExecutionStatus::Running);
        assert_eq!(listed.command, "echo begun; sleep 30");
        let mut log = faas.executions().logs(&listed.id, true).unwrap();
        assert_eq!(log.next().unwrap().unwrap().to_string(), "begun\n");
        faas.executions().cancel(&listed.id).unwrap();
        assert_eq!(log.by_ref().count(), 1, "the exit code");
        assert_eq!(log.ended(), Some(Ended::Complete));
        assert_eq!(
            run.join().unwrap().unwrap().status,
            ExecutionStatus::Cancelled
        );
        let over = faas.executions().get(&listed.id).unwrap();
        assert_eq!(
            (over.status, over.exit_code),
            (ExecutionStatus::Cancelled, Some(137))
        );
    });
    assert!(faas.executions().get("exec-9").unwrap_err().is_not_found());
}

#[test]
fn a_stream_returns_output_as_it_is_printed() {
    let mock = MockFaas::start();
    let faas = mock.client();
    let marker = std::env::temp_dir().join(format!("faas-go-{}", std::process::id()));
    let _ = std::fs::remove_file(&marker);
    let script = format!(
        "echo one; while [ ! -e {0} ]; do sleep 0.02; done; echo two >&2; exit 3",
        marker.display()
    );
    let mut stream = faas.executions().stream(script).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), Stdout("one\n".into()));
    std::fs::write(&marker, "").unwrap(); // what follows was not printed before
    let rest: Vec<_> = stream.by_ref().map(Result::unwrap).collect();
    assert_eq!(rest, [Stderr("two\n".into()), Exit(3)]);
    assert_eq!(stream.ended(), Some(Ended::Complete));
    std::fs::remove_file(marker).unwrap();
}

#[test]
fn a_broken_stream_resumes_from_the_log_without_running_twice() {
    let mock = MockFaas::start();
    let faas = mock
        .builder()
        .clock(ManualClock::default())
        .build()
        .unwrap();
    (1..40).for_each(|n| mock.cut_stream(n * 97));
    let mut stream = faas.executions().stream("seq 200").unwrap();
    let text: String = stream
        .by_ref()
        .map(|output| output.unwrap().to_string())
        .collect();
    let expected: String = (1..=200).map(|n| format!("{n}\n")).collect();
    assert_eq!(text, expected);
    assert_eq!(stream.ended(), Some(Ended::Complete));
    assert_eq!(mock.executions(), 1);
    assert!(count(&mock, "GET", "/logs") > 30);
}

#[test]
fn a_stream_can_be_cancelled() {
    let mock = MockFaas::start();
    let cancel = Cancel::new();
    let faas = mock.client().cancelled_by(&cancel).unwrap();
    let mut stream = faas.executions().stream("echo one; sleep 30").unwrap();
    assert!(stream.next().unwrap().is_ok());
    thread::scope(|scope| {
        scope.spawn(|| cancel.cancel());
        assert!(stream.next().unwrap().unwrap_err().is_stopped());
    });
    assert_eq!(stream.ended(), Some(Ended::Cancelled));
}

#[test]
fn a_stream_reports_the_exit_code_of_the_shell_where_the_gateway_answers_0() {
    let request = ExecutionRequest::shell("echo out; exit 7").checked(true);
    for kind in [FaasKind::Gateway, FaasKind::Contract] {
        let mock = MockFaas::of(kind);
        let faas = mock.client();
        let stream = faas.executions().stream(&request).unwrap();
        let outputs: Vec<_> = stream.map(Result::unwrap).collect();
        let (last, printed) = outputs.split_last().unwrap();
        let printed: String = printed.iter().map(ToString::to_string).collect();
        assert_eq!((printed.as_str(), last), ("out\n", &Exit(7)), "{kind:?}");
    }
}

#[test]
fn a_broken_checked_stream_resumes_without_lost_or_duplicate_output() {
    let mock = MockFaas::start();
    let clock = ManualClock::default();
    let faas = mock.builder().clock(clock).build().unwrap();
    (1..40).for_each(|n| mock.cut_stream(n * 97));
    let request = ExecutionRequest::shell("seq 200; exit 3").checked(true);
    let stream = faas.executions().stream(request).unwrap();
    let outputs: Vec<_> = stream.map(Result::unwrap).collect();
    let text: String = outputs.iter().map(ToString::to_string).collect();
    let expected: String = (1..=200).map(|n| format!("{n}\n")).collect();
    assert_eq!((text, outputs.last()), (expected, Some(&Exit(3))));
    assert_eq!(mock.executions(), 1);
}
