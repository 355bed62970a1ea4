//! The presets of dory-sdk, as far as this kit has their settings.

/// What a preset of dory-sdk sets; the environment and the file go before it.
/// Its `golden_image_threshold` is left out: only an explicit setting may make a
/// processor give up a state.
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
    fn a_preset_sets_what_the_originals_sets() {
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
    fn there_is_no_other() {
        assert!(preset("staging").is_none());
    }
}
