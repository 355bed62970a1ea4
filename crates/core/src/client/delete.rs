//! Deletes, which may have been done before.

use std::time::Duration;

use crate::error::Result;
use crate::http::{Call, Effort, Method, Transport};

/// Deletes what is at `path`. That it is gone already is an error, unless it was
/// this call itself that deleted it and then lost the answer.
pub fn delete(transport: &Transport, path: &str, within: Duration) -> Result<()> {
    let call = || Call::new(Method::DELETE, path).within(within);
    let answer = transport.send(&call().effort(Effort::Once));
    match answer.and_then(|answer| answer.ok()) {
        Ok(_) => Ok(()),
        Err(error) if error.is_retryable() => {
            match transport.send(&call()).and_then(|answer| answer.ok()) {
                Err(again) if again.is_not_found() && !error.is_connect() => Ok(()),
                answer => answer.map(drop),
            }
        }
        Err(error) => Err(error),
    }
}
