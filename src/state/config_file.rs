//! `dory.yaml`: one setting on each line, which is all of YAML that it needs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The settings of a file, by their names without `DORY_`, in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

const PLACES: [&str; 2] = ["/etc/dory/config.yaml", "dory.yaml"];

const KNOWN: [&str; 24] = [
    "checkpoint_sec",
    "health_host",
    "health_port",
    "is_migrating",
    "lease_sec",
    "takeover_ready_sec",
    "revision",
    "log_format",
    "log_level",
    "max_state_size",
    "migrated_from",
    "pod_name",
    "pod_namespace",
    "processor_id",
    "shutdown_timeout_sec",
    "stall_limit_sec",
    "startup_timeout_sec",
    "state_backend",
    "state_dir",
    "state_pvc_mount",
    "state_s3_bucket",
    "state_s3_endpoint",
    "state_s3_prefix",
    "state_token",
];

impl ConfigFile {
    /// The file that was named, or the first that is there; or what is wrong
    /// about it.
    pub(super) fn find(named: Option<String>) -> Result<Self, String> {
        if let Some(path) = named {
            let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
            return Self::parse(path.into(), &text);
        }
        for path in PLACES.map(PathBuf::from) {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, &text),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
            }
        }
        Ok(ConfigFile::default())
    }

    /// The value for `HEALTH_PORT` is that of `health_port`.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.values.get(&name.to_ascii_lowercase()).cloned()
    }

    /// A misspelt setting is no setting, and should not go unnoticed.
    pub(super) fn warn_of_strangers(&self) {
        for name in self.values.keys().filter(|k| !KNOWN.contains(&k.as_str())) {
            log::warn!("{}: {name} is not a setting", self.path.display());
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("{}:{}: {what}", path.display(), number + 1);
            let meaning = line.trim_end();
            if meaning.trim_start().starts_with('#') || ["", "---", "..."].contains(&meaning) {
                continue;
            }
            let (name, value) = meaning
                .split_once(':')
                .filter(|(name, value)| {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    name.chars().all(is_name)
                        && !name.is_empty()
                        && (value.is_empty() || value.starts_with([' ', '\t']))
                })
                .ok_or_else(|| wrong("expected a line such as health_port: 8080"))?;
            let value = scalar(value.trim()).ok_or_else(|| wrong("expected a plain value"))?;
            if values.insert(name.to_ascii_lowercase(), value).is_some() {
                return Err(wrong("this setting was made before"));
            }
        }
        values.retain(|_, value| !value.is_empty());
        Ok(ConfigFile { path, values })
    }
}

/// A quoted or a plain text; empty for nothing. `None`: something of YAML's
/// that no setting needs.
fn scalar(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (inside, after) = rest.split_once(quote)?;
            let is_plain = !inside.contains('\\');
            let after = after.trim_start();
            return (is_plain && (after.is_empty() || after.starts_with('#')))
                .then(|| inside.to_owned());
        }
    }
    let text = match text.starts_with('#') {
        true => "",
        false => text.split(" #").next().unwrap_or(text).trim_end(),
    };
    if ["~", "null"].contains(&text) {
        return Some(String::new());
    }
    (!text.starts_with(['[', '{', '|', '>', '&', '*', '!', '%', '@', '`', '-'])
        || text.parse::<f64>().is_ok())
    .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse("dory.yaml".into(), text)
    }

    #[test]
    fn the_specs_file_is_read() {
        let file = parse(
            "# settings\nhealth_port: 8081\nlog_level: \"DEBUG\"  # loud\nstate_backend: 'local'\n\
             shutdown_timeout_sec: 12.5 # seconds\nprocessor_id:\n",
        )
        .unwrap();
        assert_eq!(file.value("HEALTH_PORT").as_deref(), Some("8081"));
        assert_eq!(file.value("LOG_LEVEL").as_deref(), Some("DEBUG"));
        assert_eq!(file.value("STATE_BACKEND").as_deref(), Some("local"));
        assert_eq!(file.value("SHUTDOWN_TIMEOUT_SEC").as_deref(), Some("12.5"));
        assert_eq!(file.value("PROCESSOR_ID"), None);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for wrong in [
            "health_port 8080",
            "a: [1]",
            "a: |",
            "  nested: 1",
            "- item",
            "a: \"open",
            "a: 1\na: 2",
        ] {
            let told = parse(wrong).unwrap_err();
            assert!(told.starts_with("dory.yaml:"), "{wrong:?}: {told}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }
    }
}
