//! A deployment's secrets: passed to its container, and masked in the container's output.

use std::time::Duration;

use satellite_sdk::{Deployment, Secret};

use crate::job::{Job, JobError, failed};
use crate::masker::Masker;

/// Timeout for reading a secret that is only needed to mask it.
const SECRET_TIMEOUT: Duration = Duration::from_secs(10);

impl Job {
    /// Reads the secrets for the container's environment.
    pub fn secrets(&self, deployment: &Deployment) -> Result<Vec<(String, Secret)>, JobError> {
        let wanted = deployment.env_variables_secrets.iter();
        wanted
            .map(|(name, secret_id)| {
                let secret = self.platform(|platform| platform.get_secret(secret_id))?;
                let secret = secret.map_err(|e| {
                    let text = format!("the secret {secret_id} for {name}: {e}");
                    failed("Failed to get secret", text)
                })?;
                Ok((name.clone(), secret.value))
            })
            .collect()
    }

    /// The container's last log lines, with secrets masked. The gateway passes the secrets
    /// of dynamic attributes to the model, so these are masked as well.
    pub fn last_lines(
        &self,
        id: &str,
        deployment: &Deployment,
        secrets: &[(String, Secret)],
        artifact_url: &str,
    ) -> String {
        let platform = self.cx.platform().within(SECRET_TIMEOUT);
        let mut known: Vec<Secret> = secrets.iter().map(|(_, value)| value.clone()).collect();
        for (attribute, secret_id) in &deployment.dynamic_attributes_secrets {
            match platform.get_secret(secret_id) {
                Ok(secret) => known.push(secret.value),
                // It was deleted, so no request to the model contains it.
                Err(error) if error.is_not_found() => {}
                Err(_) => {
                    return format!(
                        "its last lines are not shown: they may hold the secret for \
                         {attribute}, which could not be read in order to mask it"
                    );
                }
            }
        }
        let masker = Masker::new(&known, artifact_url);
        let lines = masker.mask(self.shared.engine().last_lines(id));
        format!("its last lines: {lines}")
    }
}
