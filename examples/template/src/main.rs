//! A satellite: polls the platform, runs a handler for each task, reports the result.

use satellite_sdk::{Builder, Context, Exit, Task, done};
use serde::Deserialize;
use serde_json::json;

/// The payload of a `deploy` task. It is parsed before the handler runs.
#[derive(Deserialize)]
struct Deploy {
    deployment_id: String,
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    satellite(Builder::new()).run()
}

/// The handlers, on any builder: the tests use one that talks to a mock platform.
fn satellite(builder: Builder) -> Builder {
    builder.handler("deploy", deploy)
}

/// Any `Serialize` type can be the result.
fn deploy(task: Task<Deploy>, cx: &Context) -> satellite_sdk::Result<serde_json::Value> {
    let deployment = cx.platform().get_deployment(&task.payload.deployment_id)?;
    log::info!("deploying {}", deployment.name);
    done(json!({ "name": deployment.name }))
}

#[cfg(test)]
mod tests {
    use satellite_sdk::testing::{MockPlatform, mock_task};

    use super::*;

    #[test]
    fn a_deploy_task_reports_the_name_of_the_deployment() {
        let platform = MockPlatform::start();
        let id = platform.add_deployment(json!({ "name": "iris" }));
        platform.add_task(mock_task("t-1", "deploy", json!({ "deployment_id": id })));

        let mut satellite = satellite(platform.worker()).build().unwrap();
        satellite.run_until_idle().unwrap();

        assert_eq!(platform.status("t-1"), "done");
    }

    #[test]
    fn a_payload_without_an_id_fails_the_task() {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t-1", "deploy", json!({})));

        let mut satellite = satellite(platform.worker()).build().unwrap();
        satellite.run_until_idle().unwrap();

        assert_eq!(platform.status("t-1"), "failed");
    }
}
