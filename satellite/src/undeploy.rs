//! Undeploy: containers away, then the deployment; harmless when done twice.

use satellite_sdk::{Context, DeploymentStatus, Failure, Later, Task};
use serde_json::json;

use crate::deploy::set_status;
use crate::fleet::Fleet;
use crate::job::{self, End, Job, Target, failed};
use crate::queue::Wish;

/// The handler. A deploy of the same that is under way is given up.
pub fn handler(fleet: Fleet) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    job::handler(fleet, Wish::Down, Job::undeploy, conclude)
}

impl Job {
    fn undeploy(&self, _task_id: &str) -> Result<bool, End> {
        let removed = self.remove_containers()?;
        let deleted = self.platform(|platform| {
            let id = &self.deployment_id;
            match platform.delete_deployment(id) {
                // Gone already, perhaps by this very call.
                Err(e) if e.is_not_found() => Ok(()),
                // A deploy marked it active after its deletion was asked for:
                // this task is the proof that it was.
                Err(e) if e.is_conflict() => {
                    platform.update_deployment_status(id, DeploymentStatus::DeletionPending)?;
                    platform.delete_deployment(id)
                }
                answer => answer,
            }
        })?;
        deleted.map_err(|e| failed("Failed to delete deployment.", e))?;
        Ok(removed)
    }
}

fn conclude(job: &Job, end: Result<bool, End>, later: Later) {
    let id = &job.deployment_id;
    match end {
        Ok(removed) => {
            log::info!("deployment {id} is gone");
            later.done(json!({ "container_removed": removed }));
        }
        Err(End::Stopping | End::Outdated(_)) => later.leave_running(),
        Err(End::Failed(failure)) => {
            let status = DeploymentStatus::DeletionFailed;
            let marked =
                job.platform(|platform| set_status(platform, id, status.clone(), &failure));
            if let Ok(Err(error)) = marked {
                log::warn!("deployment {id} cannot be marked: {error}");
            }
            later.fail(failure);
        }
    }
}
