//! A call that this kit does not know, added to the client by a trait of one's
//! own: token, kept connection, deadline and resending come with it.

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
        // A platform of another age: do without.
        Err(e) if e.is_unsupported() => f64::INFINITY,
        Err(e) => return Err(e),
    };
    done(format!("{} with {left} hours to spend", task.id))
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    Builder::new().handler("train", train).run()
}
