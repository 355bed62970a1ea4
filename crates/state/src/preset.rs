//! The presets of dory-sdk, limited to the settings that this kit has.

/// The settings of a preset of dory-sdk; the environment and the file take precedence.
/// Its `golden_image_threshold` is omitted: only an explicit setting may make a
/// processor discard a state.
pub(super) fn preset(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    match name {
        "development" => Some(&[
            ("DORY_LOG_LEVEL", "DEBUG"),
            ("DORY_LOG_FORMAT", "text"),
            ("DORY_STATE_BACKEND", "local"),
        ]),
        "production" => Some(&[
            ("DORY_LOG_LEVEL", "INFO"),
            ("DORY_LOG_FORMAT", "json"),
            ("DORY_STATE_BACKEND", "configmap"),
        ]),
        "high-availability" => Some(&[
            ("DORY_LOG_LEVEL", "INFO"),
            ("DORY_LOG_FORMAT", "json"),
            ("DORY_STATE_BACKEND", "pvc"),
            ("DORY_STARTUP_TIMEOUT_SEC", "60"),
            ("DORY_SHUTDOWN_TIMEOUT_SEC", "60"),
            ("DORY_MAX_RESTART_ATTEMPTS", "5"),
        ]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_match_those_of_dory_sdk() {
        // Made by the real dory-sdk: see `tests/original/make.py`.
        let presets: serde_json::Value =
            serde_json::from_str(include_str!("../tests/original/presets.json")).unwrap();
        for (name, theirs) in presets.as_object().unwrap() {
            for (variable, value) in preset(name).unwrap() {
                let key = variable.strip_prefix("DORY_").unwrap().to_ascii_lowercase();
                let theirs = &theirs[key.as_str()];
                let text = theirs.as_str().map(str::to_owned);
                assert_eq!(
                    text.unwrap_or_else(|| theirs.to_string()),
                    *value,
                    "{name}: {key}"
                );
            }
        }
    }

    #[test]
    fn unknown_presets_are_rejected() {
        assert!(preset("staging").is_none());
    }
}
