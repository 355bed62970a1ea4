//! A minimal poll loop: unmodified ureq and serde_json. No claims, no limits, no backoff, and no
//! signal handling.
//!
//! `ureq-loop PLATFORM SECONDS`

use std::error::Error;
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("no platform")? + "/satellites/v1/tasks?status=pending";
    let interval = Duration::from_secs_f64(arguments.next().ok_or("no interval")?.parse()?);
    let agent = ureq::Agent::new_with_defaults();
    loop {
        let mut answer = agent
            .get(&url)
            .header("authorization", "Bearer bench")
            .call()?;
        let text = answer.body_mut().read_to_string()?;
        let _tasks: Vec<serde_json::Value> = serde_json::from_str(&text)?;
        thread::sleep(interval);
    }
}
