//! The store: interrupted writes, damage, bounds, and two processes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use satellite_monitoring::{
    Alert, AlertState, Batch, Event, Limits, Monitor, Profile, Report, Sample, Settings, Severity,
    Store, Stored,
};
use tempfile::tempdir;

use crate::state_volume::small_volume;

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

fn open(folder: &Path) -> Store {
    let limits = Limits {
        samples: 10,
        ..Limits::default()
    };
    Store::open(folder, limits).unwrap()
}

fn read(folder: &Path) -> Stored {
    Store::read(folder, 0).unwrap().unwrap()
}

fn ends(folder: &Path) -> Vec<u64> {
    let reports = read(folder).reports;
    reports.iter().map(|report| report.end_ms).collect()
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
    assert_eq!(Store::read(folder.path(), 0).unwrap(), None);
    let mut store = open(folder.path());
    let reports = [report("a", 1), report("b", 1), report("a", 2)];
    let batch = Batch {
        now_ms: 7,
        reports: reports.to_vec(),
        alerts: vec![alert(5)],
        samples: vec![sample(3)],
        outages: vec![(10, 20)],
    };
    assert_eq!(store.alive_ms(), None);
    store.write(&batch).unwrap();
    let later = Batch {
        now_ms: 8,
        outages: vec![(10, 30)],
        ..Batch::default()
    };
    store.write(&later).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.alerts().cloned().collect::<Vec<_>>(), [alert(5)]);
    assert_eq!(store.outages(0).collect::<Vec<_>>(), [(10, 30)]);
    assert_eq!((store.alive_ms(), store.outages(31).count()), (Some(8), 0));
    let all = Stored {
        reports: reports.to_vec(),
        alerts: vec![alert(5)],
        samples: vec![sample(3)],
        outages: vec![(10, 30)],
        alive_ms: Some(8),
    };
    assert_eq!(read(folder.path()), all, "while the store is open");
    let since = Store::read(folder.path(), 2).unwrap().unwrap();
    assert_eq!(since.reports, [report("a", 2)]);
}

#[test]
fn the_history_of_a_deployment_continues_in_the_next_process() {
    const MINUTE: u64 = 60_000;
    let folder = tempdir().unwrap();
    let mut monitor = Monitor::new(Settings::default());
    monitor.watch("d", Profile::default(), 0);
    let mut store = open(folder.path());
    for minute in 1..=200 {
        let status = if minute == 199 { 500 } else { 200 };
        let event = Event {
            status,
            latency_ms: 2.0,
            ..Event::default()
        };
        monitor.record("d", &event);
        store
            .write(&reports(monitor.tick(minute * MINUTE)))
            .unwrap();
    }
    drop(store);
    let restored = |now_ms| {
        let mut monitor = Monitor::new(Settings::default());
        for (deployment, reports) in open(folder.path()).newest_reports() {
            monitor.restore_reports(deployment, reports, now_ms);
        }
        assert_eq!(monitor.report("d"), None, "it is not watched yet");
        monitor.watch("d", Profile::default(), now_ms);
        monitor
    };
    let mut next = restored(203 * MINUTE);
    let history = next.history("d");
    let requests: Vec<u64> = history.iter().map(|point| point.requests).collect();
    assert_eq!(requests.len(), 121);
    assert_eq!(
        requests[115..],
        [1, 1, 1, 0, 0, 0],
        "two minutes without a process"
    );
    assert_eq!((history[116].errors, history[117].errors), (1, 0));
    assert_eq!(
        next.report("d"),
        monitor.report("d"),
        "until the next window"
    );
    assert_eq!(next.tick(204 * MINUTE)[0].requests, 0);
    assert_eq!(restored(300 * MINUTE).report("d"), None, "it is over");
}

#[test]
fn a_second_process_cannot_write() {
    let folder = tempdir().unwrap();
    let first = open(folder.path());
    let second = Store::open(folder.path(), Limits::default());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    open(folder.path());
}

#[test]
fn an_interrupted_write_loses_nothing_of_earlier_ones() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("monitoring.log");
    let mut store = open(folder.path());
    store.write(&reports(vec![report("a", 1)])).unwrap();
    let first = store.bytes();
    store.write(&reports(vec![report("a", 2)])).unwrap();
    drop(store);
    let file = fs::read(&path).unwrap();
    for length in first as usize..file.len() {
        fs::write(&path, &file[..length]).unwrap();
        let mut store = open(folder.path());
        store.write(&reports(vec![report("a", 3)])).unwrap();
        let kept = ends(folder.path());
        assert!(kept == [1, 3] || kept == [1, 2, 3], "{length}: {kept:?}");
        assert!(!path.with_extension("damaged").exists(), "{length}");
    }
}

#[test]
fn a_damaged_file_is_copied_and_its_intact_rows_are_kept() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage, &[u64]); 5] = [
        ("not a store", |file| *file = b"hello".to_vec(), &[]),
        ("another header", |file| file[..10].fill(7), &[]),
        ("zeros", |file| file.fill(0), &[]),
        ("one bit", |file| file[60] ^= 4, &[2, 3]),
        (
            "a line in the middle",
            |file| {
                let half = file.len() / 2;
                file[half..half + 40].fill(b'x');
            },
            &[1, 3],
        ),
    ];
    for (what, damage, kept) in damages {
        let folder = tempdir().unwrap();
        let path = folder.path().join("monitoring.log");
        let mut store = open(folder.path());
        for end in [1, 2, 3] {
            store.write(&reports(vec![report("a", end)])).unwrap();
        }
        drop(store);
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, &file).unwrap();
        let mut store = open(folder.path());
        assert_eq!(ends(folder.path()), kept, "{what}");
        store.write(&reports(vec![report("a", 4)])).unwrap();
        drop(store);
        assert_eq!(ends(folder.path()).last(), Some(&4), "{what}");
        let aside = fs::read(path.with_extension("damaged")).unwrap();
        assert_eq!(aside, file, "{what}: the file is kept");
    }
}

proptest! {
    #[test]
    fn any_bytes_can_be_opened_and_written(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_store in any::<bool>(),
    ) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("monitoring.log");
        let header = if is_store { "satellite-monitoring 1\n" } else { "" };
        fs::write(&path, [header.as_bytes(), &bytes].concat()).unwrap();
        let _ = Store::read(folder.path(), 0);
        open(folder.path()).write(&reports(vec![report("a", 1)])).unwrap();
        prop_assert_eq!(ends(folder.path()), [1]);
    }
}

#[test]
fn a_file_that_somebody_truncates_keeps_what_is_left_of_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("monitoring.log");
    let mut store = open(folder.path());
    for end in [1, 2] {
        store.write(&reports(vec![report("a", end)])).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        store.write(&reports(vec![report("a", 9)])).unwrap();
        let kept = ends(folder.path());
        assert_eq!(kept.last(), Some(&9), "{length}: {kept:?}");
        assert_eq!(
            kept.contains(&1),
            length > whole.len() / 3,
            "{length}: {kept:?}"
        );
        assert!(!path.with_extension("damaged").exists());
    }
}

#[test]
fn a_file_that_somebody_removed_is_begun_again() {
    let folder = tempdir().unwrap();
    let mut store = open(folder.path());
    fs::remove_file(folder.path().join("monitoring.log")).unwrap();
    store.write(&reports(vec![report("a", 1)])).unwrap();
    store.write(&reports(vec![report("a", 2)])).unwrap();
    assert_eq!(ends(folder.path()), [1, 2]);
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
    let batch = Batch {
        now_ms: 2 * DAY,
        reports: vec![report("a", DAY / 2), report("a", DAY), report("b", 2 * DAY)],
        alerts: vec![alert(DAY / 2), alert(DAY)],
        samples: (0..5).map(|n| sample(2 * DAY + n)).collect(),
        outages: vec![(1, 2), (3, DAY)],
    };
    for n in 0..2 {
        let earlier = Batch {
            samples: vec![sample(n)],
            ..Batch::default()
        };
        store.write(&earlier).unwrap();
    }
    store.write(&batch).unwrap();
    assert_eq!(
        read(folder.path()).samples.len(),
        4,
        "the newest of each batch"
    );
    // Its replacement cannot be written: everything stays.
    let obstacle = folder.path().join("monitoring.new");
    fs::create_dir(&obstacle).unwrap();
    store.prune(Some(2 * DAY)).unwrap_err();
    assert_eq!(read(folder.path()).reports.len(), 3);
    fs::remove_dir(&obstacle).unwrap();
    store.prune(None).unwrap();
    assert_eq!(
        read(folder.path()).reports.len(),
        3,
        "the clock may be wrong"
    );

    store.prune(Some(2 * DAY)).unwrap();
    let kept = Stored {
        reports: batch.reports[1..].to_vec(),
        alerts: vec![alert(DAY)],
        samples: batch.samples[3..].to_vec(),
        outages: vec![(3, DAY)],
        alive_ms: Some(2 * DAY),
    };
    assert_eq!(read(folder.path()), kept);
    let bytes = store.bytes();
    store.prune(Some(2 * DAY)).unwrap();
    assert_eq!(store.bytes(), bytes);
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
        let large = |n| Sample {
            inputs: "x".repeat(10_000),
            ..sample(round * 50 + n)
        };
        let batch = Batch {
            now_ms: round,
            alerts: vec![alert(round)],
            samples: (0..50).map(large).collect(),
            ..Batch::default()
        };
        store.write(&batch).unwrap();
        store.prune(Some(round)).unwrap();
        largest = largest.max(store.bytes());
    }
    assert!(largest <= 5 << 20, "{largest} bytes");
    let stored = read(folder.path());
    let newest = stored.samples.last().unwrap();
    assert_eq!(newest.at_ms, 24 * 50 - 1, "the oldest are deleted");
    assert_eq!(stored.alerts.len(), 24);
}

#[test]
fn a_rewrite_that_fills_the_disk_takes_no_space_and_loses_nothing() {
    let Some(volume) = small_volume("512k") else {
        return;
    };
    let limits = Limits {
        bytes: 300 << 10,
        samples: usize::MAX,
        ..Limits::default()
    };
    let mut store = Store::open(&volume.path, limits).unwrap();
    let large = |n| Sample {
        inputs: "x".repeat(10_000),
        ..sample(n)
    };
    let batch = |n| Batch {
        samples: vec![large(n)],
        ..Batch::default()
    };
    // Three quarters of the limit do not fit beside more than the limit.
    (0..32).for_each(|n| store.write(&batch(n)).unwrap());
    let before = read(&volume.path);
    for _ in 0..2 {
        let error = store.prune(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(read(&volume.path), before);
    }
    // There is as much space as before.
    store.write(&batch(32)).unwrap();
    assert_eq!(read(&volume.path).samples.len(), 33);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let mut waiting = Batch::default();
    for round in 0..100 {
        let large = |n| Sample {
            inputs: "x".repeat(60_000),
            ..sample(round * 10 + n)
        };
        waiting.extend(Batch {
            reports: (0..100).map(|n| report("a", round * 100 + n)).collect(),
            samples: (0..10).map(large).collect(),
            ..Batch::default()
        });
    }
    let bytes: usize = waiting.samples.iter().map(|it| it.inputs.len()).sum();
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(
        waiting.samples.last(),
        Some(&Sample {
            inputs: "x".repeat(60_000),
            ..sample(999)
        })
    );
    assert_eq!(waiting.reports.len(), 2000);
    assert_eq!(waiting.reports[0].end_ms, 8000, "the oldest are dropped");
}
