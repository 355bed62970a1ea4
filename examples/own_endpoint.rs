//! Adds a custom API call to the client with an extension trait. It uses the client's
//! token, connection pool, deadline and retries.

use satellite_sdk::{Builder, Context, Exit, PlatformClient, Result, Task, done};
use serde::Deserialize;

#[derive(Deserialize)]
struct Quota {
    gpu_hours_left: f64,
}

trait Quotas {
    fn quota(&self, orbit: &str) -> Result<Quota>;
}

impl Quotas for PlatformClient {
    fn quota(&self, orbit: &str) -> Result<Quota> {
        self.get(&format!("/satellites/v1/orbits/{orbit}/quota"))?
            .json()
    }
}

fn train(task: Task, cx: &Context) -> Result<String> {
    let left = match cx.platform().quota("mine") {
        Ok(quota) => quota.gpu_hours_left,
        // An older platform without this endpoint: continue without a quota.
        Err(e) if e.is_unsupported() => f64::INFINITY,
        Err(e) => return Err(e),
    };
    done(format!("{} with {left} hours to spend", task.id))
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    Builder::new().handler("train", train).run()
}
