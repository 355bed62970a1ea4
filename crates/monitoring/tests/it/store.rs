//! The store: bounds, damage, and two processes.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use satellite_monitoring::{Alert, AlertState, Batch, Limits, Report, Sample, Severity, Store};
use tempfile::tempdir;

const DAY: u64 = 24 * 3600 * 1000;

fn report(deployment: &str, end_ms: u64) -> Report {
    Report {
        deployment: deployment.to_owned(),
        end_ms,
        requests: 7,
        ..Report::default()
    }
}

fn reports(reports: Vec<Report>) -> Batch {
    Batch {
        reports,
        ..Batch::default()
    }
}

fn sample(n: u64) -> Sample {
    Sample {
        event: format!("e-{n}"),
        deployment: "d".into(),
        at_ms: n,
        status: 200,
        inputs: "{}".into(),
        outputs: "{}".into(),
    }
}

fn alert(last_seen_ms: u64) -> Alert {
    Alert {
        deployment: "d".into(),
        metric: format!("runtime:{last_seen_ms}"),
        value: 0.5,
        threshold: 0.1,
        severity: Severity::Warning,
        state: AlertState::Acknowledged,
        first_seen_ms: 1,
        last_seen_ms,
    }
}

#[test]
fn what_was_written_is_read_by_the_next_process() {
    let folder = tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    let reports = [report("a", 1), report("b", 1), report("a", 2)];
    let batch = Batch {
        now_ms: 7,
        reports: reports.to_vec(),
        alerts: vec![alert(5)],
        samples: vec![sample(3)],
        outages: vec![(10, 20)],
    };
    assert_eq!(store.last_alive().unwrap(), None);
    store.write(&batch).unwrap();
    store
        .write(&Batch {
            now_ms: 8,
            outages: vec![(10, 30)],
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    let store = Store::open(folder.path(), Limits::default()).unwrap();
    assert_eq!(store.reports(0).unwrap(), reports);
    assert_eq!(store.reports(2).unwrap(), [report("a", 2)]);
    assert_eq!(store.alerts().unwrap(), [alert(5)]);
    assert_eq!(store.samples().unwrap(), [sample(3)]);
    assert_eq!(store.outages(0).unwrap(), [(10, 30)]);
    assert_eq!(store.last_alive().unwrap(), Some(8));
    assert!(store.outages(31).unwrap().is_empty());
}

#[test]
fn a_second_process_is_told_so() {
    let folder = tempdir().unwrap();
    let _first = Store::open(folder.path(), Limits::default()).unwrap();
    let second = Store::open(folder.path(), Limits::default());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_damaged_file_is_set_aside() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("not a database", |file| *file = b"hello".to_vec()),
        ("half of it", |file| file.truncate(file.len() / 2)),
        ("another header", |file| file[..64].fill(7)),
        ("zeros", |file| file.fill(0)),
        ("other pages", |file| {
            let middle = file.len() / 8;
            file[512..middle].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }),
    ];
    for (what, damage) in damages {
        let folder = tempdir().unwrap();
        let path = folder.path().join("monitoring.redb");
        let mut store = Store::open(folder.path(), Limits::default()).unwrap();
        store.write(&reports(vec![report("a", 1)])).unwrap();
        drop(store);
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, &file).unwrap();
        let mut store = Store::open(folder.path(), Limits::default()).unwrap();
        assert!(store.reports(0).unwrap().is_empty(), "{what}");
        store.write(&reports(vec![report("a", 2)])).unwrap();
        let aside = fs::read(folder.path().join("monitoring.redb.damaged")).unwrap();
        assert_eq!(aside.len(), file.len(), "{what}: the file is kept");
    }
}

#[test]
fn age_and_number_are_bounded() {
    let folder = tempdir().unwrap();
    let limits = Limits {
        age: Duration::from_secs(24 * 3600),
        samples: 2,
        ..Limits::default()
    };
    let mut store = Store::open(folder.path(), limits).unwrap();
    let reports = [report("a", DAY / 2), report("a", DAY), report("b", 2 * DAY)];
    let samples: Vec<_> = (0..5).map(|n| sample(2 * DAY - n)).collect();
    let batch = Batch {
        reports: reports.to_vec(),
        alerts: vec![alert(DAY / 2), alert(DAY)],
        samples,
        outages: vec![(1, 2)],
        ..Batch::default()
    };
    store.write(&batch).unwrap();
    store.prune(2 * DAY).unwrap();
    assert_eq!(store.reports(0).unwrap(), &reports[1..]);
    assert_eq!(store.alerts().unwrap(), [alert(DAY)]);
    assert_eq!(
        store.samples().unwrap(),
        [sample(2 * DAY - 1), sample(2 * DAY)]
    );
    assert!(store.outages(0).unwrap().is_empty());
}

#[test]
fn the_size_of_the_file_is_bounded() {
    let folder = tempdir().unwrap();
    let limits = Limits {
        bytes: 4 << 20,
        samples: usize::MAX,
        ..Limits::default()
    };
    let mut store = Store::open(folder.path(), limits).unwrap();
    let mut largest = 0;
    for round in 0..24 {
        let samples: Vec<_> = (0..50)
            .map(|n| Sample {
                inputs: "x".repeat(10_000),
                ..sample(round * 50 + n)
            })
            .collect();
        store
            .write(&Batch {
                samples,
                ..Batch::default()
            })
            .unwrap();
        store.prune(round).unwrap();
        largest = largest.max(store.size().unwrap());
    }
    assert!(largest <= 6 << 20, "{largest} bytes");
    let newest = store.samples().unwrap().pop().unwrap();
    assert_eq!(newest.at_ms, 24 * 50 - 1, "the oldest are deleted");
}
