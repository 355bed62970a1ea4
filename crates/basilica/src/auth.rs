//! Tokens that are renewed: the OAuth refresh grant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::dialect;
use super::token_file::{Kept, TokenFile};
use satellite_core::Variables;
use satellite_core::client::Connection;
use satellite_core::http::{Call, Credentials, Grant, Method, Renewal, Secret, Transport};
use satellite_core::{Error, Result};

/// What is told of tokens that are renewed.
#[derive(Default)]
pub(super) struct Renewing {
    pub(super) refresh: Option<Secret>,
    pub(super) file: Option<PathBuf>,
    pub(super) domain: Option<String>,
    pub(super) client_id: Option<String>,
    audience: Option<String>,
}

impl Renewing {
    pub(super) fn read(&mut self, variables: &mut Variables) {
        let from = |told: &mut Option<String>, name: &str| {
            *told = told.take().or_else(|| variables.text(name));
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
        let needed = "needed to renew tokens";
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

    /// A key of the service's own is never renewed.
    pub(super) fn is_asked_for(&self, token: &Secret) -> bool {
        let is_key = token.expose().starts_with("basilica_");
        !is_key && (self.refresh.is_some() || self.file.is_some())
    }
}

/// Credentials that begin with what the file holds, or with what was told.
pub(super) fn renewed(connection: &Connection, told: Renewing) -> Result<Credentials> {
    let file = told.file.map(TokenFile::new);
    let kept = match &file {
        Some(file) => file.read()?,
        None => None,
    };
    let first = match (kept, told.refresh) {
        (Some(kept), _) => kept.grant(),
        (None, Some(refresh)) => Grant {
            // Without a token of now, the first call begins with a renewal.
            expires: connection.token.expose().is_empty().then(Instant::now),
            token: connection.token.clone(),
            refresh,
        },
        (None, None) => {
            let what = "BASILICA_TOKEN_FILE: there is no such file, and no BASILICA_REFRESH_TOKEN \
                        to make it with";
            return Err(Error::settings(vec![what.to_owned()]));
        }
    };
    let nobody = Credentials::Token("".into());
    let issuer = Issuer {
        transport: connection.transport(
            &told.domain.unwrap_or_default(),
            &dialect::OAUTH,
            nobody,
        )?,
        client_id: told.client_id.unwrap_or_default(),
        audience: told.audience,
    };
    let renewal = Renewal::new(first, move |grant, within| match &file {
        Some(file) => renew_kept(&issuer, file, grant, within),
        None => issuer.renew(grant, within),
    });
    Ok(Credentials::Renewed(Arc::new(renewal)))
}

/// One process renews for all that share the file.
fn renew_kept(issuer: &Issuer, file: &TokenFile, grant: &Grant, within: Duration) -> Result<Grant> {
    let begun = Instant::now();
    let _lock = file.lock(within)?;
    let known = match file.read()? {
        Some(kept) if kept.token() != &grant.token && !kept.has_ended() => return Ok(kept.grant()),
        Some(kept) => kept.grant(),
        None => grant.clone(),
    };
    let next = issuer.renew(&known, within.saturating_sub(begun.elapsed()))?;
    if let Err(error) = file.write(&next) {
        log::error!("the new token was not kept, and the old one may be spent: {error}");
    }
    Ok(next)
}

struct Issuer {
    transport: Arc<Transport>,
    client_id: String,
    audience: Option<String>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Issuer {
    fn renew(&self, grant: &Grant, within: Duration) -> Result<Grant> {
        let mut body = json!({
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "refresh_token": grant.refresh.expose(),
        });
        if let Some(audience) = &self.audience {
            body["audience"] = audience.as_str().into();
        }
        // A refresh token that was shown may be spent: it is not shown twice.
        let call = Call::new(Method::POST, "/oauth/token").json(&body)?;
        let granted: Granted = self.transport.send(&call.within(within))?.json()?;
        log::info!("the token was renewed");
        Ok(Grant {
            token: granted.access_token,
            refresh: granted
                .refresh_token
                .unwrap_or_else(|| grant.refresh.clone()),
            expires: granted
                .expires_in
                .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds))),
        })
    }
}

impl Kept {
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
