//! A failed download is resumed by a later call or process.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{Download, TempDirectory, temp_directory};
use satellite_sdk::serve::{Response, Server};

use crate::extras::{SHA256, TEXT, broken, entries, parts, server};

/// The range start of each request; `None` without a range.
#[cfg(unix)]
type Starts = Arc<Mutex<Vec<Option<usize>>>>;

/// A server that sends 10 bytes to the first call and then nothing, and all the rest to
/// the second call, whose signature differs; and the range start of each request.
#[cfg(unix)]
fn broken_once(etag: &'static str) -> (Server, [String; 2], Starts) {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let (server, url, _) = server(move |n, start| {
        seen.lock().unwrap().push(start);
        broken(start, [10, 0, 1000][n.min(2)], etag)
    });
    let urls = [url.clone(), url.replace("hush", "another")];
    (server, urls, starts)
}

#[cfg(unix)]
fn resumable<'a>(url: &'a str, state: &TempDirectory) -> Download<'a> {
    Download::new(url)
        .attempts(1)
        .max_wait(Duration::from_millis(1))
        .resume_in(Some(state.path()))
}

#[cfg(unix)]
#[test]
fn a_later_call_resumes_a_failed_download() {
    for (etag, sha256) in [("\"v1\"", None), ("W/\"weak\"", Some(SHA256))] {
        let (_server, [first, second], starts) = broken_once(etag);
        let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
        let path = folder.path().join("model.bin");
        let fetch = |url| match sha256 {
            Some(digits) => resumable(url, &state).sha256(digits).to(&path),
            None => resumable(url, &state).to(&path),
        };
        assert!(fetch(&first).unwrap_err().is_retryable());
        assert!(entries(folder.path()).is_empty());
        assert_eq!(fetch(&second).unwrap().sha256, SHA256);
        assert_eq!(*starts.lock().unwrap(), [None, Some(10), Some(10)]);
        assert_eq!(fs::read(&path).unwrap(), TEXT);
        assert!(
            parts(state.path()).is_empty(),
            "no partial download remains"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_later_call_for_another_target_or_without_a_state_folder_restarts() {
    let (_server, [first, second], starts) = broken_once("\"v1\"");
    let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
    let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
    assert!(resumable(&first, &state).to(&a).is_err());
    assert_eq!(resumable(&second, &state).to(&b).unwrap().sha256, SHA256);
    assert_eq!(
        resumable(&second, &state)
            .resume_in(None)
            .to(&c)
            .unwrap()
            .sha256,
        SHA256
    );
    assert_eq!(*starts.lock().unwrap(), [None, Some(10), None, None]);
    assert_eq!(
        parts(state.path()).len(),
        2,
        "the first partial download is kept"
    );
}

#[cfg(unix)]
#[test]
fn a_modified_or_outdated_partial_download_is_not_resumed() {
    for damage in [false, true] {
        let (_server, [first, second], starts) = broken_once("\"v1\"");
        let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
        let path = folder.path().join("model.bin");
        assert!(resumable(&first, &state).to(&path).is_err());
        if damage {
            fs::write(part_of(state.path()), "The quick?").unwrap();
        }
        assert_eq!(resumable(&second, &state).to(&path).unwrap().sha256, SHA256);
        let last = if damage { None } else { Some(10) };
        assert_eq!(starts.lock().unwrap()[2], last);
    }

    // The rest is of another version, which only the hash reveals.
    let (_server, url, count) = server(|n, start| match n {
        0 => Response::raw("HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\nanother v."),
        1 => broken(start, 0, "\"v2\""),
        _ => broken(start, 1000, "\"v2\""),
    });
    let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
    let path = folder.path().join("model.bin");
    assert!(resumable(&url, &state).sha256(SHA256).to(&path).is_err());
    let file = resumable(&url, &state).sha256(SHA256).to(&path).unwrap();
    assert_eq!((file.bytes, count.load(Ordering::Relaxed)), (43, 4));
}

#[cfg(unix)]
#[test]
fn a_symlink_in_place_of_a_partial_download_is_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let links: [fn(&Path, &Path) -> std::io::Result<()>; 2] =
        [|a, b| symlink(a, b), |a, b| fs::hard_link(a, b)];
    for link in links {
        let (_server, [first, second], starts) = broken_once("\"v1\"");
        let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
        let path = folder.path().join("model.bin");
        assert!(resumable(&first, &state).to(&path).is_err());
        let downloads = state.path().join("downloads");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&downloads), mode(&part_of(state.path()))),
            (0o700, 0o600)
        );

        let victim = state.path().join("victim");
        let part = part_of(state.path());
        fs::rename(&part, &victim).unwrap();
        link(&victim, &part).unwrap();
        assert_eq!(resumable(&second, &state).to(&path).unwrap().sha256, SHA256);
        assert_eq!(fs::read(&victim).unwrap(), &TEXT[..10]);
        assert_eq!(starts.lock().unwrap()[2], None);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    // A folder that others can read, or a link to one, is not used at all.
    for link in [false, true] {
        let (_server, [first, _], _) = broken_once("\"v1\"");
        let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
        let downloads = state.path().join("downloads");
        match link {
            true => symlink(folder.path(), &downloads).unwrap(),
            false => {
                fs::create_dir(&downloads).unwrap();
                fs::set_permissions(&downloads, PermissionsExt::from_mode(0o755)).unwrap();
            }
        }
        assert!(
            resumable(&first, &state)
                .to(folder.path().join("f"))
                .is_err()
        );
        assert!(entries(folder.path()).is_empty());
        assert!(entries(&downloads).is_empty());
    }
}

#[cfg(unix)]
#[test]
fn concurrent_downloads_of_the_same_file_do_not_interfere() {
    let together = Arc::new(Barrier::new(2));
    let (_server, url, _) = server(move |n, start| {
        if n < 2 {
            together.wait(); // both have started
        }
        broken(start, 1000, "\"v1\"")
    });
    let (folder, state) = (temp_directory().unwrap(), temp_directory().unwrap());
    let path = folder.path().join("model.bin");
    thread::scope(|scope| {
        let calls = [(), ()].map(|()| scope.spawn(|| resumable(&url, &state).to(&path)));
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap().sha256, SHA256);
        }
    });
    assert_eq!(fs::read(&path).unwrap(), TEXT);
    assert_eq!(entries(folder.path()), [path]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_state_folder_on_another_disk_works() {
    let Ok(state) =
        fs::create_dir("/dev/shm/satellite-extras").map(|()| "/dev/shm/satellite-extras")
    else {
        return println!("SKIPPED: no /dev/shm");
    };
    let (_server, url, _) = server(|_, _| Response::new(200).body(TEXT.to_vec()));
    let folder = temp_directory().unwrap();
    let path = folder.path().join("model.bin");
    let fetched = Download::new(&url)
        .resume_in(Some(Path::new(state)))
        .to(&path);
    let left = parts(Path::new(state));
    fs::remove_dir_all(state).unwrap();
    assert_eq!(fetched.unwrap().sha256, SHA256);
    assert!(left.is_empty());
    assert_eq!(entries(folder.path()), [path]);
}

/// A downloading process for the test below; does nothing in a normal test run.
#[cfg(unix)]
#[test]
fn downloading_process() {
    let Ok(url) = std::env::var("DOWNLOAD_URL") else {
        return;
    };
    let state = PathBuf::from(std::env::var("DOWNLOAD_STATE").unwrap());
    let file = Download::new(&url)
        .resume_in(Some(&state))
        .to(state.join("model.bin"))
        .unwrap();
    println!("sha256 {}", file.sha256);
}

/// Sends some bytes, and then nothing until the process that reads them has been killed.
#[cfg(unix)]
struct UntilKilled {
    left: usize,
    killed: Arc<AtomicBool>,
}

#[cfg(unix)]
impl Read for UntilKilled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = Instant::now() + Duration::from_secs(120);
        while self.left == 0 && !self.killed.load(Ordering::SeqCst) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        let length = buffer.len().min(self.left);
        buffer[..length].fill(b'x');
        self.left -= length;
        Ok(length)
    }
}

#[cfg(unix)]
#[test]
fn a_download_is_resumed_after_its_process_is_killed() {
    const LENGTH: usize = 24 << 20;
    let starts = Arc::new(Mutex::new(Vec::new()));
    let is_killed = Arc::new(AtomicBool::new(false));
    let (seen, killed) = (Arc::clone(&starts), Arc::clone(&is_killed));
    let (_server, url, _) = server(move |n, start| {
        seen.lock().unwrap().push(start);
        if n == 0 {
            let body = UntilKilled {
                left: 20 << 20,
                killed: Arc::clone(&killed),
            };
            return Response::new(200)
                .header("ETag", "\"v1\"")
                .reader(body, Some(LENGTH as u64));
        }
        let from = start.unwrap_or(0);
        let status = match start {
            Some(_) => 206,
            None => 200,
        };
        let range = format!("bytes {from}-{}/{LENGTH}", LENGTH - 1);
        Response::new(status)
            .header("ETag", "\"v1\"")
            .header("Content-Range", range)
            .body(vec![b'x'; LENGTH - from])
    });
    let state = temp_directory().unwrap();
    let process = |url: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "extras_resume::downloading_process",
                "--exact",
                "--nocapture",
            ])
            .env("DOWNLOAD_URL", url)
            .env("DOWNLOAD_STATE", state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut killed = process(&url);
    let end = Instant::now() + Duration::from_secs(60);
    let is_mark = |path: &PathBuf| path.extension() == Some("mark".as_ref());
    while !parts(state.path()).iter().any(is_mark) {
        assert!(Instant::now() < end, "no partial download is kept");
        thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    is_killed.store(true, Ordering::SeqCst);
    let output = process(&url).wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && stdout.contains("sha256 "),
        "{stdout}"
    );
    assert_eq!(
        fs::read(state.path().join("model.bin")).unwrap(),
        vec![b'x'; LENGTH]
    );
    let starts = starts.lock().unwrap();
    assert!(
        matches!(starts[..], [None, Some(from)] if (16 << 20..17 << 20).contains(&from)),
        "requests from {starts:?}; {stdout}"
    );
}

#[cfg(unix)]
fn part_of(state: &Path) -> PathBuf {
    let mut parts = parts(state);
    parts.retain(|path| path.extension() == Some("part".as_ref()));
    let [part] = <[PathBuf; 1]>::try_from(parts).unwrap();
    part
}
