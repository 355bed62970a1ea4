//! The task of a command: a YAML file or a shell command, with options that override it.

use std::path::Path;

use clap::Args;
use satellite_sdk::compute::skypilot::Task;

use super::document::Node;
use super::local_files::Files;
use crate::output::Problem;
use crate::remote::{self, Variables};

/// Options that override the same fields of a task file.
#[derive(Args, Debug, Clone, Default)]
pub struct TaskOptions {
    /// Name of the task
    #[arg(short, long, value_name = "NAME", help_heading = "Task")]
    name: Option<String>,
    /// Number of nodes
    #[arg(long, value_name = "N", help_heading = "Task")]
    num_nodes: Option<u32>,
    /// Infrastructure, such as aws, aws/us-east-1 or k8s/CONTEXT
    #[arg(long, value_name = "INFRA", help_heading = "Task")]
    infra: Option<String>,
    /// Accelerators and how many, such as H100:8
    #[arg(long, value_name = "NAME:COUNT", help_heading = "Task")]
    gpus: Option<String>,
    /// Virtual CPUs, such as 8, or 8+ for at least 8
    #[arg(long, value_name = "N", help_heading = "Task")]
    cpus: Option<String>,
    /// Memory in GB, such as 32, or 32+ for at least 32
    #[arg(long, value_name = "GB", help_heading = "Task")]
    memory: Option<String>,
    /// The cloud's name for the machine
    #[arg(short = 't', long, value_name = "TYPE", help_heading = "Task")]
    instance_type: Option<String>,
    /// Use a spot machine, which is cheaper and can be reclaimed at any time
    #[arg(long, overrides_with = "no_use_spot", help_heading = "Task")]
    use_spot: bool,
    /// Do not use a spot machine, whatever the file says
    #[arg(long, help_heading = "Task")]
    no_use_spot: bool,
    /// Machine image, or docker: and a container image
    #[arg(long, value_name = "IMAGE", help_heading = "Task")]
    image_id: Option<String>,
    /// Disk in GB
    #[arg(long, value_name = "GB", help_heading = "Task")]
    disk_size: Option<u32>,
    /// Disk tier: low, medium, high, ultra or best
    #[arg(long, value_name = "TIER", help_heading = "Task")]
    disk_tier: Option<String>,
    /// Port or range of ports to open; may be repeated
    #[arg(long, value_name = "PORT", help_heading = "Task")]
    ports: Vec<String>,
    #[command(flatten)]
    variables: Variables,
    /// Sets a secret variable; without a value, which keeps it out of the list of
    /// processes, it is taken from this environment
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Task")]
    secret: Vec<String>,
}

/// What the words of a command line are.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Nothing.
    Empty,
    /// A task file; `-` is standard input.
    File(&'a Path),
    /// A shell command.
    Command(String),
}

impl<'a> Entry<'a> {
    /// A single word that ends in `.yaml` or `.yml`, or `-`, is a file.
    pub fn of(words: &'a [String]) -> Self {
        match words {
            [] => Entry::Empty,
            [word] if word == "-" || word.ends_with(".yaml") || word.ends_with(".yml") => {
                Entry::File(Path::new(word))
            }
            words => Entry::Command(words.join(" ")),
        }
    }
}

impl TaskOptions {
    /// Whether options other than variables are set, so that a shell command alone is not
    /// the whole task.
    pub fn sets_resources(&self) -> bool {
        self.overrides().next().is_some()
            || self.has_resource_lists()
            || self.num_nodes.is_some()
            || !self.secret.is_empty()
    }

    /// The variables of a shell command.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The task, with these options in it. `is_local` says that the server runs on this
    /// machine and can read its files.
    pub fn task(&self, entry: &Entry<'_>, is_local: bool) -> Result<Task, Problem> {
        let (name, text) = match entry {
            Entry::File(path) => (path.display().to_string(), remote::read(path)?),
            Entry::Command(command) => {
                let mut node = Node::map();
                node.set("run", Node::text(command));
                (String::new(), node.to_yaml())
            }
            Entry::Empty => (String::new(), String::new()),
        };
        let name = if name == "-" {
            "standard input".to_owned()
        } else {
            name
        };
        let mut document =
            Node::parse(&text).map_err(|why| Problem::usage(format_args!("{name}: {why}")))?;
        if !document.is_null() && !matches!(document, Node::Map(_)) {
            return Err(Problem::usage(format_args!(
                "{name}: a task is a map, such as `run: …`"
            )));
        }
        let original = document.clone();
        if document.is_null() {
            document = Node::map(); // a task may be empty, but not null
        }
        let files = Files {
            name: &name,
            is_local,
        };
        files.resolve(&mut document)?;
        self.apply(&mut document)?;
        Ok(match document == original {
            true => Task::yaml(text), // as it was written, with its comments
            false => Task::yaml(document.to_yaml()),
        })
    }

    fn apply(&self, document: &mut Node) -> Result<(), Problem> {
        if let Some(name) = &self.name {
            document.set("name", Node::text(name));
        }
        if let Some(nodes) = self.num_nodes {
            document.set("num_nodes", Node::plain(nodes));
        }
        if self.overrides().next().is_some() || self.has_resource_lists() {
            let resources = document.map_at("resources").map_err(Problem::usage)?;
            self.change(resources);
            // Alternatives override the fields next to them, so they change too.
            for key in ["any_of", "ordered"] {
                if let Some(Node::List(alternatives)) = resources.get_mut(key) {
                    alternatives.iter_mut().for_each(|one| self.change(one));
                }
            }
        }
        for (name, value) in self.variables.all()? {
            document
                .map_at("envs")
                .map_err(Problem::usage)?
                .set(&name, Node::text(value.expose()));
        }
        for text in &self.secret {
            let (name, value) = remote::pair("--secret", text)?;
            document
                .map_at("secrets")
                .map_err(Problem::usage)?
                .set(&name, Node::text(value.expose()));
        }
        let missing = |key| match document.get(key) {
            Some(Node::Map(pairs)) => pairs
                .iter()
                .filter(|(_, value)| value.is_null())
                .filter_map(|(name, _)| name.as_text())
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        for (key, option) in [("envs", "--env"), ("secrets", "--secret")] {
            if let Some(name) = missing(key).first() {
                let text = format!("the task needs a value for {name}: add {option} {name}");
                return Err(Problem::usage(text));
            }
        }
        Ok(())
    }

    fn change(&self, resources: &mut Node) {
        if self.infra.is_some() {
            // The older way to say the same.
            for key in ["cloud", "region", "zone"] {
                resources.remove(key);
            }
        }
        for (key, value) in self.overrides() {
            resources.set(key, value);
        }
        if self.has_resource_lists() {
            let ports = self.ports.iter().map(Node::text).collect();
            resources.set("ports", Node::List(ports));
        }
    }

    fn has_resource_lists(&self) -> bool {
        !self.ports.is_empty()
    }

    fn overrides(&self) -> impl Iterator<Item = (&'static str, Node)> {
        let spot = match (self.use_spot, self.no_use_spot) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        let text = |text: &Option<String>| text.as_ref().map(Node::text);
        let all = [
            ("infra", text(&self.infra)),
            ("accelerators", text(&self.gpus)),
            ("cpus", text(&self.cpus)),
            ("memory", text(&self.memory)),
            ("instance_type", text(&self.instance_type)),
            ("use_spot", spot.map(Node::plain)),
            ("image_id", text(&self.image_id)),
            ("disk_size", self.disk_size.map(Node::plain)),
            ("disk_tier", text(&self.disk_tier)),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: TaskOptions,
        words: Vec<String>,
    }

    fn yaml(file: &str, line: &[&str]) -> Result<String, Problem> {
        let line = Line::parse_from(["x"].iter().chain(line));
        let mut document = Node::parse(file).map_err(Problem::usage)?;
        line.options.apply(&mut document)?;
        Ok(document.to_yaml())
    }

    #[test]
    fn one_word_with_the_extension_of_yaml_is_a_file() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(Entry::of(&[]), Entry::Empty);
        assert_eq!(
            Entry::of(&words(&["a.yml"])),
            Entry::File(Path::new("a.yml"))
        );
        assert_eq!(Entry::of(&words(&["-"])), Entry::File(Path::new("-")));
        let command = Entry::Command("cat a.yaml".into());
        assert_eq!(Entry::of(&words(&["cat", "a.yaml"])), command);
    }

    #[test]
    fn options_override_the_file_and_each_of_its_alternatives() {
        let file = "resources:\n  cloud: aws\n  use_spot: yes\n  any_of:\n  - {region: us-east-1}\n  \
                    - accelerators: {A100: 8}\nrun: x\n";
        assert_eq!(
            yaml(
                file,
                &[
                    "--infra",
                    "gcp",
                    "--gpus",
                    "H100:1",
                    "--no-use-spot",
                    "--ports",
                    "80"
                ]
            )
            .unwrap(),
            "{\"resources\": {\"any_of\": [\
             {\"infra\": \"gcp\", \"accelerators\": \"H100:1\", \"use_spot\": false, \"ports\": [\"80\"]}, \
             {\"infra\": \"gcp\", \"accelerators\": \"H100:1\", \"use_spot\": false, \"ports\": [\"80\"]}], \
             \"infra\": \"gcp\", \"accelerators\": \"H100:1\", \"use_spot\": false, \"ports\": [\"80\"]}, \
             \"run\": \"x\"}\n"
        );
    }

    #[test]
    fn variables_and_secrets_override_those_of_the_file() {
        let file = "envs:\n  A: 1\n  B:\nsecrets:\n  TOKEN:\nrun: x\n";
        let error = yaml(file, &["--env", "B=2"]).unwrap_err();
        assert_eq!(error.code(), 2);
        assert_eq!(
            yaml(
                file,
                &["--env", "B=2", "--secret", "TOKEN=hush", "--num-nodes", "2"]
            )
            .unwrap(),
            "{\"envs\": {\"A\": 1, \"B\": \"2\"}, \"secrets\": {\"TOKEN\": \"hush\"}, \
             \"run\": \"x\", \"num_nodes\": 2}\n"
        );
    }

    #[test]
    fn an_empty_task_is_filled_and_a_field_of_another_type_is_rejected() {
        let filled = yaml("", &["--cpus", "2"]).unwrap();
        assert_eq!(filled, "{\"resources\": {\"cpus\": \"2\"}}\n");
        for (file, option) in [
            ("resources: [a]\n", ["--cpus", "2"]),
            ("envs: x\n", ["-e", "A=1"]),
        ] {
            let error = yaml(file, &option).unwrap_err();
            assert_eq!(error.code(), 2, "{file}");
        }
    }

    #[test]
    fn files_of_this_machine_are_rejected_unless_the_server_is_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.yaml");
        let path = path.to_str().unwrap();
        let options = Line::parse_from(["x", path]);
        let task = |text: &str, is_local| {
            std::fs::write(path, text).unwrap();
            options.options.task(&Entry::of(&options.words), is_local)
        };
        for local in [
            "workdir: .\n",
            "file_mounts:\n  /data: ./data\n",
            "file_mounts:\n  /data:\n    source: ~/data\n",
            "file_mounts:\n  /data:\n    source: [a, s3://b]\n",
        ] {
            let error = task(local, false).unwrap_err();
            assert_eq!(error.code(), 2, "{local}");
            task(local, true).unwrap();
        }
        for remote in [
            "workdir:\n  url: https://example.com/a.git\n",
            "file_mounts:\n  /data: s3://bucket\n  /out:\n    name: mine\n    store: s3\n",
        ] {
            task(remote, false).unwrap();
        }
        assert_eq!(task("- a\n", false).unwrap_err().code(), 2);
    }
}
