//! Adds the data of a test to the mock platform.

use serde::Serialize;
use serde_json::json;

use super::MockPlatform;

impl MockPlatform {
    /// Adds a task, or replaces the one with its id. Missing fields get defaults. Returns the id.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// platform.add_task(serde_json::json!({ "id": "t1", "type": "greet", "payload": {} }));
    /// let id = platform.add_task(serde_json::json!({ "type": "deploy" }));
    /// assert_eq!(platform.status(&id), "pending");
    /// ```
    pub fn add_task(&self, task: impl Serialize) -> String {
        let id = self.state().add_task(task);
        self.notify();
        id
    }

    /// Adds a deployment, or replaces the one with its id. Missing fields get defaults. Returns
    /// the id.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// let id = platform.add_deployment(serde_json::json!({ "name": "tiny" }));
    /// assert_eq!(platform.deployment(&id).unwrap()["status"], "pending");
    /// ```
    pub fn add_deployment(&self, deployment: impl Serialize) -> String {
        self.state().add_deployment(deployment)
    }

    /// Adds a secret of the orbit.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let id = "0198f000-0000-7000-8000-0000000000aa";
    /// MockPlatform::start().add_secret(id, "API_KEY", "hunter2");
    /// ```
    pub fn add_secret(&self, id: &str, name: &str, value: &str) {
        self.state().add_secret(id, name, value);
    }

    /// Adds an artifact with its download URL.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let artifact = serde_json::json!({ "name": "tiny" });
    /// MockPlatform::start().add_artifact("a1", artifact, "http://127.0.0.1:9/model");
    /// ```
    pub fn add_artifact(&self, id: &str, artifact: impl Serialize, url: &str) {
        let artifact = serde_json::to_value(artifact).expect("a test's own value must be JSON");
        self.state()
            .artifacts
            .insert(id.into(), (artifact, url.into()));
    }

    /// Adds an API key that may use the deployments.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().add_inference_key("dfs_key");
    /// ```
    pub fn add_inference_key(&self, key: &str) {
        self.state().inference_keys.insert(key.into());
    }

    /// Adds a user's key: valid for users, but a satellite that sends it gets a 403.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().add_user_key("dfs_user");
    /// ```
    pub fn add_user_key(&self, key: &str) {
        self.state().user_keys.insert(key.into());
    }

    /// Adds a code that `/pair` exchanges for the token. The real platform does not support codes.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().add_pairing_code("ABC123");
    /// ```
    pub fn add_pairing_code(&self, code: &str) {
        self.state().pairing_codes.insert(code.into());
    }

    /// Requests the deletion of a deployment like a user: marks it `deletion_pending` and adds an
    /// `undeploy` task.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// let id = platform.add_deployment(serde_json::json!({}));
    /// platform.request_deletion(&id, "t2");
    /// assert_eq!(platform.task("t2").unwrap()["payload"]["deployment_id"], id);
    /// ```
    pub fn request_deletion(&self, deployment_id: &str, task_id: &str) {
        let mut state = self.state();
        let Some(deployment) = state.deployment_mut(deployment_id) else {
            panic!("the mock platform has no deployment {deployment_id}");
        };
        deployment["status"] = json!("deletion_pending");
        let payload = json!({ "deployment_id": deployment_id });
        state.add_task(json!({ "id": task_id, "type": "undeploy", "payload": payload }));
    }
}
