//! The clients of the kit, as operations by name with JSON arguments.

use std::sync::Arc;

use satellite_sdk::compute::Cancel;
use satellite_sdk::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The items of a stream.
pub type Items = Box<dyn Iterator<Item = Result<Value>> + Send>;

/// A client of the kit, with its operations by name.
pub trait Client: Send + Sync + 'static {
    /// The same client, whose calls `cancel` ends.
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Client>>;

    /// Performs an operation.
    fn perform(&self, operation: &str, arguments: Value) -> Result<Answer>;

    fn url(&self) -> String;
}

/// What an operation returns.
pub enum Answer {
    Json(Value),
    Stream(Items),
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

/// Reads the arguments of an operation. The Python classes send these, so a mismatch means a wrong
/// type of an argument.
pub fn arguments<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    T::deserialize(arguments).map_err(|e| Error::settings(vec![format!("argument: {e}")]))
}

/// The error for a name that the Python classes do not use.
pub fn unknown(operation: &str) -> Error {
    Error::new(format_args!("unknown operation {operation:?}"))
}
