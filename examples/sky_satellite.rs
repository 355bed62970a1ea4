//! A satellite whose tasks manage clusters: `launch` starts one, `terminate` deletes
//! it. When the satellite is stopped, it stops waiting at once; the launch continues
//! on the server, and the task's error contains the request id.
//!
//!     LUML_SATELLITE_TOKEN=… SKYPILOT_API_SERVER_URL=… cargo run --example sky_satellite --features skypilot

use std::time::Duration;

use satellite_sdk::compute::skypilot::{Launch, SkyPilotClient, Task as SkyTask};
use satellite_sdk::{Builder, Context, Exit, OnStop, Result, Task, done};
use serde_json::json;

#[derive(serde::Deserialize)]
struct LaunchPayload {
    cluster: String,
    yaml: String,
}

#[derive(serde::Deserialize)]
struct TerminatePayload {
    cluster: String,
}

fn main() -> Exit {
    let sky = match SkyPilotClient::from_env() {
        Ok(sky) => sky,
        Err(error) => return Exit::from(error),
    };
    let other = sky.clone();
    Builder::new()
        .handler("launch", move |task: Task<LaunchPayload>, cx: &Context| {
            launch(&sky, task.payload, cx)
        })
        .handler("terminate", move |task: Task<TerminatePayload>| {
            other.terminate(&task.payload.cluster)?.wait()?;
            done(json!({ "cluster": task.payload.cluster }))
        })
        .on_stop(OnStop::Drain(Duration::from_secs(20)))
        .run()
}

fn launch(sky: &SkyPilotClient, payload: LaunchPayload, cx: &Context) -> Result<serde_json::Value> {
    let task = SkyTask::yaml(payload.yaml);
    sky.validate(task.clone())?;
    let launch = Launch::new(&payload.cluster, task).idle_minutes_to_stop(30);
    let request = sky.launch(&launch)?;
    log::info!("{}: request {}", payload.cluster, request.id());
    while !request.record()?.status.is_final() {
        if !cx.sleep(Duration::from_secs(2)) {
            return Err(satellite_sdk::Error::new(format_args!(
                "{} is still being launched, by request {}",
                payload.cluster,
                request.id(),
            )));
        }
    }
    done(json!({ "cluster": payload.cluster, "job": request.wait()?.job_id }))
}
