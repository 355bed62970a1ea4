//! The rights of a processor in a real cluster, and its store.

use std::path::PathBuf;

use clap::Args;
use satellite_sdk::state::{ConfigMapStore, Configuration, Stamp, Store as _};

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

pub fn check(options: &Options, settings: &mut Configuration, report: &mut Report) -> Vec<Line> {
    let mut lines = Vec::new();
    let stored = match settings.backend() {
        "configmap" => {
            let namespace = options.namespace.as_ref().map(|name| name.as_str());
            let namespace = namespace.unwrap_or(settings.namespace()).to_owned();
            let id = settings.processor_id();
            if !rights(options, &namespace, id, report, &mut lines) {
                return lines;
            }
            store_of(options).history(&namespace, id)
        }
        backend => {
            lines.push(Line {
                what: "rights".to_owned(),
                found: format!("none needed for the store {backend}"),
            });
            settings.history()
        }
    };
    match stored.map(|stored| stored.into_iter().next()) {
        Err(e) => report.problem("store", e),
        Ok(None) => lines.push(Line {
            what: "state".to_owned(),
            found: "none stored yet".to_owned(),
        }),
        Ok(Some(newest)) => match newest.snapshot {
            Err(e) => report.problem("store", format_args!("{}: {e}", newest.place)),
            Ok(snapshot) => lines.push(Line {
                what: "state".to_owned(),
                found: found(&newest.place, &snapshot.stamp),
            }),
        },
    }
    lines
}

fn found(place: &str, stamp: &Stamp) -> String {
    let holder = match stamp.is_released() {
        true => "released".to_owned(),
        false => format!("held by {}", stamp.holder),
    };
    let (generation, at) = (stamp.generation, &stamp.saved_at);
    format!("generation {generation} of {at} in {place}, {holder}")
}

fn store_of(options: &Options) -> ConfigMapStore {
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
    store
}

/// Whether the API answered.
fn rights(
    options: &Options,
    namespace: &str,
    processor: &str,
    report: &mut Report,
    lines: &mut Vec<Line>,
) -> bool {
    let reviews = match store_of(options).review(namespace, processor) {
        Ok(reviews) => reviews,
        Err(e) => {
            report.problem("cluster", e);
            return false;
        }
    };
    for review in reviews {
        if !review.is_allowed {
            let what = format!("{} is not granted in namespace {namespace}", review.right);
            report.problem("cluster", what);
        }
        lines.push(Line {
            what: review.right.to_string(),
            found: match review.is_allowed {
                true => "granted",
                false => "not granted",
            }
            .to_owned(),
        });
    }
    true
}
