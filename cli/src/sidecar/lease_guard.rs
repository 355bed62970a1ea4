//! Stops the application while another process may take the state. On a thread of its own: a
//! save over a slow network delays everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use satellite_sdk::{Error, Result};

use super::child::{Pauses, Reason};
use super::shared::{Context, POLL_INTERVAL};

/// Runs until `is_over`.
pub fn guard_lease(cx: &Context, pauses: Arc<Pauses>, is_over: &Arc<AtomicBool>) -> Result<()> {
    let (cx, is_over) = (cx.clone(), Arc::clone(is_over));
    let guard = move || {
        let mut has_lapsed = false;
        while !is_over.load(Ordering::SeqCst) {
            let had_lapsed = has_lapsed;
            has_lapsed = !cx.may_act();
            if has_lapsed {
                pauses.pause(Reason::Lease); // at each turn: it may have started others
            }
            match (had_lapsed, has_lapsed) {
                (false, true) => {
                    log::warn!("the lease was not renewed in time: the application is paused");
                }
                (true, false) => {
                    pauses.resume(Reason::Lease);
                    log::info!("the lease was renewed: the application continues");
                }
                _ => {}
            }
            thread::sleep(POLL_INTERVAL);
        }
    };
    let named = thread::Builder::new().name("lease-guard".into());
    named.spawn(guard).map(drop).map_err(Error::new)
}
