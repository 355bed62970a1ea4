//! Undeploy: removes the containers, then deletes the deployment. Idempotent.

use satellite_sdk::{Context, DeploymentStatus, Failure, Later, Task};
use serde_json::json;

use crate::deploy::set_status;
use crate::job::{self, Job, JobError, Target, failed};
use crate::queue::DesiredState;
use crate::shared::Shared;

/// The handler. It cancels a deploy of the same deployment that is in progress.
pub fn handler(shared: Shared) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    job::handler(shared, DesiredState::Removed, Job::undeploy, finish)
}

impl Job {
    fn undeploy(&self, _task_id: &str) -> Result<bool, JobError> {
        let removed = self.remove_containers()?;
        let deleted = self.platform(|platform| {
            let id = &self.deployment_id;
            match platform.delete_deployment(id) {
                // Already deleted, perhaps by an earlier attempt of this call.
                Err(e) if e.is_not_found() => Ok(()),
                // A deploy set it to active after the deletion was requested. This task
                // proves that it was requested.
                Err(e) if e.is_conflict() => {
                    platform.update_deployment_status(id, DeploymentStatus::DeletionPending)?;
                    platform.delete_deployment(id)
                }
                result => result,
            }
        })?;
        deleted.map_err(|e| failed("Failed to delete deployment.", e))?;
        Ok(removed)
    }
}

fn finish(job: &Job, end: Result<bool, JobError>, later: Later) {
    let id = &job.deployment_id;
    match end {
        Ok(removed) => {
            log::info!("deployment {id} deleted");
            later.done(json!({ "container_removed": removed }));
        }
        Err(JobError::Stopping | JobError::Cancelled(_)) => later.leave_running(),
        Err(JobError::Failed(failure)) => {
            let status = DeploymentStatus::DeletionFailed;
            let marked =
                job.platform(|platform| set_status(platform, id, status.clone(), &failure));
            if let Ok(Err(error)) = marked {
                log::warn!("deployment {id}: cannot update its status: {error}");
            }
            later.fail(failure);
        }
    }
}
