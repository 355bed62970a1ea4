//! Token refresh: the OAuth refresh grant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::dialect;
use super::token_file::{StoredTokens, TokenFile};
use satellite_core::Variables;
use satellite_core::client::Connection;
use satellite_core::http::{Call, Credentials, Grant, Method, Renewal, Secret, Transport};
use satellite_core::{Error, Result};

/// The settings of the token refresh.
#[derive(Default)]
pub(super) struct RefreshSettings {
    pub(super) refresh: Option<Secret>,
    pub(super) file: Option<PathBuf>,
    pub(super) domain: Option<String>,
    pub(super) client_id: Option<String>,
    audience: Option<String>,
}

impl RefreshSettings {
    pub(super) fn read(&mut self, variables: &mut Variables) {
        let from = |value: &mut Option<String>, name: &str| {
            *value = value.take().or_else(|| variables.text(name));
        };
        from(&mut self.domain, "BASILICA_AUTH0_DOMAIN");
        from(&mut self.domain, "BASILICA_AUTH0_ISSUER");
        from(&mut self.client_id, "BASILICA_AUTH0_CLIENT_ID");
        from(&mut self.audience, "BASILICA_AUTH0_AUDIENCE");
        let (mut refresh, mut file) = (None, None);
        from(&mut refresh, "BASILICA_REFRESH_TOKEN");
        from(&mut file, "BASILICA_TOKEN_FILE");
        self.refresh = self.refresh.take().or(refresh.map(Secret::from));
        self.file = self.file.take().or(file.map(PathBuf::from));
        if self.refresh.is_none() && self.file.is_none() {
            return;
        }
        let needed = "required to refresh tokens";
        if self.client_id.is_none() {
            variables.problem("BASILICA_AUTH0_CLIENT_ID", needed);
        }
        match self.domain.take() {
            None => variables.problem("BASILICA_AUTH0_DOMAIN", needed),
            Some(domain) => {
                let url = match domain.contains("://") {
                    true => domain,
                    false => format!("https://{domain}"),
                };
                self.domain = variables.url_of("BASILICA_AUTH0_DOMAIN", &url);
                let plain_http = variables.flag("BASILICA_ALLOW_PLAIN_HTTP", false);
                let url = self.domain.as_deref();
                variables.check_transport("BASILICA_AUTH0_DOMAIN", url, plain_http);
            }
        }
    }

    /// Whether `token` can be refreshed. The service's own API keys cannot.
    pub(super) fn applies_to(&self, token: &Secret) -> bool {
        let is_key = token.expose().starts_with("basilica_");
        !is_key && (self.refresh.is_some() || self.file.is_some())
    }
}

/// Refreshing credentials, starting with the stored tokens or else the configured ones.
pub(super) fn refreshing(
    connection: &Connection,
    settings: RefreshSettings,
) -> Result<Credentials> {
    let file = settings.file.map(TokenFile::new);
    let stored = match &file {
        Some(file) => file.read()?,
        None => None,
    };
    let first = match (stored, settings.refresh) {
        (Some(stored), _) => stored.grant(),
        (None, Some(refresh)) => Grant {
            // Without an access token, the first call starts with a refresh.
            expires: connection.token.expose().is_empty().then(Instant::now),
            token: connection.token.clone(),
            refresh,
        },
        (None, None) => {
            let what = "BASILICA_TOKEN_FILE: the file does not exist, and BASILICA_REFRESH_TOKEN is \
                        not set";
            return Err(Error::settings(vec![what.to_owned()]));
        }
    };
    let no_token = Credentials::Token("".into());
    let issuer = Issuer {
        transport: connection.transport(
            &settings.domain.unwrap_or_default(),
            &dialect::OAUTH,
            no_token,
        )?,
        client_id: settings.client_id.unwrap_or_default(),
        audience: settings.audience,
    };
    let renewal = Renewal::new(first, move |grant, within| match &file {
        Some(file) => refresh_stored(&issuer, file, grant, within),
        None => issuer.refresh(grant, within),
    });
    Ok(Credentials::Renewed(Arc::new(renewal)))
}

/// One process refreshes the tokens for all that share the file.
fn refresh_stored(
    issuer: &Issuer,
    file: &TokenFile,
    grant: &Grant,
    within: Duration,
) -> Result<Grant> {
    let begun = Instant::now();
    let _lock = file.lock(within)?;
    let known = match file.read()? {
        Some(stored) if stored.token() != &grant.token && !stored.has_expired() => {
            return Ok(stored.grant());
        }
        Some(stored) => stored.grant(),
        None => grant.clone(),
    };
    let next = issuer.refresh(&known, within.saturating_sub(begun.elapsed()))?;
    if let Err(error) = file.write(&next) {
        log::error!("could not store the new token, and the old one may no longer work: {error}");
    }
    Ok(next)
}

struct Issuer {
    transport: Arc<Transport>,
    client_id: String,
    audience: Option<String>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: Secret,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Issuer {
    fn refresh(&self, grant: &Grant, within: Duration) -> Result<Grant> {
        let mut body = json!({
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "refresh_token": grant.refresh.expose(),
        });
        if let Some(audience) = &self.audience {
            body["audience"] = audience.as_str().into();
        }
        // A refresh token may work only once, so this request is not retried.
        let call = Call::new(Method::POST, "/oauth/token").json(&body)?;
        let response: TokenResponse = self.transport.send(&call.within(within))?.json()?;
        log::info!("refreshed the access token");
        Ok(Grant {
            token: response.access_token,
            refresh: response
                .refresh_token
                .unwrap_or_else(|| grant.refresh.clone()),
            expires: response
                .expires_in
                .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds))),
        })
    }
}

impl StoredTokens {
    fn grant(self) -> Grant {
        let expires = self.expires_in().map(|left| Instant::now() + left);
        let (token, refresh) = self.tokens();
        Grant {
            token,
            refresh,
            expires,
        }
    }
}
