//! The credentials of a cloud account.

use satellite_core::http::Secret;
use satellite_core::{Error, Result};

/// The credentials of a cloud account. The server applies them to one operation, stores
/// them with the request, and shows them to the request's owner.
///
/// ```
/// use satellite_skypilot::CloudCredentials;
///
/// let aws = CloudCredentials::aws("AKIA…", "secret").session_token("token");
/// let azure = CloudCredentials::azure("tenant", "client", "secret", "subscription");
/// # let _ = (aws, azure);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CloudCredentials {
    variables: Vec<(&'static str, Secret)>,
    unsupported_reason: Option<&'static str>,
}

impl CloudCredentials {
    /// An access key of AWS.
    pub fn aws(access_key_id: impl Into<Secret>, secret_access_key: impl Into<Secret>) -> Self {
        Self::of(vec![
            ("AWS_ACCESS_KEY_ID", access_key_id.into()),
            ("AWS_SECRET_ACCESS_KEY", secret_access_key.into()),
        ])
    }

    /// A service principal of Azure.
    pub fn azure(
        tenant_id: impl Into<Secret>,
        client_id: impl Into<Secret>,
        client_secret: impl Into<Secret>,
        subscription_id: impl Into<Secret>,
    ) -> Self {
        Self::of(vec![
            ("AZURE_TENANT_ID", tenant_id.into()),
            ("AZURE_CLIENT_ID", client_id.into()),
            ("AZURE_CLIENT_SECRET", client_secret.into()),
            ("AZURE_SUBSCRIPTION_ID", subscription_id.into()),
        ])
    }

    /// A service account of Google Cloud. No server accepts one with a request: every
    /// operation with it fails with `is_unsupported()` before anything is sent.
    pub fn gcp(_service_account: impl Into<Secret>) -> Self {
        CloudCredentials {
            variables: Vec::new(),
            unsupported_reason: Some(
                "the server reads GCP credentials only from a file of its own: configure them \
                 there with `gcloud auth application-default login`",
            ),
        }
    }

    /// The session token of temporary AWS keys.
    pub fn session_token(mut self, token: impl Into<Secret>) -> Self {
        self.variables.push(("AWS_SESSION_TOKEN", token.into()));
        self
    }

    /// The AWS region.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        let region = Secret::from(region.into());
        self.variables.push(("AWS_DEFAULT_REGION", region));
        self
    }

    fn of(variables: Vec<(&'static str, Secret)>) -> Self {
        CloudCredentials {
            variables,
            unsupported_reason: None,
        }
    }

    /// The variables of the request, in plain text.
    pub(super) fn variables(&self) -> Result<Vec<(&'static str, String)>> {
        if let Some(why) = self.unsupported_reason {
            return Err(Error::unsupported(why));
        }
        let plain = |(name, value): &(&'static str, Secret)| (*name, value.expose().to_owned());
        Ok(self.variables.iter().map(plain).collect())
    }
}
