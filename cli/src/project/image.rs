//! References to images.

use std::str::FromStr;

use super::fields::is_subdomain;

/// A reference to an image: `[REGISTRY[:PORT]/]PATH[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

impl Image {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without a tag and a digest, or with the tag `latest`: another image may be pulled
    /// at each start.
    pub fn is_mutable_by_default(&self) -> bool {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        !self.0.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match is_image(text) {
            true => Ok(Image(text.to_owned())),
            false => Err(
                "expected an image such as registry.example:5000/team/app:1.2, in lower case \
                 before the tag"
                    .to_owned(),
            ),
        }
    }
}

fn is_image(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:");
        hex.is_some_and(|hex| hex.len() == 64 && hex.chars().all(is_hex))
    };
    if !digest.is_none_or(is_digest) {
        return false;
    }
    let (parents, last) = match rest.rsplit_once('/') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, rest),
    };
    let (last, tag) = match last.split_once(':') {
        Some((last, tag)) => (last, Some(tag)),
        None => (last, None),
    };
    let is_tag = |tag: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        (1..=128).contains(&tag.len()) && tag.chars().all(is_inner) && !tag.starts_with(['.', '-'])
    };
    if !tag.is_none_or(is_tag) || !is_image_part(last) {
        return false;
    }
    let mut parts = parents.into_iter().flat_map(|parents| parents.split('/'));
    let is_first_ok = match parts.next() {
        None => true,
        Some(first) => is_image_part(first) || is_registry(first),
    };
    is_first_ok && parts.all(is_image_part) && text.len() <= 512
}

fn is_image_part(part: &str) -> bool {
    let is_alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let runs: Vec<&str> = part.split(is_alnum).filter(|run| !run.is_empty()).collect();
    let is_separator =
        |run: &&str| matches!(*run, "." | "_" | "__") || run.chars().all(|c| c == '-');
    part.starts_with(is_alnum) && part.ends_with(is_alnum) && runs.iter().all(is_separator)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_host = is_subdomain(&host.to_ascii_lowercase());
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_follow_the_grammar_of_references() {
        let digest = format!("app@sha256:{}", "a1".repeat(32));
        for good in [
            "app",
            "app:latest",
            "library/app:1.2-rc_3",
            "registry.example/team/app:1",
            "localhost:5000/app",
            "Registry.Example:443/a/b/c",
            "a__b/c.d/e---f",
            &digest,
        ] {
            assert!(good.parse::<Image>().is_ok(), "{good}");
        }
        let tag = format!("app:{}", "x".repeat(129));
        for wrong in [
            "",
            "App",
            "app:",
            "app:-x",
            "app/",
            "/app",
            "a//b",
            "app@sha256:12",
            "a b",
            "app:1:2",
            "host:99999/app",
            "a___b",
            "a..b",
            "-a",
            "http://host/app",
            "app\nx",
            &tag,
        ] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong:?}");
        }
        let is_mutable = |text: &str| text.parse::<Image>().unwrap().is_mutable_by_default();
        assert!(is_mutable("localhost:5000/app") && is_mutable("app:latest"));
        assert!(!is_mutable("app:1") && !is_mutable(&digest));
    }
}
