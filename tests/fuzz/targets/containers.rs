//! What the engine's program prints: descriptions of containers, and complaints.

#![no_main]

use libfuzzer_sys::fuzz_target;

use fault::Fault;

#[allow(dead_code)]
#[path = "../../../satellite/src/engine/container.rs"]
mod container;
#[allow(dead_code)]
#[path = "../../../satellite/src/engine/fault.rs"]
mod fault;

// Of `engine`, whose place this file takes.
const DEPLOYMENT: &str = "df.deployment_id";
const MODEL: &str = "df.model_id";
const INSTANCE: &str = "df.satellite";
const TASK: &str = "df.task_id";

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for container in container::parse(&text).unwrap_or_default() {
        let _ = (
            container.port(8080),
            container.was_stopped(),
            container.is_failing(),
        );
        assert!(!container.name.starts_with('/'));
    }
    let fault = Fault::of(&text).to_string();
    assert!(fault.len() <= 600 + '…'.len_utf8(), "{fault:?}");
    assert!(!fault.contains('\n'), "{fault:?}");
});
