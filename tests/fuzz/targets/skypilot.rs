//! What a SkyPilot server answers and streams.
//!
//! The first byte picks the status, the second how the rest is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use satellite_sdk::Error;
use satellite_sdk::compute::skypilot::{
    Cluster, ClusterCost, EnabledClouds, Health, Job, Launched, Offers, RequestRecord,
};
use satellite_sdk::fuzzing::{sky_answer, sky_log};

const STATUSES: [u16; 8] = [200, 200, 400, 404, 409, 429, 500, 503];

fuzz_target!(|bytes: &[u8]| {
    let [status, kind, body @ ..] = bytes else {
        return;
    };
    let answer = sky_answer(STATUSES[usize::from(status % 8)], body);
    match kind % 10 {
        0 => drop(answer.json::<Health>().inspect_err(told)),
        1 => drop(answer.json::<RequestRecord>().inspect_err(told)),
        2 => drop(answer.json::<Launched>().inspect_err(told)),
        3 => drop(answer.json::<Vec<Cluster>>().inspect_err(told)),
        4 => drop(answer.json::<Vec<Job>>().inspect_err(told)),
        5 => drop(answer.json::<Vec<ClusterCost>>().inspect_err(told)),
        6 => drop(answer.json::<Offers>().inspect_err(told)),
        7 => drop(answer.json::<EnabledClouds>().inspect_err(told)),
        8 => drop(answer.ok().inspect_err(told)),
        _ => {
            let Ok((lines, estimate)) = sky_log(body) else {
                return;
            };
            for line in lines {
                assert!(
                    !line.chars().any(|c| c.is_control() && c != '\t'),
                    "{line:?}"
                );
            }
            if let Some(estimate) = estimate {
                let cost = estimate.cost_per_hour;
                assert!(cost.is_finite() && cost >= 0.0, "{estimate:?}");
            }
        }
    }
});

/// One line without control characters, and of bounded length.
fn told(error: &Error) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 5000, "{text:?}");
}
