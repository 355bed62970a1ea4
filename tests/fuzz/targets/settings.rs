//! What stands in the environment and in the files that it names: a line each.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use satellite_sdk::Variables;
use satellite_sdk::fuzzing::settings;

const NAMES: [&str; 12] = [
    "LUML_SATELLITE_TOKEN",
    "LUML_PLATFORM_URL",
    "LUML_POLL_INTERVAL_SEC",
    "LUML_MAX_BACKOFF_SEC",
    "LUML_SUPPORTED_TASK_TYPES",
    "LUML_HEALTH_HOST",
    "LUML_HEALTH_PORT",
    "LUML_HEALTH_ENABLED",
    "LUML_BASE_URL",
    "LUML_ALLOW_PLAIN_HTTP",
    "LUML_STATE_DIR",
    "STATE_DIRECTORY",
];

/// The last part of the input is a file, which is named where there is no token.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-{}", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(NAMES.len() + 1, |b| *b == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let values = NAMES.map(|_| String::from_utf8_lossy(part()).into_owned());
    let file = part();
    let has_file = !file.is_empty() && std::fs::write(&*FILE, file).is_ok();
    let [token, others @ ..] = &values;
    let token = token.trim().to_owned();
    // A short one is found in any sentence, and one that is another setting as well
    // is shown as that.
    let is_secret = token.len() >= 24 && !others.iter().any(|other| other.contains(&token));
    let told = settings(Variables::from_lookup(move |name| match name {
        "LUML_SATELLITE_TOKEN_FILE" | "LUML_CA_FILE" if has_file => {
            Some(FILE.display().to_string())
        }
        name => {
            let at = NAMES.iter().position(|known| *known == name)?;
            Some(values[at].clone())
        }
    }));
    match told {
        Ok(settings) => {
            assert!(!settings.platform_url.ends_with('/'));
            let token = settings.token.expose();
            assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
            assert!(token.len() < 6 || !format!("{:?}", settings.token).contains(token));
            assert!(!settings.poll_interval.is_zero() && !settings.max_backoff.is_zero());
        }
        Err(error) => {
            assert!(error.is_settings());
            assert!(!is_secret || !error.to_string().contains(&token), "{error}");
        }
    }
});
