//! The token endpoint: refresh tokens that work once.

use serde_json::{Value, json};

use satellite_serve::Response;

/// An API key of the service.
pub(super) const KEY: &str = "basilica_mock0123456789abcdef";
pub(super) const CLIENT_ID: &str = "mock-client";

#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) renewals: u32,
    pub(super) is_session_over: bool,
    is_expired: bool,
}

impl Tokens {
    pub(super) fn access(&self) -> String {
        format!("eyJhbGciOi.mock-access-{}.c2ln", self.renewals)
    }

    pub(super) fn refresh(&self) -> String {
        format!("v1.mock-refresh-{}", self.renewals)
    }

    pub(super) fn expire(&mut self) {
        self.is_expired = true;
    }

    pub(super) fn accepts(&self, token: Option<&str>) -> bool {
        token == Some(KEY) || (!self.is_expired && token == Some(&self.access()))
    }
}

pub(super) fn renew(tokens: &mut Tokens, body: &[u8]) -> Response {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let reject = |status, error: &str, description: &str| {
        let document = json!({ "error": error, "error_description": description });
        Response::json(status, document.to_string())
    };
    if fields["grant_type"] != "refresh_token" {
        return reject(403, "unsupported_grant_type", "Unsupported grant type.");
    }
    if fields["client_id"] != CLIENT_ID {
        return reject(401, "access_denied", "Unauthorized");
    }
    if tokens.is_session_over || fields["refresh_token"] != tokens.refresh().as_str() {
        return reject(403, "invalid_grant", "Unknown or invalid refresh token.");
    }
    tokens.renewals += 1;
    tokens.is_expired = false;
    let document = json!({
        "access_token": tokens.access(),
        "refresh_token": tokens.refresh(),
        "expires_in": 86400,
        "token_type": "Bearer",
    });
    Response::json(200, document.to_string())
}
