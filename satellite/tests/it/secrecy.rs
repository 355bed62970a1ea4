//! Secrets are in the container and nowhere else.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use satellite_sdk::extras::temp_directory;
use serde_json::json;

use crate::engine_or_skip;
use crate::host::{Host, Satellite, uuid};

#[test]
fn a_secret_is_in_no_argument_no_log_no_file_and_not_in_the_satellites_environment() {
    let docker = engine_or_skip!();
    let secret = uuid();
    let host = Host::with(
        docker,
        json!({ "env_variables_secrets": { "API_KEY": secret, "LD_PRELOAD_KEY": secret } }),
    );
    let value = format!("hush-{}", uuid());
    host.platform.add_secret(&secret, "the key", &value);
    let task = host.deploy();

    let looking = Arc::new(AtomicBool::new(true));
    let (look, wanted, token) = (Arc::clone(&looking), value.clone(), host.platform.token());
    let watcher = thread::spawn(move || {
        let mut seen = 0;
        while look.load(Ordering::Relaxed) {
            for process in fs::read_dir("/proc").unwrap().flatten() {
                let Ok(arguments) = fs::read(process.path().join("cmdline")) else {
                    continue;
                };
                let arguments = String::from_utf8_lossy(&arguments);
                seen += u32::from(arguments.contains("API_KEY"));
                assert!(!arguments.contains(&wanted), "{arguments}");
                assert!(!arguments.contains(&token), "{arguments}");
            }
        }
        seen
    });
    let mut command = host.command();
    let folder = temp_directory().unwrap();
    command
        .env("RUST_LOG", "trace")
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .env("LUML_STATE_DIR", folder.path().join("state"));
    let satellite = Satellite::start(command);
    assert_eq!(host.ended(task), "done");
    looking.store(false, Ordering::Relaxed);
    let seen = watcher.join().unwrap();
    assert!(
        seen > 0,
        "the watcher never saw the call that carries the name"
    );

    let environment = fs::read(format!("/proc/{}/environ", satellite.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(&value));
    let log = satellite.log();
    assert!(log.contains("DEBUG") && !log.contains(&value));
    assert!(!log.contains(&host.platform.token()));
    assert!(
        !log.contains("sig=hush"),
        "the presigned URL is a secret as well"
    );

    let mut files = 0;
    each_file(folder.path(), &mut |path, bytes| {
        let text = String::from_utf8_lossy(bytes);
        for hidden in [&value, &host.platform.token(), "sig=hush"] {
            assert!(!text.contains(hidden), "{}", path.display());
        }
        files += 1;
    });
    let journal = fs::read_to_string(folder.path().join("state/journal")).unwrap();
    assert!(journal.contains("finished") && files >= 3, "{files} files");
}

fn each_file(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => each_file(&path, look),
            false => look(&path, &fs::read(&path).unwrap()),
        }
    }
}
