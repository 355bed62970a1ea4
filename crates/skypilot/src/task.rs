//! A task for a cluster, as YAML text or from a builder.

use std::collections::BTreeMap;

use serde::Serialize;

use satellite_core::http::Secret;
use satellite_core::{Error, Result};

/// A task: your own YAML ([`Task::yaml`]), sent unchanged, or built with its methods.
///
/// ```
/// use satellite_skypilot::{Resources, Task};
///
/// let task = Task::new()
///     .resources(Resources::new().infra("aws/us-east-1").accelerators("A10G:1"))
///     .setup("pip install vllm==0.6.2")
///     .run("python -m vllm.entrypoints.openai.api_server --port $VLLM_PORT")
///     .env("VLLM_PORT", "8000");
/// let same = Task::yaml("resources: {accelerators: 'A10G:1'}\nrun: echo hi\n");
/// # let _ = (task, same);
/// ```
#[derive(Debug, Clone)]
pub struct Task {
    form: Form,
    envs: Envs,
}

/// Environment variables: their values may be secrets.
pub(super) type Envs = BTreeMap<String, Secret>;

#[derive(Debug, Clone)]
enum Form {
    Text(Secret),
    Built(Box<Built>),
}

#[derive(Debug, Clone, Default, Serialize)]
struct Built {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_nodes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    setup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
}

/// The resources of a cluster. The server chooses whatever is not set.
///
/// ```
/// use satellite_skypilot::Resources;
///
/// let cheap = Resources::new().accelerators("L4:1").spot(true).disk_gb(100).port(8000);
/// # let _ = cheap;
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[must_use]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    infra: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accelerators: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_spot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_size: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_id: Option<String>,
}

impl Task {
    /// An empty task, to be filled by the other methods.
    pub fn new() -> Self {
        Task {
            form: Form::Built(Box::default()),
            envs: BTreeMap::new(),
        }
    }

    /// A task in SkyPilot's YAML.
    pub fn yaml(text: impl Into<String>) -> Self {
        Task {
            form: Form::Text(Secret::new(text)),
            envs: BTreeMap::new(),
        }
    }

    /// Its name. Like the other fields, it has no effect on YAML text.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|built| built.name = Some(name.into()))
    }

    /// The number of nodes that it runs on.
    #[must_use]
    pub fn num_nodes(self, nodes: u32) -> Self {
        self.with(|built| built.num_nodes = Some(nodes))
    }

    /// The resources that it needs.
    #[must_use]
    pub fn resources(self, resources: Resources) -> Self {
        self.with(|built| built.resources = Some(resources))
    }

    /// Commands that run once on each node.
    #[must_use]
    pub fn setup(self, commands: impl Into<String>) -> Self {
        self.with(|built| built.setup = Some(commands.into()))
    }

    /// The main commands.
    #[must_use]
    pub fn run(self, commands: impl Into<String>) -> Self {
        self.with(|built| built.run = Some(commands.into()))
    }

    /// Sets an environment variable for setup and run; overrides one of the same name in
    /// YAML text.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Built)) -> Self {
        if let Form::Built(built) = &mut self.form {
            change(built);
        }
        self
    }

    /// The text to send, with `more` variables. A built task is written as JSON, which
    /// is valid YAML.
    pub(super) fn text(&self, more: &Envs) -> Result<String> {
        let envs = self.envs.iter().chain(more);
        let envs: BTreeMap<_, _> = envs.map(|(name, value)| (name, value.expose())).collect();
        match &self.form {
            Form::Text(text) if envs.is_empty() => Ok(text.expose().to_owned()),
            Form::Text(text) => with_envs(text.expose(), &envs),
            Form::Built(built) => {
                let mut document = serde_json::to_value(built)?;
                if !envs.is_empty() {
                    document["envs"] = serde_json::to_value(envs)?;
                }
                Ok(document.to_string())
            }
        }
    }
}

impl Default for Task {
    fn default() -> Self {
        Task::new()
    }
}

/// YAML text.
impl From<&str> for Task {
    fn from(text: &str) -> Self {
        Task::yaml(text)
    }
}

impl Resources {
    /// No requirements.
    pub fn new() -> Self {
        Self::default()
    }

    /// The infrastructure: `aws`, `aws/us-east-1`, `k8s/context`.
    pub fn infra(mut self, infra: impl Into<String>) -> Self {
        self.infra = Some(infra.into());
        self
    }

    /// Accelerators and how many: `A10G:1`.
    pub fn accelerators(mut self, accelerators: impl Into<String>) -> Self {
        self.accelerators = Some(accelerators.into());
        self
    }

    /// The cloud's name for the machine: `g5.4xlarge`.
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = Some(instance_type.into());
        self
    }

    /// Virtual CPUs: `8`, or `8+` for at least that many.
    pub fn cpus(mut self, cpus: impl Into<String>) -> Self {
        self.cpus = Some(cpus.into());
        self
    }

    /// Memory in GB: `32`, or `32+` for at least that much.
    pub fn memory(mut self, gigabytes: impl Into<String>) -> Self {
        self.memory = Some(gigabytes.into());
        self
    }

    /// A spot machine: cheaper, but it can be reclaimed at any time.
    pub fn spot(mut self, spot: bool) -> Self {
        self.use_spot = Some(spot);
        self
    }

    /// The disk, in GB.
    pub fn disk_gb(mut self, gigabytes: u32) -> Self {
        self.disk_size = Some(gigabytes);
        self
    }

    /// Adds a port to open.
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// A machine image, or `docker:` and a container image.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image_id = Some(image.into());
        self
    }
}

/// YAML text with these variables added to its `envs:`, which may be missing. It only
/// inserts and drops lines and does not parse YAML: all other text stays unchanged.
fn with_envs(text: &str, envs: &BTreeMap<&String, &str>) -> Result<String> {
    let lines: Vec<_> = text.lines().collect();
    let mut documents = lines.iter().skip_while(|line| is_blank_or_comment(line));
    documents.next();
    if documents.any(|line| line.starts_with("---")) {
        return Err(Error::new(
            "cannot add variables to YAML with several documents: add them to the YAML",
        ));
    }
    let quoted = |indent: &str| {
        let line =
            |(name, value): (&&String, &&str)| format!("{indent}{}: {}\n", json(name), json(value));
        envs.iter().map(line).collect::<String>()
    };
    let Some(at) = lines.iter().position(|line| line.starts_with("envs:")) else {
        let end = if text.ends_with('\n') || text.is_empty() {
            ""
        } else {
            "\n"
        };
        return Ok(format!("{text}{end}envs:\n{}", quoted("  ")));
    };
    let rest = lines[at]["envs:".len()..].trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err(Error::new(
            "cannot add variables to `envs: {…}` on one line: put each on its own line",
        ));
    }
    let block = lines[at + 1..]
        .iter()
        .take_while(|line| is_blank_or_comment(line) || line.starts_with([' ', '\t']));
    let block: Vec<_> = block.copied().collect();
    let first = block.iter().find(|line| !is_blank_or_comment(line));
    let indent = first.map_or("  ", |line| &line[..indent_of(line)]);
    let mut out: String = lines[..=at].iter().flat_map(|line| [*line, "\n"]).collect();
    out.push_str(&quoted(indent));
    let mut is_replaced = false;
    for line in &block {
        if !is_blank_or_comment(line) && indent_of(line) <= indent.len() {
            is_replaced = name_of(line).is_some_and(|name| envs.contains_key(&name));
        }
        if !is_replaced {
            out.push_str(line);
            out.push('\n');
        }
    }
    for line in &lines[at + 1 + block.len()..] {
        out.push_str(line);
        out.push('\n');
    }
    Ok(out)
}

fn is_blank_or_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn name_of(line: &str) -> Option<String> {
    let (name, _) = line.trim().split_once(':')?;
    Some(name.trim().trim_matches(['"', '\'']).to_owned())
}

/// A JSON string is also a YAML string.
fn json(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(yaml: &str, envs: &[(&str, &str)]) -> Result<String> {
        let envs = envs.iter().map(|(n, v)| (n.to_string(), Secret::from(*v)));
        Task::yaml(yaml).text(&envs.collect())
    }

    #[test]
    fn text_without_variables_is_unchanged() {
        let yaml = "# mine\nrun: |\n  echo hi";
        assert_eq!(text(yaml, &[]).unwrap(), yaml);
    }

    #[test]
    fn variables_override_those_of_the_same_name_in_envs() {
        let envs = [("A", "x: \"y\""), ("NEW", "1")];
        assert_eq!(
            text("run: echo", &envs).unwrap(),
            "run: echo\nenvs:\n  \"A\": \"x: \\\"y\\\"\"\n  \"NEW\": \"1\"\n"
        );
        let yaml = "envs:\n    # these\n    A: |\n      two\n      lines\n    B: 2\nrun: echo\n";
        assert_eq!(
            text(yaml, &envs).unwrap(),
            "envs:\n    \"A\": \"x: \\\"y\\\"\"\n    \"NEW\": \"1\"\n    # these\n    B: 2\nrun: echo\n"
        );
    }

    #[test]
    fn yaml_that_cannot_be_edited_by_line_is_rejected() {
        for yaml in [
            "envs: {A: 1}\nrun: x\n",
            "name: dag\n---\nrun: a\n---\nrun: b\n",
        ] {
            assert!(text(yaml, &[("A", "1")]).is_err(), "{yaml}");
        }
        assert!(text("---\nrun: a\n", &[("A", "1")]).is_ok());
    }

    #[test]
    fn a_built_task_is_json() {
        let resources = Resources::new().accelerators("A10G:1").port(80);
        let task = Task::new().run("echo").resources(resources).env("A", "b");
        let more = [("A".to_owned(), Secret::from("c"))].into();
        let document: serde_json::Value = serde_json::from_str(&task.text(&more).unwrap()).unwrap();
        let expected = serde_json::json!({
            "run": "echo",
            "resources": { "accelerators": "A10G:1", "ports": [80] },
            "envs": { "A": "c" },
        });
        assert_eq!(document, expected);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(yaml in "[a-c:#{| \n\t-]{0,80}", name in "[a-c]{1,3}") {
            let _ = text(&yaml, &[(&name, "v")]);
            let _ = text(&format!("envs:\n{yaml}"), &[(&name, "v")]);
        }
    }
}
