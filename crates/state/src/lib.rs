//! Processors: programs whose state persists across restarts and moves with them.
//!
//! A processor can be stopped, killed, rescheduled and updated at any time, and
//! resumes from its saved state. The state is any type that serde can serialize and
//! deserialize:
//!
//! ```no_run
//! use satellite_state::{App, Exit};
//! use std::time::Duration;
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! struct Counter { count: u64 }
//!
//! fn main() -> Exit {
//!     App::new().tick(Duration::from_secs(1), |counter: &mut Counter, _| counter.count += 1)
//! }
//! ```
//!
//! There are three entry points: a closure that is called on each turn
//! ([`App::tick`]), a function ([`App::run_fn`]), and a [`Processor`] with `startup`, `shutdown`,
//! `migrate` and hooks ([`App::run`]).
//!
//! # Guarantees
//!
//! - **Durability**: the state is saved every 5 seconds when it has changed, on
//!   demand ([`ExecutionContext::checkpoint`]), and whenever the processor ends: on a
//!   signal, the preStop hook, or a `run` that returns, fails or panics. A process
//!   that is killed loses only the changes since its last save. The same applies to
//!   a panic while the state guard is held: a state that may be partly changed is
//!   not saved. If the last save failed, the exit code is not 0.
//! - **Atomicity**: a save replaces the previous one entirely or not at all. A damaged
//!   save is detected by its checksum and moved aside, and an older one is used
//!   instead. A state is parsed completely before the one in memory is replaced.
//! - **Single writer**: a process that starts second asks the first for the state, and
//!   gets exactly what the first one saved last. A writer that loses its connection
//!   and comes back finds that it is fenced, and writes nothing.
//! - **Single actor**: where a lease protects the state (a ConfigMap, a bucket), its
//!   holder starts no turn, and `/ready` fails, from 8/10 of the lease duration after
//!   the last successful renewal; other processes wait for 11/10. Each process measures
//!   with its own clock, and the clocks may differ by 15 %. See
//!   [`ExecutionContext::may_act`] for what a turn that is already running has to
//!   check. In a folder, the lock of the operating system excludes other processes for
//!   as long as the process exists.
//! - **No takeover by older pods**: a pod whose state another pod has taken over never
//!   asks for it again, after any number of handovers. It takes the state only when no
//!   process has held or changed it for 11/10 of the lease duration. `DORY_REVISION`
//!   decides which pod is newer where both have one, otherwise the order in which they
//!   first held the state; the state remembers 256 pods.
//! - **A faulty release takes nothing over**: see [below](#a-new-release).
//! - **Unknown data is kept**: keys that this program does not know stay in the stored
//!   state for a newer program. Nothing that is stored is discarded unless the
//!   processor's own hook requests it, and even then it is only moved aside.
//!
//! # A new release
//!
//! A process that finds the state held by another process does not ask for it at once:
//!
//! 1. it restores a copy of the state and calls [`Processor::startup`], while the
//!    holder keeps running;
//! 2. it stays ready for `DORY_TAKEOVER_READY_SEC`: its [`Health`]
//!    reports no problem other than this wait;
//! 3. it asks for the state. The holder finishes its turn, calls `shutdown`, saves and
//!    releases the state;
//! 4. it restores exactly that save, calls [`Processor::restored`], becomes ready, and
//!    calls `run`.
//!
//! If the new process fails, panics or ends before step 3, the holder has run without
//! interruption, and logs at WARN which release failed and why. Before step 4,
//! [`ExecutionContext::may_act`] is false, and nothing can be saved. When no process
//! holds the state, the order is: restore, `startup`, `restored`, ready, `run`. Older
//! releases of this kit without this protocol hand over, and are handed over to, as
//! before.
//!
//! On a single host both processes run at the same time for a while: `startup` must not
//! open a port or a file that the other process still uses.
//! `DORY_TAKEOVER_READY_SEC=off` asks for the state at once, and calls `startup` after
//! this process has it.
//!
//! # Endpoints
//!
//! | | |
//! |---|---|
//! | `GET /` | a page about this processor; a list of the endpoints for `Accept: application/json` |
//! | `GET /healthz` | 200, or 503 when a turn exceeds the stall limit |
//! | `GET /ready`, `/readyz` | 200, or 503 with the reasons |
//! | `GET /metrics` | metrics for Prometheus |
//! | `GET /state` | the state, for clients that present `DORY_STATE_TOKEN`; without a token, for clients on this host |
//! | `POST /state` | replaces the state, entirely or not at all; same access rules |
//! | `GET /prestop` | stops the processor, and responds 200 when the last save succeeded, 500 when it failed; for clients without access to the state it only saves, and the signal that follows the hook stops the process |
//!
//! # Settings
//!
//! Settings come from the environment, else from a YAML file, where they have the same
//! names in lower case without `DORY_`, else from a preset; settings made on an [`App`]
//! take precedence over all of them. The file is the one named by `DORY_CONFIG_FILE`, or
//! the first that exists of `/etc/dory/config.yaml`, `/app/config/dory.yaml` and
//! `./dory.yaml`. Unknown keys in the file are logged as warnings.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `DORY_PRESET` | | the settings of a preset of dory-sdk: `development` (log `DEBUG` as text, backend `local`), `production` (`INFO` as JSON, `configmap`), `high-availability` (`INFO` as JSON, `pvc`, timeouts of 60 seconds, 5 restart attempts) |
//! | `DORY_PROCESSOR_ID`, `PROCESSOR_ID` | the Deployment's name, or the StatefulSet's pod's; elsewhere the program's | the id under which the state is stored |
//! | `DORY_POD_NAME`, `DORY_POD_NAMESPACE`; `POD_NAME`, `POD_NAMESPACE` | the host's name; that of the service account, `default` | |
//! | `DORY_STATE_BACKEND` | `configmap` in a cluster, `local` elsewhere | or `pvc`, `s3` |
//! | `DORY_STATE_DIR` | the first of a systemd unit's `STATE_DIRECTORY`, `dory-state` | the folder for `local` |
//! | `DORY_STATE_PVC_MOUNT` | `/data` | the folder for `pvc` |
//! | `DORY_KUBERNETES_URL`, `DORY_KUBERNETES_ACCOUNT` | those of this pod | for `configmap`: the URL of the Kubernetes API, and the folder with `token` and `ca.crt`; a URL alone, such as that of `kubectl proxy`, is called without a token |
//! | `DORY_STATE_S3_BUCKET`, `…_PREFIX`, `…_ENDPOINT` | | the bucket for `s3`, beside `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` |
//! | `DORY_CHECKPOINT_SEC` | 5 | seconds between two saves, if the state has changed |
//! | `DORY_LEASE_SEC` | 15, in a bucket 60 | whole seconds; the lease duration: a holder that does not renew for this long is considered dead |
//! | `DORY_TAKEOVER_READY_SEC` | 5 | 0 to 3600, or `off`; how long a new process must stay ready before it asks for the state |
//! | `DORY_REVISION` | | a number that grows with each release, such as Helm's `.Release.Revision`: older releases never ask newer ones for the state |
//! | `DORY_STARTUP_TIMEOUT_SEC` | 30 | 1 to 300; the time limit of `startup` |
//! | `DORY_SHUTDOWN_TIMEOUT_SEC` | 30 | 1 to 300; from the stop request to the end of the last save: less than the pod's grace period |
//! | `DORY_STALL_LIMIT_SEC` | 3600 | the maximum duration of a turn |
//! | `DORY_STATE_TOKEN` | | the bearer token for `/state` and `/prestop` |
//! | `DORY_MAX_STATE_SIZE` | 10 MiB | the maximum body of `POST /state` in bytes |
//! | `DORY_HEALTH_HOST`, `DORY_HEALTH_PORT` | 0.0.0.0 in a cluster, 127.0.0.1 elsewhere; 8080 | |
//! | `DORY_HEALTH_PATH`, `DORY_READY_PATH`, `DORY_METRICS_PATH` | `/healthz`, `/ready`, `/metrics` | the paths of these endpoints |
//! | `DORY_MAX_RESTART_ATTEMPTS` | 3 | 1 to 10; consecutive starts that ended uncleanly before [`on_rapid_restart_detected`](Processor::on_rapid_restart_detected) is called |
//! | `DORY_GOLDEN_IMAGE_THRESHOLD` | never | 1 to 10; consecutive starts that ended uncleanly before the state is moved aside without calling the hook, and the default state is used |
//! | `DORY_IS_MIGRATING`, `DORY_MIGRATED_FROM`, `RESTART_COUNT` | | set by the system that moves or restarts the pod |
//! | `DORY_LOG_LEVEL`, `DORY_LOG_FORMAT` | `INFO`; `json` in a cluster, `text` elsewhere | used only if the program installs no logger |

#![cfg_attr(docsrs, feature(doc_cfg))]

//! # Migrating from dory-sdk
//!
//! Where no state of this kit is stored, the newest state of dory-sdk, the original
//! Python implementation, is imported: from ConfigMap `dory-state-<id>` in this pod's namespace or the one
//! that dory-sdk would use, from `dory-state-<id>.json` in the store's folder, in `/data`
//! or in `/tmp`. `<id>` is the id of this processor, or the one that dory-sdk derives from the
//! pod's name, such as `my` for `my-app-7d9f8b6c5d-x2x4z`. The source is not
//! removed. A state that is found but not imported is logged as a warning with the reason.
//!
//! In a rolling update dory-sdk saves when its pod stops, which is after this one became
//! ready. For ten minutes after its first start a processor also imports such a save:
//! it replaces the state in memory, and changes made to that state in the meantime are
//! lost. A state of dory-sdk has schema version 0.

mod app;
mod checksum;
mod config_file;
mod configuration;
mod context;
mod core;
mod document;
mod editor;
mod endpoints;
mod error;
mod identity;
mod import;
mod last_save;
mod lifecycle;
mod logs;
mod memory;
mod metrics;
mod opening;
mod original;
mod original_locations;
mod outage;
mod ownership;
mod page;
mod prepare;
mod preset;
mod processor;
mod progress;
mod saving;
mod setting_values;
mod settings;
mod shutdown;
mod snapshot;
mod store;
mod supervision;
mod threads;
mod time;
mod turns;
mod unknown;

pub use app::App;
pub use configuration::Configuration;
pub use context::{ExecutionContext, RunLoop};
pub use editor::{StateEditor, WhenHeld};
pub use error::{StateError, is_corrupt, is_fenced, is_held};
pub use lifecycle::Process;
pub use memory::{State, StateGuard};
pub use processor::{Outcome, Processor, Remedy};
pub use satellite_core::{Clock, Ended, Error, Exit, Failure, Result, Secret, Variables};
pub use satellite_health::Health;
pub use satellite_health::metrics::Metric;
pub use satellite_serve as serve;
pub use snapshot::{Content, Snapshot, Stamp};
#[cfg(feature = "s3")]
pub use store::S3Store;
pub use store::{
    Claim, ConfigMapStore, FileStore, LeaseRenewer, OpenRequest, Opened, Original, Review, Right,
    Store, Stored,
};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
