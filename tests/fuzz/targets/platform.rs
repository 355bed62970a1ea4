//! What a platform, or a box on the way, answers.
//!
//! The first byte picks the status, the second how the rest is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use satellite_sdk::fuzzing::{answer, result, tasks};
use satellite_sdk::{
    Artifact, Deployment, DeploymentUpdate, Error, OrbitSecret, SatelliteInfo, Task,
};
use serde_json::Value;

const STATUSES: [u16; 8] = [200, 201, 307, 401, 404, 422, 429, 503];

fuzz_target!(|bytes: &[u8]| {
    let [status, kind, rest @ ..] = bytes else {
        return;
    };
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    // A field's value up to the first end of a line; the body behind it.
    let end = rest.iter().position(|b| *b == b'\n').unwrap_or(0);
    let field = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let answer = |body| answer(status, &[("retry-after", field), ("location", field)], body);
    match kind % 8 {
        0 => match tasks(answer(rest)) {
            Ok(tasks) => tasks.iter().for_each(task),
            Err(error) => told(&error),
        },
        1 => match answer(rest).json::<Deployment>() {
            Ok(deployment) => same(&deployment, DeploymentUpdate::from),
            Err(error) => told(&error),
        },
        2 => drop(answer(rest).json::<Vec<Deployment>>().inspect_err(told)),
        3 => match answer(rest).json::<OrbitSecret>() {
            Ok(secret) => drop(format!("{secret:?}")),
            Err(error) => told(&error),
        },
        4 => drop(answer(rest).json::<Artifact>().inspect_err(told)),
        5 => drop(answer(rest).json::<SatelliteInfo>().inspect_err(told)),
        6 => drop(answer(&rest[end..]).ok().inspect_err(told)),
        _ => {
            if let Ok(value) = answer(rest).json::<Value>() {
                digestible(result(value));
            }
        }
    }
});

fn task(task: &Task) {
    let again: Task = serde_json::from_value(serde_json::to_value(task).unwrap()).unwrap();
    assert_eq!(
        serde_json::to_value(&again).unwrap(),
        serde_json::to_value(task).unwrap()
    );
}

fn same(deployment: &Deployment, update: impl Fn(Deployment) -> DeploymentUpdate) {
    let text = serde_json::to_string(deployment).unwrap();
    let again: Deployment = serde_json::from_str(&text).unwrap();
    assert_eq!(update(again), update(deployment.clone()));
}

/// One line that a terminal shows and does not obey, and not a long one.
fn told(error: &Error) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 1000, "{text:?}");
    let _ = (
        error.is_retryable(),
        error.is_unsupported(),
        error.retry_after(),
    );
}

fn digestible(result: Option<Value>) {
    let Some(result) = result else { return };
    let text = result.to_string();
    assert!(result.is_object() && text.len() <= 256 * 1024 && !text.contains("\\u0000"));
}
