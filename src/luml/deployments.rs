//! Calls for deployments, secrets, artifacts and inference access.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::client::{PREFIX, PlatformClient};
use super::models::{Artifact, Deployment, DeploymentUpdate, OrbitSecret};
use super::status::DeploymentStatus;
use satellite_core::http::{Call, Method, Op, Secret, escaped};
use satellite_core::{Error, Result};

/// Deployments.
impl PlatformClient {
    /// All deployments of this satellite.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// assert!(platform.list_deployments()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Network faults, a rejected token.
    pub fn list_deployments(&self) -> Result<Vec<Deployment>> {
        self.read(&format!("{PREFIX}/deployments"))
    }

    /// One deployment.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "name": "iris" }));
    /// # let platform = mock.client();
    /// assert_eq!(platform.get_deployment(id)?.name, "iris");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` if the id is not a uuid.
    pub fn get_deployment(&self, deployment_id: &str) -> Result<Deployment> {
        self.read(&deployment_path(deployment_id))
    }

    /// Updates a deployment: reads it, applies `change`, and sends the whole record
    /// back, since the platform clears each field that is left out.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "tags": ["mine"] }));
    /// # let platform = mock.client();
    /// use satellite_sdk::DeploymentStatus;
    ///
    /// let deployment = platform.update_deployment(id, |update| {
    ///     update.status = DeploymentStatus::Active;
    ///     update.inference_url = Some(format!("/deployments/{id}"));
    /// })?;
    /// assert_eq!(deployment.tags.unwrap(), ["mine"]);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_retryable()` (500) if another deployment has the same
    /// `inference_url`.
    pub fn update_deployment(
        &self,
        deployment_id: &str,
        change: impl FnOnce(&mut DeploymentUpdate),
    ) -> Result<Deployment> {
        let mut update = DeploymentUpdate::from(self.get_deployment(deployment_id)?);
        change(&mut update);
        let path = deployment_path(deployment_id);
        let call = Call::new(Method::PATCH, &path).op(Op::Idempotent);
        self.send(call.json(&update)?)?.json()
    }

    /// Updates only the status of a deployment.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id }));
    /// # let platform = mock.client();
    /// let deployment = platform.update_deployment_status(id, "not_responding")?;
    /// assert_eq!(deployment.status, "not_responding");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` for a status that the platform does not know.
    pub fn update_deployment_status(
        &self,
        deployment_id: &str,
        status: impl Into<DeploymentStatus>,
    ) -> Result<Deployment> {
        let path = format!("{}/status", deployment_path(deployment_id));
        let call = Call::new(Method::PATCH, &path).op(Op::Idempotent);
        self.send(call.json(&json!({ "status": status.into() }))?)?
            .json()
    }

    /// Deletes a deployment on the platform.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "status": "deletion_pending" }));
    /// # let platform = mock.client();
    /// platform.delete_deployment(id)?;
    /// assert!(platform.get_deployment(id).unwrap_err().is_not_found());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_conflict()` unless its deletion was requested (`deletion_pending`);
    /// `is_not_found()` if it no longer exists, possibly because a first attempt of
    /// this call deleted it and its response was lost.
    pub fn delete_deployment(&self, deployment_id: &str) -> Result<()> {
        let path = deployment_path(deployment_id);
        let call = Call::new(Method::DELETE, &path);
        self.send(call)?.ok().map(drop)
    }
}

/// Secrets, artifacts, access.
impl PlatformClient {
    /// The secrets that a deployment references, by the name of the environment
    /// variable or dynamic attribute.
    ///
    /// The platform's own filter returns the secrets of the whole orbit, so each is
    /// requested by its id.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let (id, key) = ("0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002");
    /// # mock.add_secret(key, "the key", "v");
    /// # mock.add_deployment(serde_json::json!({ "id": id, "env_variables_secrets": { "API_KEY": key } }));
    /// # let platform = mock.client();
    /// assert_eq!(platform.fetch_secrets(id)?["API_KEY"].expose(), "v");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a secret is missing; the error names its variable.
    pub fn fetch_secrets(&self, deployment_id: &str) -> Result<BTreeMap<String, Secret>> {
        let deployment = self.get_deployment(deployment_id)?;
        let references = deployment
            .env_variables_secrets
            .into_iter()
            .chain(deployment.dynamic_attributes_secrets);
        references
            .map(|(name, secret_id)| match self.get_secret(&secret_id) {
                Ok(secret) => Ok((name, secret.value)),
                Err(e) if e.is_not_found() => Err(Error::new(format_args!(
                    "the secret for {name} is missing: {e}"
                ))),
                Err(e) => Err(e),
            })
            .collect()
    }

    /// One secret of the orbit, by its id.
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` if the id is a name instead of a uuid.
    pub fn get_secret(&self, secret_id: &str) -> Result<OrbitSecret> {
        self.read(&format!("{PREFIX}/secrets/{}", escaped(secret_id)))
    }

    /// All secrets of the orbit.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// assert!(platform.get_secrets()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Network faults, a rejected token.
    pub fn get_secrets(&self) -> Result<Vec<OrbitSecret>> {
        self.read(&format!("{PREFIX}/secrets"))
    }

    /// An artifact's record and the URL of its file.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn get_artifact(&self, artifact_id: &str) -> Result<Artifact> {
        self.read(&format!("{PREFIX}/artifacts/{}", escaped(artifact_id)))
    }

    /// A presigned URL of an artifact's file, valid for about 12 hours.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn artifact_download_url(&self, artifact_id: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Download {
            url: String,
        }
        let path = format!("{PREFIX}/artifacts/{}/download-url", escaped(artifact_id));
        self.read(&path).map(|download: Download| download.url)
    }

    /// Whether an API key is allowed to request predictions from this satellite.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_inference_key("dfs_key");
    /// # let platform = mock.client();
    /// assert!(platform.authorize_inference("dfs_key")?);
    /// assert!(!platform.authorize_inference("another")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()` for a key of more than 255 characters.
    pub fn authorize_inference(&self, api_key: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Access {
            authorized: bool,
        }
        let path = format!("{PREFIX}/deployments/inference-access");
        let call = Call::new(Method::POST, &path).op(Op::Read);
        let answer = self.send(call.json(&json!({ "api_key": api_key }))?)?;
        answer.json().map(|access: Access| access.authorized)
    }
}

fn deployment_path(deployment_id: &str) -> String {
    format!("{PREFIX}/deployments/{}", escaped(deployment_id))
}
