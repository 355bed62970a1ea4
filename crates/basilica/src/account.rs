//! An account: its API keys and, in the newer service, its SSH key, balance and
//! usage.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api_version::ApiVersion;
use super::connection::Connection;
use satellite_core::client::delete;
use satellite_core::http::{Secret, escaped};
use satellite_core::lenient::or_default;
use satellite_core::{Error, Result};

/// The account of a [`BasilicaClient`](crate::BasilicaClient).
///
/// ```no_run
/// use satellite_basilica::BasilicaClient;
///
/// let basilica = BasilicaClient::from_env()?;
/// for key in basilica.account().api_keys()? {
///     println!("{} last used at {:?}", key.name, key.last_used_at);
/// }
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AccountManager<'a> {
    pub(super) connection: &'a Connection,
}

/// Only a user who has logged in can manage API keys: the service requires a login's
/// JWT and rejects an API key with `is_unauthorized()`.
impl AccountManager<'_> {
    /// Creates an API key. Its token is returned only here. It has these `scopes`, or
    /// the caller's scopes if `scopes` is empty.
    ///
    /// The request is sent once. If the response is lost, so is the token: delete the
    /// key and create another one.
    ///
    /// ```no_run
    /// # use satellite_basilica::BasilicaClient;
    /// # let basilica = BasilicaClient::from_env()?;
    /// let key = basilica.account().create_api_key("edge-worker", &[])?;
    /// std::fs::write("token", key.token.expose())?;
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_settings()` for a name with anything but ASCII letters, digits, `-` and
    /// `_`, or of more than 100 characters; `is_conflict()` if a key of that
    /// name or ten keys exist; `is_unauthorized()`.
    pub fn create_api_key(&self, name: &str, scopes: &[&str]) -> Result<NewApiKey> {
        check_name(name)?;
        let mut body = json!({ "name": name });
        if !scopes.is_empty() {
            body["scopes"] = json!(scopes);
        }
        self.connection.create("/api-keys", &body)
    }

    /// The account's API keys, without their tokens.
    ///
    /// # Errors
    /// `is_unauthorized()`.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>> {
        self.connection.get("/api-keys", &[])
    }

    /// Deletes an API key. Later requests with it are rejected.
    ///
    /// # Errors
    /// `is_settings()` for an invalid name; `is_not_found()`;
    /// `is_unauthorized()`.
    pub fn delete_api_key(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let path = format!("/api-keys/{}", escaped(name));
        delete(
            &self.connection.transport,
            &path,
            self.connection.limits.request,
        )
    }

    /// Registers the account's SSH key, which rentals of the newer service use. An
    /// account has at most one.
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`]; `is_conflict()` if one
    /// exists.
    pub fn register_ssh_key(&self, name: &str, public_key: &str) -> Result<SshKey> {
        self.connection.needs(ApiVersion::Deployments, "SSH keys")?;
        let body = json!({ "name": name, "public_key": public_key.trim() });
        self.connection.create("/ssh-keys", &body)
    }

    /// The account's SSH key, if one is registered.
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`].
    pub fn ssh_key(&self) -> Result<Option<SshKey>> {
        self.connection.needs(ApiVersion::Deployments, "SSH keys")?;
        match self.connection.get("/ssh-keys", &[]) {
            Err(error) if error.is_not_found() => Ok(None),
            response => response,
        }
    }

    /// Deletes the account's SSH key.
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`]; `is_not_found()`.
    pub fn delete_ssh_key(&self) -> Result<()> {
        self.connection.needs(ApiVersion::Deployments, "SSH keys")?;
        delete(
            &self.connection.transport,
            "/ssh-keys",
            self.connection.limits.request,
        )
    }

    /// The remaining credit.
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`].
    pub fn balance(&self) -> Result<Balance> {
        self.connection
            .needs(ApiVersion::Deployments, "a balance")?;
        self.connection.get("/billing/balance", &[])
    }

    /// The rental history and its costs: at most `limit` entries, starting at
    /// `offset`.
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`].
    pub fn usage(&self, limit: u32, offset: u32) -> Result<Usage> {
        self.connection
            .needs(ApiVersion::Deployments, "a usage history")?;
        let (limit, offset) = (limit.to_string(), offset.to_string());
        let query = [("limit", limit.as_str()), ("offset", offset.as_str())];
        self.connection.get("/billing/usage", &query)
    }
}

/// An API key, without its token.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// Its name, which [`delete_api_key`](AccountManager::delete_api_key) takes.
    pub name: String,
    /// Its public id, a part of the token.
    #[serde(default, deserialize_with = "or_default")]
    pub kid: String,
    /// When it was created (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// When it was last used (RFC 3339), if it was.
    #[serde(default)]
    pub last_used_at: Option<String>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An API key that was just created, with its token.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct NewApiKey {
    /// Its name.
    pub name: String,
    /// The token; the service never returns it again.
    pub token: Secret,
    /// When it was created (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
}

/// The SSH key of an account.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct SshKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public key.
    pub public_key: String,
    /// When it was registered (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The credit of an account.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Balance {
    /// The remaining amount in US dollars, as the service formats it.
    pub balance: String,
    /// As of when (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub last_updated: String,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A part of the usage history.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The requested entries.
    pub rentals: Vec<RentalUsage>,
    /// How many entries there are in all.
    #[serde(default, deserialize_with = "or_default")]
    pub total_count: u64,
}

/// What one rental cost.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct RentalUsage {
    /// The rental.
    pub rental_id: String,
    /// The machine.
    #[serde(default, deserialize_with = "or_default")]
    pub node_id: String,
    /// The status of the rental, as the service names it.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// US dollars per hour, as the service formats it.
    #[serde(default, deserialize_with = "or_default")]
    pub hourly_rate: String,
    /// US dollars so far, as the service formats it.
    #[serde(default, deserialize_with = "or_default")]
    pub current_cost: String,
    /// When it began (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub start_time: String,
    /// As of when (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub last_updated: String,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn check_name(name: &str) -> Result<()> {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match (1..=100).contains(&name.len()) && name.bytes().all(is_fit) {
        true => Ok(()),
        false => Err(Error::settings(vec![format!(
            "name: expected at most 100 letters, digits, `-` and `_`, found {name:?}"
        )])),
    }
}
