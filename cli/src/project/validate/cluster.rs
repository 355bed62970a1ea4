//! The rights of a processor in a real cluster, and its store.

use std::path::PathBuf;

use clap::Args;
use satellite_sdk::state::{ConfigMapStore, Configuration};

use super::Report;

#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Options {
    /// Also asks the API for the processor's rights, and looks at its store. Changes nothing
    #[arg(long)]
    pub cluster: bool,
    /// The API, such as that of `kubectl proxy` [default: that of this pod]
    #[arg(long, value_name = "URL", requires = "cluster")]
    pub api: Option<String>,
    /// The folder with the files token and ca.crt [default: that of this pod]
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub service_account: Option<PathBuf>,
    /// Asks for the rights of this user, such as system:serviceaccount:NAMESPACE:NAME
    #[arg(long = "as", value_name = "USER", requires = "cluster")]
    pub user: Option<String>,
    /// The namespace of the processor [default: that of its settings]
    #[arg(short, long, value_name = "NAME", requires = "cluster")]
    pub namespace: Option<super::super::fields::Name>,
}

/// What was asked, and what was found.
#[derive(Debug)]
pub struct Line {
    pub what: String,
    pub found: String,
}

pub fn check(options: &Options, settings: &Configuration, report: &mut Report) -> Vec<Line> {
    let mut lines = Vec::new();
    match settings.backend() {
        "configmap" => rights(options, settings, report, &mut lines),
        backend => lines.push(Line {
            what: "rights".to_owned(),
            found: format!("none needed for the store {backend}"),
        }),
    }
    lines
}

fn rights(options: &Options, settings: &Configuration, report: &mut Report, lines: &mut Vec<Line>) {
    let mut store = ConfigMapStore::new();
    if let Some(url) = &options.api {
        store = store.at(url);
    }
    if let Some(folder) = &options.service_account {
        store = store.service_account(folder);
    }
    if let Some(user) = &options.user {
        store = store.impersonating(user);
    }
    let namespace = options.namespace.as_ref().map(|name| name.as_str());
    let namespace = namespace.unwrap_or(settings.namespace());
    let reviews = match store.review(namespace, settings.processor_id()) {
        Ok(reviews) => reviews,
        Err(e) => return report.problem("cluster", e),
    };
    for review in reviews {
        if !review.is_allowed {
            let what = format!("{} is not granted in namespace {namespace}", review.right);
            report.problem("cluster", what);
        }
        lines.push(Line {
            what: review.right.to_string(),
            found: if review.is_allowed {
                "granted"
            } else {
                "not granted"
            }
            .to_owned(),
        });
    }
}
