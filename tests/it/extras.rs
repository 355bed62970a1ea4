//! Downloads over real HTTP, with realistic faults; temporary folders and retries.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satellite_sdk::extras::{Download, download_file, retry, temp_directory};
use satellite_sdk::serve::{Limits, Request, Response, Server};
use satellite_sdk::testing::{ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Context, Task};

pub const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog";
pub const SHA256: &str = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";

/// A file server whose responses come from `answer(request number, range start)`.
pub fn server(
    answer: impl Fn(usize, Option<usize>) -> Response + Send + Sync + 'static,
) -> (Server, String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = Server::bind(
        "127.0.0.1:0",
        Limits::default(),
        move |request: &mut Request<'_>| {
            let start = request
                .header("range")
                .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            answer(counted.fetch_add(1, Ordering::Relaxed), start)
        },
    )
    .unwrap();
    let url = format!("http://{}/model.bin?signature=hush", server.addr());
    (server, url, count)
}

/// The rest of the text from `start`, truncated after `sent` bytes.
pub fn broken(start: Option<usize>, sent: usize, etag: &str) -> Response {
    let from = start.unwrap_or(0);
    let rest = &TEXT[from..];
    let status = if start.is_some() {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: {etag}\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\r\n",
        TEXT.len() - 1,
        TEXT.len(),
        rest.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend(&rest[..sent.min(rest.len())]);
    Response::raw(bytes)
}

#[test]
fn a_download_returns_length_hash_and_progress() {
    let (_server, url, _) = server(|_, _| Response::new(200).body(TEXT.to_vec()));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    let mut seen = Vec::new();
    let file = Download::new(&url)
        .sha256(SHA256.to_uppercase())
        .on_progress(|p| seen.push((p.bytes, p.total)))
        .to(&path)
        .unwrap();
    assert_eq!((file.bytes, file.sha256.as_str()), (43, SHA256));
    assert_eq!(seen.last(), Some(&(43, Some(43))));
    assert_eq!(std::fs::read(&path).unwrap(), TEXT);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no other file remains"
    );
}

#[cfg(unix)]
#[test]
fn a_partial_download_has_a_unique_name_and_private_permissions() {
    use std::os::unix::fs::PermissionsExt;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (_server, url, _) = server(|_, _| Response::new(200).body(TEXT.to_vec()));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        Download::new(&url)
            .on_progress(|_| {
                let parts = entries(folder.path()).into_iter().filter(|p| *p != path);
                let [part] = <[PathBuf; 1]>::try_from(parts.collect::<Vec<_>>()).unwrap();
                assert_eq!(mode(&part), 0o600);
                names.insert(part);
            })
            .to(&path)
            .unwrap();
        assert_eq!(mode(&path), 0o600);
    }
    assert_eq!(names.len(), 3, "no two have the same name: {names:?}");
    Download::new(&url).mode(0o644).to(&path).unwrap();
    assert_eq!(mode(&path), 0o644);
}

#[cfg(unix)]
#[test]
fn a_symlink_at_the_target_is_not_followed() {
    let (_server, url, _) = server(|_, _| Response::new(200).body(TEXT.to_vec()));
    let folder = temp_directory().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let links: [fn(&Path, &Path) -> std::io::Result<()>; 2] = [
        |a, b| std::os::unix::fs::symlink(a, b),
        |a, b| fs::hard_link(a, b),
    ];
    for link in links {
        for (n, name) in ["model.bin.part", "model.bin"].into_iter().enumerate() {
            let place = folder.path().join(format!("{n}"));
            fs::create_dir(&place).unwrap();
            link(&victim, &place.join(name)).unwrap();
            let path = place.join("model.bin");
            download_file(&url, &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), TEXT);
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched", "{name}");
            fs::remove_dir_all(place).unwrap();
        }
    }
}

#[test]
fn a_file_over_the_limit_fails_with_both_sizes_and_leaves_no_file() {
    let (_known_server, known_length, _) = server(|_, _| Response::new(200).body(TEXT.to_vec()));
    // Without a length, the file ends with the connection.
    let (_unknown_server, unknown_length, _) = server(|_, _| {
        Response::raw([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", TEXT].concat())
    });
    let folder = temp_directory().unwrap();
    let state = temp_directory().unwrap();
    for state_dir in [None, Some(state.path())] {
        for (url, has) in [
            (&known_length, "has 43 bytes"),
            (&unknown_length, "has at least 43 bytes"),
        ] {
            let download = Download::new(url).max_bytes(42).resume_in(state_dir);
            let error = download
                .to(folder.path().join("f"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(has) && error.contains("limit is 42"),
                "{error}"
            );
            assert!(entries(folder.path()).is_empty());
        }
    }
    #[cfg(unix)]
    assert!(parts(state.path()).is_empty());
    let fits = Download::new(&unknown_length).max_bytes(43);
    assert_eq!(fits.to(folder.path().join("f")).unwrap().sha256, SHA256);
}

#[test]
fn an_interrupted_download_is_resumed() {
    let (_server, url, count) = server(|_, start| broken(start, 10, "\"v1\""));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    let file = Download::new(&url)
        .max_wait(Duration::from_millis(1))
        .to(&path)
        .unwrap();
    assert_eq!(file.sha256, SHA256);
    assert_eq!(count.load(Ordering::Relaxed), 5, "43 bytes in pieces of 10");
}

#[test]
fn a_file_that_changed_is_downloaded_again() {
    let (_server, url, _) = server(|n, start| match n {
        0 => broken(start, 10, "\"v1\""),
        // If-Range no longer matches: the complete new file.
        _ => Response::new(200).body(TEXT.to_vec()),
    });
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    let file = Download::new(&url)
        .max_wait(Duration::from_millis(1))
        .to(&path)
        .unwrap();
    assert_eq!((file.bytes, file.sha256.as_str()), (43, SHA256));
}

#[test]
fn a_wrong_hash_keeps_the_old_file_and_leaves_no_other() {
    let (_server, url, _) = server(|_, _| Response::new(200).body(b"something else".to_vec()));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::write(&path, "the old one").unwrap();
    let error = Download::new(&url)
        .sha256(SHA256)
        .to(&path)
        .unwrap_err()
        .to_string();
    assert!(error.contains(SHA256), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "the old one");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_error_response_is_reported_without_the_signature() {
    let (_server, url, count) = server(|_, _| Response::new(403));
    let folder = temp_directory().unwrap();
    let error = download_file(&url, folder.path().join("f")).unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().contains("/model.bin") && !error.to_string().contains("hush"));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_download_without_progress_fails() {
    let (_server, url, count) = server(|_, start| broken(start, 0, "\"v1\""));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("f");
    let download = Download::new(&url)
        .attempts(3)
        .max_wait(Duration::from_millis(1));
    assert!(download.to(&path).unwrap_err().is_retryable());
    assert_eq!(count.load(Ordering::Relaxed), 3);
    assert!(!path.exists());
}

pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn retry_makes_the_configured_number_of_attempts() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "try", serde_json::json!({})));
    let clock = ManualClock::default();
    let worker = platform.worker().clock(clock.clone());
    let worker = worker.handler("try", |_: Task, cx: &Context| {
        let mut tries = 0;
        retry(cx, 4, || {
            tries += 1;
            if tries < 4 { Err("not yet") } else { Ok(tries) }
        })
    });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(platform.result("t"), serde_json::json!({ "result": 4 }));
    assert_eq!(clock.waits().len(), 3);
}

#[cfg(unix)]
#[test]
fn a_temporary_folder_is_private_and_deleted_on_drop() {
    use std::os::unix::fs::PermissionsExt;
    let folder = temp_directory().unwrap();
    let path = folder.path().to_owned();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    std::fs::File::create(path.join("f")).unwrap().take(0);
    folder.close().unwrap();
    assert!(!path.exists());
}

/// The partial downloads in a state folder.
#[cfg(unix)]
pub fn parts(state: &Path) -> Vec<PathBuf> {
    let folder = state.join("downloads");
    let mut parts = match folder.exists() {
        true => entries(&folder),
        false => Vec::new(),
    };
    parts.retain(|path| path.file_name() != Some("key".as_ref()));
    parts
}
