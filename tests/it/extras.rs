//! Downloads over real HTTP, with the faults of real ones.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satellite_sdk::extras::{Download, download_file, retry, temp_directory};
use satellite_sdk::serve::{Limits, Request, Response, Server};
use satellite_sdk::testing::{ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Context, Task};

const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog";
const SHA256: &str = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";

/// A file server whose answers are made by `answer(request number, range start)`.
fn server(
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

/// The rest of the text from `start`, broken off after `sent` bytes.
fn broken(start: Option<usize>, sent: usize, etag: &str) -> Response {
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
fn a_file_arrives_whole_with_its_length_hash_and_progress() {
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
        "nothing is left beside it"
    );
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
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
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let (_server, url, _) = server(|n, start| match n {
        0 => broken(start, 10, "\"v1\""),
        // If-Range does not match any more: the whole of the new one.
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
fn a_wrong_hash_leaves_the_old_file_and_nothing_else() {
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
fn a_refusal_is_told_without_the_signature() {
    let (_server, url, count) = server(|_, _| Response::new(403));
    let folder = temp_directory().unwrap();
    let error = download_file(&url, folder.path().join("f")).unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().contains("/model.bin") && !error.to_string().contains("hush"));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn it_gives_up_when_nothing_new_comes() {
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

#[test]
fn retry_tries_as_often_as_it_is_told() {
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
fn a_temporary_folder_is_its_users_alone_and_goes_when_dropped() {
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
