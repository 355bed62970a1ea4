//! The clusters that a command names: by name, by pattern, or all.

use clap::Args;
use satellite_sdk::compute::skypilot::{Cluster, Clusters, SkyPilotClient};
use wildmatch::WildMatch;

use crate::output::Problem;

/// Which clusters.
#[derive(Args, Debug, Clone, Default)]
pub struct Selection {
    /// Names of clusters, or patterns with * and ?
    #[arg(value_name = "CLUSTER", required_unless_present = "all")]
    pub clusters: Vec<String>,
    /// All of your clusters
    #[arg(short, long, conflicts_with = "clusters")]
    pub all: bool,
}

impl Selection {
    /// The names of the clusters. A name without a pattern is not looked up: the server
    /// says if it does not exist.
    ///
    /// # Errors
    /// If a pattern matches no cluster.
    pub fn names(&self, client: &SkyPilotClient) -> Result<Vec<String>, Problem> {
        if self.all {
            let all = client.list_clusters()?;
            return Ok(all.into_iter().map(|cluster| cluster.name).collect());
        }
        if !self.clusters.iter().any(|name| is_pattern(name)) {
            return Ok(without_repetitions(self.clusters.clone()));
        }
        let known = client.list_clusters()?;
        let mut names = Vec::new();
        for wanted in &self.clusters {
            match is_pattern(wanted) {
                true => names.extend(matching(&known, wanted)?.map(|one| one.name.clone())),
                false => names.push(wanted.clone()),
            }
        }
        Ok(without_repetitions(names))
    }
}

/// The clusters with these names or patterns, and the names that no cluster has.
pub fn find(
    client: &SkyPilotClient,
    wanted: &[String],
    query: Clusters,
) -> Result<(Vec<Cluster>, Vec<String>), Problem> {
    let has_pattern = wanted.iter().any(|name| is_pattern(name));
    let query = match has_pattern {
        true => query,
        false => wanted.iter().fold(query, |query, name| query.name(name)),
    };
    let known = client.clusters(&query)?;
    if wanted.is_empty() {
        return Ok((known, Vec::new()));
    }
    let is_wanted = |cluster: &Cluster, name: &str| WildMatch::new(name).matches(&cluster.name);
    let missing = wanted
        .iter()
        .filter(|name| !known.iter().any(|one| is_wanted(one, name)));
    let missing = missing.cloned().collect();
    let mut found = known;
    found.retain(|one| wanted.iter().any(|name| is_wanted(one, name)));
    Ok((found, missing))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn matching<'a>(
    known: &'a [Cluster],
    pattern: &str,
) -> Result<impl Iterator<Item = &'a Cluster>, Problem> {
    let compiled = WildMatch::new(pattern);
    let mut found = known
        .iter()
        .filter(move |one| compiled.matches(&one.name))
        .peekable();
    match found.peek() {
        Some(_) => Ok(found),
        None => Err(Problem::new(format_args!("no cluster matches {pattern}"))),
    }
}

fn without_repetitions(names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}
