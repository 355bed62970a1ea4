//! Secrets are in the container and nowhere else.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::engine_or_skip;
use crate::host::{Host, Satellite, uuid};

#[test]
fn a_secret_is_in_no_argument_no_log_and_not_in_the_satellites_environment() {
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
    command.env("RUST_LOG", "trace");
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
}
