//! Who may see the page: clients on this host; with a token, those that have it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use satellite_core::Secret;
use satellite_serve::{Request, Response};

/// Wrong tokens within a minute; then the page is closed for the rest of it.
const ATTEMPTS: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Access {
    token: RwLock<Option<Secret>>,
    failed: Mutex<Option<(Instant, u32)>>,
}

impl Access {
    pub(super) fn set_token(&self, token: Secret) {
        let mut own = self.token.write().unwrap_or_else(PoisonError::into_inner);
        *own = Some(token);
    }

    /// `Err`: the response for a client that may not see the page.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Response> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = token.as_ref().filter(|token| !token.expose().is_empty()) else {
            // With a token there may be a proxy on this host that does not show itself.
            if is_local(request) {
                return Ok(());
            }
            return Err(Response::text(
                403,
                "This page is shown on its own host only. To see it from elsewhere, set \
                 LUML_PAGE_TOKEN on the host, and enter it as the password.\n",
            ));
        };
        let is_local = is_local(request);
        if !is_local && self.is_closed() {
            let text = "Too many wrong tokens: wait a minute.\n";
            return Err(Response::text(429, text).header("retry-after", "60"));
        }
        let given = request.header("authorization").and_then(given_token);
        match given {
            Some(given) if token.is(&given) => Ok(()),
            given => {
                if given.is_some() && !is_local {
                    self.count_failure();
                }
                Err(
                    Response::text(401, "The password is LUML_PAGE_TOKEN.\n").header(
                        "www-authenticate",
                        "Basic realm=\"satellite\", charset=\"UTF-8\"",
                    ),
                )
            }
        }
    }

    fn is_closed(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|(since, count)| since.elapsed() < MINUTE && count >= ATTEMPTS)
    }

    fn count_failure(&self) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = match *failed {
            Some((since, count)) if since.elapsed() < MINUTE => Some((since, count + 1)),
            _ => Some((Instant::now(), 1)),
        };
    }
}

/// Whether the client is a program on this host, and not a proxy for others. A web page
/// elsewhere whose name resolves to the loopback address sends its own name as `Host`.
fn is_local(request: &Request<'_>) -> bool {
    let is_forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| request.header(name).is_some());
    let host = request.header("host").unwrap_or_default();
    request.peer().ip().to_canonical().is_loopback() && !is_forwarded && is_loopback_name(host)
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let without_port = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = without_port.parse::<IpAddr>();
    without_port.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// Whether a request that changes something comes from the page itself, or from a program that
/// is no browser: a web page elsewhere can send a form here.
pub(super) fn is_own_form(request: &Request<'_>) -> bool {
    let own = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == request.header("host")
    };
    let site = request.header("sec-fetch-site");
    site.is_none_or(|site| matches!(site, "same-origin" | "none"))
        && request.header("origin").is_none_or(own)
}

/// The token of `Bearer TOKEN`, or the password of `Basic`.
fn given_token(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    decoded
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_bearer_or_a_password() {
        for password in ["", "a", "ab", "abc", "größer:than", "\u{1f600}"] {
            let basic = format!("Basic {}", STANDARD.encode(format!("user:{password}")));
            assert_eq!(given_token(&basic).as_deref(), Some(password));
        }
        assert_eq!(given_token("bearer x").as_deref(), Some("x"));
        for wrong in ["", "Basic", "Basic ???", "Digest x", "Basic dXNlcg=="] {
            assert_eq!(given_token(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_names_of_the_loopback_are_local() {
        for (host, is_local) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("[::1]:80", true),
            ("rebound.example:8080", false),
            ("127.0.0.1.example", false),
            ("", false),
            ("10.0.0.7", false),
        ] {
            assert_eq!(is_loopback_name(host), is_local, "{host}");
        }
    }
}
