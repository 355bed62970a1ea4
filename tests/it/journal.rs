//! The journal on working and failing disks.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_sdk::extras::{TempDirectory, temp_directory};
use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Stopped, Task, done};
use serde_json::json;

use crate::child;

/// A worker whose journal is in this folder.
fn worker(platform: &MockPlatform, folder: &Path) -> Builder {
    platform
        .worker()
        .state_dir(folder)
        .handler("count", |task: Task, _: &Context| done(task.payload))
}

fn run(builder: Builder) -> Stopped {
    builder.build().unwrap().run_until_idle().unwrap()
}

/// A folder whose journal contains one undelivered result of a killed process, and the
/// platform of its task.
fn killed_before_the_report() -> (MockPlatform, TempDirectory) {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({ "x": 0.1 })));
    let folder = killed_before_the_report_on(&platform);
    (platform, folder)
}

fn killed_before_the_report_on(platform: &MockPlatform) -> TempDirectory {
    let folder = temp_directory().unwrap();
    let mut command = child::command(platform);
    command
        .env("LUML_STATE_DIR", folder.path())
        .env("CHILD_RUNS", folder.path().join("runs"))
        .env("SATELLITE_KILL_AT", "report");
    child::start(command).end();
    assert_eq!(platform.status("t"), "running");
    folder
}

#[test]
fn an_undelivered_result_is_sent_before_the_first_poll_after_a_kill() {
    let (platform, folder) = killed_before_the_report();
    platform.clear_requests();
    let stopped = run(worker(&platform, folder.path()));
    assert_eq!((stopped.done, stopped.undelivered), (1, 0));
    assert_eq!(platform.result("t"), json!({ "x": 0.1 }));
    let methods: Vec<_> = platform
        .requests()
        .iter()
        .map(|r| r.method.clone())
        .collect();
    assert_eq!(methods, ["POST", "GET"]);
}

#[test]
fn a_result_is_delivered_with_a_new_token() {
    let (before, folder) = killed_before_the_report();
    let after = MockPlatform::start();
    after.add_task(mock_task("t", "count", json!({})));
    after.client().claim_task("t").unwrap();
    assert_ne!(before.token(), after.token());
    run(worker(&after, folder.path()));
    assert_eq!(after.result("t"), json!({ "x": 0.1 }));
}

#[test]
fn a_second_process_with_the_same_folder_fails_to_start() {
    let platform = MockPlatform::start();
    let folder = temp_directory().unwrap();
    let first = worker(&platform, folder.path()).build().unwrap();
    let error = worker(&platform, folder.path()).build().unwrap_err();
    let named = folder.path().display().to_string();
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(error.to_string().contains(&named), "{error}");
    drop(first);
    run(worker(&platform, folder.path()));
}

#[test]
fn an_explicit_folder_takes_precedence_over_systemds() {
    let folder = temp_directory().unwrap();
    let [a, b, own] = ["a", "b", "own"].map(|name| folder.path().join(name));
    let units = format!("{}:{}", a.display(), b.display());
    let read = |of_unit: Option<&str>, own: Option<&Path>| {
        let of_unit = of_unit.map(str::to_owned);
        let own = own.map(|own| own.display().to_string());
        let variables = satellite_sdk::Variables::from_lookup(move |name| match name {
            "STATE_DIRECTORY" => of_unit.clone(),
            "LUML_STATE_DIR" => own.clone(),
            _ => None,
        });
        let mut builder = Builder::new().token("t").variables(variables);
        builder.settings().unwrap().state_dir
    };
    assert_eq!(read(None, None), None);
    assert_eq!(read(Some(&units), None), Some(a));
    assert_eq!(read(Some(&units), Some(&own)), Some(own.clone()));
}

#[test]
fn a_truncated_or_corrupted_journal_does_not_stop_the_worker() {
    let (killed, folder) = killed_before_the_report();
    let journal = fs::read(folder.path().join("journal")).unwrap();
    drop(killed);
    let mut damaged: Vec<Vec<u8>> = (0..journal.len()).map(|n| journal[..n].to_vec()).collect();
    damaged.extend((0..journal.len()).map(|n| {
        let mut changed = journal.clone();
        changed[n] ^= 0x15;
        changed
    }));
    damaged.push([journal.as_slice(), b"\0\0\0\0"].concat());
    damaged.push(vec![0; 4096]);
    let (mut sent, mut whole) = (0, 0);
    for bytes in damaged {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "count", json!({ "x": 0.1 })));
        platform.client().claim_task("t").unwrap();
        let folder = temp_directory().unwrap();
        fs::write(folder.path().join("journal"), &bytes).unwrap();
        let stopped = run(worker(&platform, folder.path()));
        sent += stopped.done;
        // A journal that is cut between two lines is valid.
        match fs::read(folder.path().join("journal.damaged")) {
            Ok(kept) => assert_eq!(kept, bytes, "the copy is unchanged"),
            Err(_) => whole += 1,
        }
        if stopped.done > 0 {
            assert_eq!(platform.result("t"), json!({ "x": 0.1 }));
        }
    }
    assert_eq!(whole, 3, "empty, one line, two lines");
    assert!(sent > 50, "readable results are sent: {sent}");
}

#[test]
fn the_last_of_two_runs_of_a_task_counts() {
    let journal = |result: f64| {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "count", json!({ "x": result })));
        let folder = killed_before_the_report_on(&platform);
        fs::read(folder.path().join("journal")).unwrap()
    };
    let (first, second) = (journal(0.1), journal(0.2));
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({})));
    platform.client().claim_task("t").unwrap();
    let folder = temp_directory().unwrap();
    // The damaged line in between was the one that ended the first run.
    let both = [&first[..], b"unreadable\n", &second].concat();
    fs::write(folder.path().join("journal"), both).unwrap();
    assert_eq!(run(worker(&platform, folder.path())).done, 1);
    assert_eq!(
        platform.results_reported("t"),
        [json!(null), json!({ "x": 0.2 })]
    );
}

#[test]
fn the_journal_stays_small_and_private() {
    let platform = MockPlatform::start();
    for n in 0..1_100 {
        platform.add_task(mock_task(
            format!("t{n}"),
            "count",
            json!("x".repeat(1_000)),
        ));
    }
    let folder = temp_directory().unwrap();
    let stopped = run(worker(&platform, folder.path()));
    assert_eq!(stopped.done, 1_100);
    let metadata = fs::metadata(folder.path().join("journal")).unwrap();
    assert!(metadata.len() < 1_100_000, "{} bytes", metadata.len());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}

/// Fills the disk.
fn fill(path: &Path) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// A small tmpfs, unmounted when dropped. `mount` returns `None` without the permission.
struct SmallDisk(TempDirectory);

impl SmallDisk {
    fn mount(kilobytes: u32) -> Option<Self> {
        let folder = temp_directory().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder));
        }
        println!("SKIPPED: no permission to mount a small disk");
        None
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(self.0.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_causes_a_warning_until_there_is_space() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let platform = MockPlatform::start();
    let folder = disk.0.path().join("state");
    let filler = disk.0.path().join("filler");
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let mut satellite = worker(&platform, &folder)
        .max_backoff(Duration::from_millis(10))
        .every(Duration::from_millis(1), move |cx: &Context| {
            assert!(cx.health().problems().keys().all(|name| name == "platform"));
            sees.lock()
                .unwrap()
                .extend(cx.health().warnings().remove("journal"));
            done(())
        })
        .build()
        .unwrap();
    let mut a_task = |id: &str, bytes: usize| {
        platform.add_task(mock_task(id, "count", json!("x".repeat(bytes))));
        // Delays the result, so that periodic work sees the journal's warning.
        let path = format!("{id}/status");
        platform
            .fault(Fault::Stall(Duration::ZERO))
            .on("POST", &path);
        platform.fault(Fault::Status(503)).on("POST", &path);
        satellite.run_until_idle().unwrap();
        assert_eq!(platform.status(id), "done");
    };
    a_task("before", 100);
    assert!(seen.lock().unwrap().is_empty());
    fill(&filler);
    for n in 0..20 {
        a_task(&format!("small-{n}"), 10);
        a_task(&format!("large-{n}"), 20_000);
        fill(&filler); // rewriting the journal has freed a page
    }
    let warnings = std::mem::take(&mut *seen.lock().unwrap());
    assert!(
        warnings.iter().all(|w| w.contains("No space left")),
        "{warnings:?}"
    );
    assert!(!warnings.is_empty());
    fs::remove_file(&filler).unwrap();
    a_task("after", 20_000);
    assert!(seen.lock().unwrap().is_empty());
    let journal = fs::read_to_string(folder.join("journal")).unwrap();
    assert!(journal.contains("xxx") && journal.contains("\"over\":\"after\""));
}

#[test]
fn a_read_only_disk_without_a_journal_is_a_settings_error() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    disk.remount("ro");
    let platform = MockPlatform::start();
    for folder in [disk.0.path(), &disk.0.path().join("state")] {
        let error = worker(&platform, folder).build().unwrap_err();
        assert!(error.is_settings(), "{error}");
        assert!(error.to_string().contains("Read-only"), "{error}");
    }
}

#[test]
fn a_read_only_disk_causes_a_warning_and_loses_no_task() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let (killed, folder) = killed_before_the_report();
    fs::copy(folder.path().join("journal"), disk.0.path().join("journal")).unwrap();
    disk.remount("ro");
    killed.add_task(mock_task("new", "count", json!({})));
    killed.fault(Fault::Status(503)).on("POST", "/status");
    let mut satellite = worker(&killed, disk.0.path()).build().unwrap();
    let context = satellite.context();
    satellite.run_until_idle().unwrap();
    assert_eq!(killed.status("new"), "done");
    assert!(context.health().warnings().contains_key("journal"));
}
