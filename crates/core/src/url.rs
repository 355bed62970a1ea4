//! URLs in settings.

use std::str::FromStr;

/// Checks an http(s) URL with a host and an optional path. Returns it without
/// trailing slashes, or what was expected. The error does not contain the text,
/// which may include a password.
pub(crate) fn parse_url(text: &str) -> Result<String, &'static str> {
    let text = text.trim().trim_end_matches('/');
    let uri = ureq::http::Uri::from_str(text)
        .map_err(|_| "an http or https URL such as https://api.luml.ai")?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err("a URL that begins with https:// or http://"),
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    if authority.contains('@') {
        return Err("a URL without a user name or password");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("a URL with a host name");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("a URL without ? and #");
    }
    Ok(text.to_owned())
}
