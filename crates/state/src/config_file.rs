//! Reads `dory.yaml`: a YAML map of settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use saphyr_parser::{Event, Parser, ScalarStyle};
use satellite_core::nearest;

/// The settings of a file, by their names without `DORY_`, in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
    /// Keys whose value is a map or a list.
    nested: BTreeSet<String>,
}

const DEFAULT_PATHS: [&str; 3] = [
    "/etc/dory/config.yaml",
    "/app/config/dory.yaml",
    "dory.yaml",
];

const KNOWN: [&str; 32] = [
    "checkpoint_sec",
    "golden_image_threshold",
    "health_host",
    "health_path",
    "health_port",
    "is_migrating",
    "kubernetes_account",
    "kubernetes_url",
    "lease_sec",
    "takeover_ready_sec",
    "revision",
    "log_format",
    "log_level",
    "max_restart_attempts",
    "max_state_size",
    "metrics_path",
    "migrated_from",
    "pod_name",
    "pod_namespace",
    "preset",
    "processor_id",
    "ready_path",
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

/// Variables of the sidecar, which runs beside a program of any kind.
const SIDECAR: [&str; 9] = [
    "app_state_dir",
    "app_check_timeout",
    "app_health_path",
    "app_host",
    "app_port",
    "app_prestop_path",
    "app_ready_path",
    "prestop_timeout",
    "ready_requires_app",
];

/// Keys that dory-sdk reads and this kit does not use.
const UNUSED_DORY_SDK_KEYS: [&str; 13] = [
    "app",
    "bookkeeping",
    "circuit_breaker",
    "environment",
    "error_classification",
    "health_check_interval_sec",
    "metrics_enabled",
    "metrics_prefix",
    "middleware",
    "opentelemetry",
    "rate_limit_rps",
    "restart_backoff_sec",
    "retry",
];

fn is_unused(key: &str) -> bool {
    UNUSED_DORY_SDK_KEYS.contains(&key)
}

impl ConfigFile {
    /// Reads the configured file, or else the first default one that exists. The error
    /// describes the problem.
    pub(super) fn find(named: Option<String>) -> Result<Self, String> {
        if let Some(path) = named {
            let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
            return Self::parse(path.into(), &text);
        }
        Self::first_of(DEFAULT_PATHS.map(PathBuf::from))
    }

    fn first_of(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, String> {
        for path in paths {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, &text),
                // `/app` may be the program of the image.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
            }
        }
        Ok(ConfigFile::default())
    }

    /// The names of all variables that are settings.
    pub(super) fn variables() -> impl Iterator<Item = String> {
        let names = KNOWN.iter().chain(&SIDECAR).chain(&["config_file"]);
        names.map(|name| format!("DORY_{}", name.to_ascii_uppercase()))
    }

    /// The value of a setting: `HEALTH_PORT` looks up `health_port`.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.values.get(&name.to_ascii_lowercase()).cloned()
    }

    /// What to log about keys that are no settings. The caller logs it once the logger
    /// is set.
    pub(super) fn unknown(&self) -> Vec<String> {
        let path = self.path.display();
        let unknown = self.without_effect().filter(|key| !is_unused(key));
        unknown
            .map(|key| match nearest(key, KNOWN) {
                Some(known) => {
                    format!("{path}: unknown setting {key:?} is ignored; did you mean {known}?")
                }
                None => format!("{path}: unknown setting {key:?} is ignored"),
            })
            .collect()
    }

    /// What to log about settings of dory-sdk that this kit does not use.
    pub(super) fn unused(&self) -> Option<String> {
        let unused: Vec<_> = self.without_effect().filter(|key| is_unused(key)).collect();
        (!unused.is_empty()).then(|| {
            format!(
                "{}: these settings of dory-sdk have no effect here: {}",
                self.path.display(),
                unused.join(", ")
            )
        })
    }

    fn without_effect(&self) -> impl Iterator<Item = &str> {
        let keys = self.values.keys().chain(&self.nested).map(String::as_str);
        keys.filter(|key| !KNOWN.contains(key))
    }

    pub(super) fn parse(path: PathBuf, text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text) {
            let at = |line, problem: &str| format!("{}:{line}: {problem}", path.display());
            let (event, span) = event.map_err(|e| at(e.marker().line(), e.info()))?;
            reader
                .take(event)
                .map_err(|problem| at(span.start.line(), &problem))?;
        }
        reader.values.retain(|_, value| !value.is_empty());
        Ok(ConfigFile {
            path,
            values: reader.values,
            nested: reader.nested,
        })
    }
}

/// Collects the top level of the first document; what is nested is skipped.
#[derive(Default)]
struct Reader {
    values: BTreeMap<String, String>,
    nested: BTreeSet<String>,
    /// The nesting depth of the current event.
    depth: usize,
    /// The top-level key whose value comes next.
    key: Option<String>,
    /// Scalars that have an anchor.
    anchors: HashMap<usize, String>,
    documents: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("expected one document, found a second".to_owned());
                }
            }
            Event::MappingStart(..) => self.open(true)?,
            Event::SequenceStart(..) => self.open(false)?,
            Event::MappingEnd | Event::SequenceEnd => self.depth = self.depth.saturating_sub(1),
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain
                    && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                let text = match is_null {
                    true => String::new(),
                    false => text.into_owned(),
                };
                if anchor > 0 {
                    self.anchors.insert(anchor, text.clone());
                }
                self.scalar(text)?;
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(text) => self.scalar(text)?,
                // An alias of a map or a list.
                None if self.depth == 1 => self.nest()?,
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, is_map: bool) -> Result<(), String> {
        match self.depth {
            0 if !is_map => return Err(EXPECTED.to_owned()),
            1 => self.nest()?,
            _ => {}
        }
        self.depth += 1;
        Ok(())
    }

    /// Records that the value of the current key is a map or a list.
    fn nest(&mut self) -> Result<(), String> {
        let key = self.key.take().ok_or(EXPECTED)?;
        if KNOWN.contains(&key.as_str()) {
            return Err(format!("expected a plain value for {key}"));
        }
        self.check_new(&key)?;
        self.nested.insert(key);
        Ok(())
    }

    fn scalar(&mut self, text: String) -> Result<(), String> {
        match self.depth {
            // An empty file is a document that is null.
            0 if text.is_empty() => {}
            0 => return Err(EXPECTED.to_owned()),
            1 => match self.key.take() {
                None if text.is_empty() => return Err(EXPECTED.to_owned()),
                None => self.key = Some(text.to_ascii_lowercase()),
                Some(key) => {
                    self.check_new(&key)?;
                    self.values.insert(key, text);
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn check_new(&self, key: &str) -> Result<(), String> {
        match self.values.contains_key(key) || self.nested.contains(key) {
            true => Err(format!("{key} is set twice")),
            false => Ok(()),
        }
    }
}

const EXPECTED: &str = "expected settings such as health_port: 8080";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse("dory.yaml".into(), text)
    }

    #[test]
    fn a_path_through_a_file_does_not_exist() {
        let program = std::env::current_exe().unwrap();
        let file = ConfigFile::first_of([program.join("config/dory.yaml")]).unwrap();
        assert_eq!(file.value("PROCESSOR_ID"), None);
    }

    #[test]
    fn an_example_file_is_read() {
        let file = parse(
            "# settings\nhealth_port: 8081\nlog_level: \"DEBUG\"  # verbose\nstate_backend: 'local'\n\
             shutdown_timeout_sec: 12.5 # seconds\nprocessor_id:\n",
        )
        .unwrap();
        assert_eq!(file.value("HEALTH_PORT").as_deref(), Some("8081"));
        assert_eq!(file.value("LOG_LEVEL").as_deref(), Some("DEBUG"));
        assert_eq!(file.value("STATE_BACKEND").as_deref(), Some("local"));
        assert_eq!(file.value("SHUTDOWN_TIMEOUT_SEC").as_deref(), Some("12.5"));
        assert_eq!(file.value("PROCESSOR_ID"), None);
        assert_eq!((file.unknown(), file.unused()), (vec![], None));
        assert!(parse("").unwrap().unknown().is_empty());
        assert!(parse("# nothing\n---\n").unwrap().unknown().is_empty());
    }

    #[test]
    fn nested_maps_and_lists_are_accepted_and_reported() {
        let file = parse(
            "preset: production\nretry: {max_attempts: 3, jitter: true}\n\
             middleware:\n  enabled: true\n  order:\n    - request_id\n    - {a: [1, 2]}\n\
             colour: red\nmine: [health_port, 1]\n\
             app:\n  name: &name orders\n  text: |\n    health_port: 1\nprocessor_id: *name\n\
             \"health_port\": \"80\\x38\\\n  1\"\n",
        )
        .unwrap();
        assert_eq!(file.value("HEALTH_PORT").as_deref(), Some("8081"));
        assert_eq!(file.value("PROCESSOR_ID").as_deref(), Some("orders"));
        assert_eq!(file.value("PRESET").as_deref(), Some("production"));
        assert_eq!(
            file.unknown(),
            [
                "dory.yaml: unknown setting \"colour\" is ignored",
                "dory.yaml: unknown setting \"mine\" is ignored",
            ]
        );
        assert_eq!(
            file.unused().as_deref(),
            Some(
                "dory.yaml: these settings of dory-sdk have no effect here: app, middleware, retry"
            )
        );
    }

    #[test]
    fn a_misspelt_key_is_reported_with_the_setting_that_was_probably_meant() {
        let file = parse("helth_port: 1\nshutdown_timeout: 30\n").unwrap();
        let unknown = file.unknown().join("\n");
        assert!(unknown.contains("did you mean health_port?"), "{unknown}");
        assert!(
            unknown.contains("did you mean shutdown_timeout_sec?"),
            "{unknown}"
        );
    }

    #[test]
    fn an_invalid_file_is_rejected_with_its_location() {
        for wrong in [
            "health_port 8080",
            "health_port: [1]",
            "health_port: {a: 1}",
            "- item",
            "a: 1\na: 2",
            "a: 1\na: {b: 2}",
            "a: 1\n---\nb: 2",
            "[1]: 2",
            "a: \"open",
            "a: 1\n  b: 2",
            "a: {b",
            "a: *b",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.starts_with("dory.yaml:"), "{wrong:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }
    }
}
