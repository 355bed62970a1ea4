//! Deletes that tolerate a lost response.

use std::time::Duration;

use crate::error::Result;
use crate::http::{Call, Effort, Method, Transport};

/// Deletes the object at `path`. A missing object is an error, unless a first
/// attempt of this same call may have deleted it and then lost the response.
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
