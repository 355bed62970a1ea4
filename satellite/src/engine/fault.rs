//! Errors of the engine, classified by the messages of its program.

use std::fmt;

/// Why a call of the engine's program failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The engine does not answer, or its program is not installed.
    NoEngine(String),
    /// The image is not on this host and cannot be pulled.
    NoImage(String),
    /// The network does not exist.
    NoNetwork(String),
    /// Another container has the name.
    NameTaken(String),
    /// The container does not exist. No other fault means that it is absent.
    NoContainer,
    /// The engine is removing the container already.
    BeingRemoved(String),
    /// The call timed out and was killed.
    TimedOut(String),
    /// Any other error, with the program's message.
    Other(String),
}

impl Fault {
    /// Classifies what the program wrote to stderr. The exit code is not sufficient: it is
    /// 125 both for an invalid option and for an unavailable engine.
    pub fn of(stderr: &str) -> Self {
        let text = excerpt(stderr);
        let lower = stderr.to_ascii_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
        if says(&[
            "cannot connect to the docker daemon",
            "is the docker daemon running",
            "error during connect",
            "dial unix",
            "unable to connect to podman",
            "cannot connect to podman",
            "failed to connect to containerd",
            "cannot access containerd socket",
            "permission denied while trying to connect",
            "is shutting down",
            "failed to connect to the docker api",
        ]) {
            return Fault::NoEngine(text);
        }
        if says(&["no such container", "no container with name or id"]) {
            return Fault::NoContainer;
        }
        if says(&["removal of container"]) && says(&["already in progress"]) {
            return Fault::BeingRemoved(text);
        }
        if says(&["no such network", "unable to find network"]) || names_a_network(&lower) {
            return Fault::NoNetwork(text);
        }
        if says(&[
            "is already in use by container",
            "name is already in use",
            "is already in use",
        ]) && lower.contains("name")
        {
            return Fault::NameTaken(text);
        }
        if says(&[
            "no such image",
            "unable to find image",
            "pull access denied",
            "manifest unknown",
            "manifest for",
            "image not known",
            "repository does not exist",
            "initializing source",
            "short-name",
            "invalid reference format",
        ]) {
            return Fault::NoImage(text);
        }
        Fault::Other(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoContainer => f.write_str("no such container"),
            Fault::NoEngine(text)
            | Fault::NoImage(text)
            | Fault::NoNetwork(text)
            | Fault::NameTaken(text)
            | Fault::BeingRemoved(text)
            | Fault::TimedOut(text)
            | Fault::Other(text) => f.write_str(text),
        }
    }
}

/// `network NAME not found`; the name may itself end in `network`.
fn names_a_network(text: &str) -> bool {
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .windows(4)
        .any(|w| w[0] == "network" && w[2] == "not" && w[3].starts_with("found"))
}

/// The relevant lines, joined into one.
fn excerpt(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("See '") && !line.starts_with("Run '")
    });
    let mut text = lines.collect::<Vec<_>>().join("; ");
    if text.len() > 600 {
        let mut start = text.len() - 600; // the reason comes last
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text = format!("…{}", &text[start..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of Docker 20.10 and 28 and of Podman 4.3.
    #[test]
    fn faults_are_classified_by_the_programs_message() {
        let name = |text: &str| match Fault::of(text) {
            Fault::NoEngine(_) => "no engine",
            Fault::NoImage(_) => "no image",
            Fault::NoNetwork(_) => "no network",
            Fault::NameTaken(_) => "name taken",
            Fault::NoContainer => "no container",
            Fault::BeingRemoved(_) => "being removed",
            Fault::TimedOut(_) => "timed out",
            Fault::Other(_) => "other",
        };
        for (text, expected) in [
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                "no engine",
            ),
            (
                "docker: Cannot connect to the Docker daemon at tcp://x:1. Is the docker daemon running?.\nSee 'docker run --help'.",
                "no engine",
            ),
            (
                "error during connect: Get \"http://x/v1.24/info\": EOF",
                "no engine",
            ),
            ("Error: No such container: sat-1", "no container"),
            (
                "Error response from daemon: No such container: sat-1",
                "no container",
            ),
            ("Error: no such container sat-1", "no container"),
            (
                "Error response from daemon: removal of container 49a6434861c9 is already in progress",
                "being removed",
            ),
            ("Error: No such network: sat", "no network"),
            (
                "docker: Error response from daemon: network sat not found.",
                "no network",
            ),
            (
                "Error response from daemon: network satellite-network not found",
                "no network",
            ),
            (
                "docker: Error response from daemon: network satellite_satellite-network not found.",
                "no network",
            ),
            (
                "Error: unable to find network with name or ID sat: network not found",
                "no network",
            ),
            (
                "docker: Error response from daemon: Conflict. The container name \"/sat-1\" is already in use by container \"abc\".",
                "name taken",
            ),
            (
                "Error: creating container storage: the container name \"sat-1\" is already in use by abc",
                "name taken",
            ),
            (
                "Error response from daemon: Get \"https://registry/v2/\": read: connection reset by peer",
                "other",
            ),
            (
                "failed to connect to the docker API at tcp://x:1",
                "no engine",
            ),
            (
                "Error response from daemon: manifest for neural-network:1 not found",
                "no image",
            ),
            ("Error: No such image: nothing:1", "no image"),
            (
                "Unable to find image 'nothing:1' locally\ndocker: Error response from daemon: pull access denied for nothing",
                "no image",
            ),
            (
                "Error response from daemon: manifest for nothing:1 not found: manifest unknown",
                "no image",
            ),
            ("Error: nothing:1: image not known", "no image"),
            (
                "docker: Error response from daemon: OCI runtime create failed",
                "other",
            ),
            ("", "other"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }
}
