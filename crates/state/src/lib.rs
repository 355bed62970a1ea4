//! Processors: programs whose state outlives their process and moves with it.
//!
//! A processor is stopped, killed, rescheduled and updated at any moment, and
//! goes on where it was. Its state is any type that serde can write and read:
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
//! Three ways in: a closure that is called at each turn ([`App::tick`]), a
//! function ([`App::run_fn`]), and a [`Processor`] with `startup`, `shutdown`,
//! `migrate` and hooks ([`App::run`]).
//!
//! # What is promised
//!
//! - **Saved** every 5 seconds when it has changed, on demand
//!   ([`ExecutionContext::checkpoint`]), and at the end, whatever the end: a
//!   signal, the preStop hook, a `run` that returns, fails or panics. A process
//!   that was killed loses what came after its last save, and nothing else. A
//!   panic with the state in hand counts as such: what may be half changed is
//!   not saved. Where the last save failed, the exit code is not 0.
//! - **Never half**: a save takes the place of the one before whole or not at
//!   all; a damaged one is found by its checksum, set aside, and an older one is
//!   used in its place. A state is read whole before anything is swapped.
//! - **One writer**: whoever starts second asks the first for the state, and has
//!   exactly what that one saved last. A writer that was cut off and comes back
//!   finds that it is fenced, and writes nothing.
//! - **One that acts**: where a lease keeps others away (a ConfigMap, a bucket), its
//!   holder begins no turn, and `/ready` fails, from 8/10 of the lease after the last
//!   renewal that succeeded; others wait for 11/10. Both measure with clocks of their
//!   own, which may differ by 15 %. See [`ExecutionContext::may_act`] for what is left
//!   to a turn that is under way. In a folder the lock of the operating system keeps
//!   others away for as long as the process exists.
//! - **No way back**: a pod that another one has taken the state from never asks for
//!   it again, after any number of handovers. It takes the state only when nobody has
//!   held or changed it for 11/10 of the lease. Which pod is newer is decided by
//!   `DORY_REVISION` where both have one, else by who came first; the state remembers
//!   256 pods.
//! - **A bad release takes nothing over**: see [below](#a-new-release).
//! - **Kept**: keys that this program does not know stay where they are, for a
//!   newer one. Nothing that is stored is thrown away unless the processor's own
//!   hook says so, and even then it is set aside.
//!
//! # A new release
//!
//! A process that finds the state held by another one does not ask for it at once:
//!
//! 1. it restores a copy of the state and calls [`Processor::startup`], while the
//!    other one works on;
//! 2. it holds ready for `DORY_TAKEOVER_READY_SEC`: nothing but the wait itself is a
//!    reason in its [`Health`](crate::Health);
//! 3. it asks. The other one ends its turn, calls `shutdown`, saves and lets go;
//! 4. it restores exactly that save, calls [`Processor::restored`], is ready, and calls
//!    `run`.
//!
//! If it fails, panics or ends before the third step, the other one has not stopped
//! for a moment, and says at WARN which release failed and why. Until the fourth,
//! [`ExecutionContext::may_act`] is false, and nothing can be saved. Where nobody holds
//! the state, the order is: restore, `startup`, `restored`, ready, `run`. Releases of
//! this kit that know nothing of this hand over, and are handed over to, as before.
//!
//! On one host both processes exist for a time: a port or a file that `startup` opens
//! must not be one that the other still has. `DORY_TAKEOVER_READY_SEC=off` asks at
//! once, and calls `startup` with the state in hand.
//!
//! # Endpoints
//!
//! | | |
//! |---|---|
//! | `GET /` | a page about this processor; a list of the endpoints for `Accept: application/json` |
//! | `GET /healthz` | 200, or 503 when a turn lasts longer than the stall limit |
//! | `GET /ready`, `/readyz` | 200, or 503 with the reasons |
//! | `GET /metrics` | for Prometheus |
//! | `GET /state` | the state, to whoever shows `DORY_STATE_TOKEN`; without one, to this host |
//! | `POST /state` | takes a state, whole or not at all, from the same |
//! | `GET /prestop` | stops, and answers 200 when the last save is done, 500 when it failed; to those who may not ask for the state it saves, and the stop is left to the signal that follows the hook |

#![cfg_attr(docsrs, feature(doc_cfg))]

//! # Settings
//!
//! From the environment, else from a YAML file, where they have the same names in lower
//! case without `DORY_`, else from a preset; an [`App`]'s own go before all of them. The
//! file is the one that `DORY_CONFIG_FILE` names, or the first there is of
//! `/etc/dory/config.yaml`, `/app/config/dory.yaml` and `./dory.yaml`. Its keys that are
//! no settings are logged as warnings.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `DORY_PRESET` | | what dory-sdk's preset sets: `development` (log `DEBUG` as text, backend `local`), `production` (`INFO` as JSON, `configmap`), `high-availability` (`INFO` as JSON, `pvc`, timeouts of 60 seconds, 5 restart attempts) |
//! | `DORY_PROCESSOR_ID`, `PROCESSOR_ID` | the Deployment's name, or the StatefulSet's pod's; elsewhere the program's | what the state goes by |
//! | `DORY_POD_NAME`, `DORY_POD_NAMESPACE`; `POD_NAME`, `POD_NAMESPACE` | the host's name; that of the service account, `default` | |
//! | `DORY_STATE_BACKEND` | `configmap` in a cluster, `local` elsewhere | or `pvc`, `s3` |
//! | `DORY_STATE_DIR` | the first of a systemd unit's `STATE_DIRECTORY`, `dory-state` | the folder for `local` |
//! | `DORY_STATE_PVC_MOUNT` | `/data` | the folder for `pvc` |
//! | `DORY_STATE_S3_BUCKET`, `…_PREFIX`, `…_ENDPOINT` | | the bucket for `s3`, beside `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` |
//! | `DORY_CHECKPOINT_SEC` | 5 | between two saves, where something has changed |
//! | `DORY_LEASE_SEC` | 15, in a bucket 60 | whole seconds; a holder without a sign of life for so long is taken for dead |
//! | `DORY_TAKEOVER_READY_SEC` | 5 | 0 to 3600, or `off`; how long a new process holds ready before it asks for the state |
//! | `DORY_REVISION` | | a number that grows with each release, such as Helm's `.Release.Revision`: older ones never ask newer ones for the state |
//! | `DORY_STARTUP_TIMEOUT_SEC` | 30 | 1 to 300; for `startup` |
//! | `DORY_SHUTDOWN_TIMEOUT_SEC` | 30 | 1 to 300; from the word to stop to the last save: less than the pod's grace period |
//! | `DORY_STALL_LIMIT_SEC` | 3600 | how long a turn may last |
//! | `DORY_STATE_TOKEN` | | the bearer for `/state` and `/prestop` |
//! | `DORY_MAX_STATE_SIZE` | 10 MiB | bytes that `POST /state` takes |
//! | `DORY_HEALTH_HOST`, `DORY_HEALTH_PORT` | 0.0.0.0 in a cluster, 127.0.0.1 elsewhere; 8080 | |
//! | `DORY_HEALTH_PATH`, `DORY_READY_PATH`, `DORY_METRICS_PATH` | `/healthz`, `/ready`, `/metrics` | in place of these paths |
//! | `DORY_MAX_RESTART_ATTEMPTS` | 3 | 1 to 10; unclean starts in a row before [`on_rapid_restart_detected`](Processor::on_rapid_restart_detected) is asked |
//! | `DORY_GOLDEN_IMAGE_THRESHOLD` | never | 1 to 10; unclean starts in a row before the state is set aside without asking, and begins with its default |
//! | `DORY_IS_MIGRATING`, `DORY_MIGRATED_FROM`, `RESTART_COUNT` | | set by whoever moves or restarts the pod |
//! | `DORY_LOG_LEVEL`, `DORY_LOG_FORMAT` | `INFO`; `json` in a cluster, `text` elsewhere | where the program brings no logger |

//! # Coming from dory-sdk
//!
//! Where no state of this kit is kept, the newest one of dory-sdk, the Python original,
//! is taken over: from ConfigMap `dory-state-<id>` in this pod's namespace or the one
//! that dory-sdk would use, from `dory-state-<id>.json` in the store's folder, in `/data`
//! or in `/tmp`. `<id>` is this processor's, or the one that dory-sdk derives from the
//! pod's name, such as `my` for `my-app-7d9f8b6c5d-x2x4z`. The original is not
//! removed. What is found and not taken is logged as a warning with the reason.
//!
//! In a rolling update dory-sdk saves when its pod stops, which is after this one became
//! ready. For ten minutes after its first start a processor takes such a save as well:
//! it replaces the state in memory, and what was done to that in between is lost. A
//! state of dory-sdk has schema version 0.

mod app;
mod config_file;
mod context;
mod core;
mod document;
mod endpoints;
mod error;

mod identity;
mod import;
mod lifecycle;
mod logs;
mod memory;
mod metrics;
mod original;
mod outage;
mod ownership;
mod page;
mod prepare;
mod preset;
mod processor;
mod settings;
mod shutdown;
mod store;
mod threads;
mod time;
mod turns;
mod unknown;

pub use app::App;
pub use context::{ExecutionContext, RunLoop};
pub use document::{Content, Snapshot, Stamp};
pub use error::{StateError, is_corrupt, is_fenced};
pub use lifecycle::Process;
pub use memory::{State, StateGuard};
pub use processor::{Outcome, Processor, Remedy};
pub use satellite_core::Ended;
#[cfg(feature = "s3")]
pub use store::S3Store;
pub use store::{
    Claim, ConfigMapStore, FileStore, LeaseRenewer, OpenRequest, Opened, Original, Store,
};

/// The README's examples are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
