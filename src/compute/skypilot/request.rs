//! A request that was handed in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::client::SkyPilotClient;
use super::models::RequestRecord;
use crate::compute::Stream;
use crate::error::Result;

/// Work that the server has begun, or will: it goes on whether or not somebody
/// waits for it.
///
/// ```no_run
/// # use satellite_sdk::compute::skypilot::SkyPilotClient;
/// # let sky = SkyPilotClient::from_env()?;
/// let request = sky.terminate("llama3-8b-prod")?;
/// println!("{}", request.id());
/// request.wait()?;
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[must_use = "the work goes on; `wait` tells what became of it"]
pub struct Request<T = ()> {
    client: SkyPilotClient,
    id: String,
    result: PhantomData<fn() -> T>,
}

impl<T> Request<T> {
    pub(super) fn new(client: SkyPilotClient, id: String) -> Self {
        Request {
            client,
            id,
            result: PhantomData,
        }
    }

    /// Its identity, for [`SkyPilotClient::wait_for_request`] in another process.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    ///
    /// # Errors
    /// Faults on the way.
    pub fn record(&self) -> Result<RequestRecord> {
        self.client.request(&self.id)
    }

    /// What the server prints on the way, to the end.
    ///
    /// # Errors
    /// Faults on the way.
    pub fn log(&self) -> Result<Stream<String>> {
        self.client.request_log(&self.id, true)
    }

    /// Cancels it; what it has made so far stays.
    ///
    /// # Errors
    /// Faults on the way.
    pub fn cancel(&self) -> Result<()> {
        self.client.cancel_request(&self.id).map(drop)
    }
}

impl<T: DeserializeOwned> Request<T> {
    /// Waits for its end.
    ///
    /// # Errors
    /// As [`SkyPilotClient::wait_for_request`].
    pub fn wait(&self) -> Result<T> {
        self.wait_with(|_| ())
    }

    /// Waits for its end, and tells what is known of it on the way.
    ///
    /// # Errors
    /// As [`SkyPilotClient::wait_for_request`].
    pub fn wait_with(&self, progress: impl FnMut(&RequestRecord)) -> Result<T> {
        let record = self.client.wait_for_request(&self.id, progress)?;
        self.client.value(record)
    }
}

impl<T> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.id).finish()
    }
}
