//! The connection to one server, which the client and its managers share.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dialect::FaasDialect;
use satellite_core::Result;
use satellite_core::client::{Cancel, TimeLimits, delete};
use satellite_core::http::{Call, Method, Response, Transport, escaped};

/// The transport, its time limits and the dialect. Clones share one transport.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) transport: Arc<Transport>,
    pub(super) limits: TimeLimits,
    pub(super) dialect: FaasDialect,
    /// How many executions of a batch run at once.
    pub(super) max_parallel: usize,
}

impl Connection {
    /// The same connection over a transport of its own, which `cancel` cancels.
    pub(super) fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(Connection {
            transport: self.transport.cancelled_by(cancel)?,
            ..self.clone()
        })
    }

    /// The address of the server.
    pub(super) fn url(&self) -> &str {
        self.transport.base()
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Call::new(Method::GET, path))?.json()
    }

    pub(super) fn post(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::POST, path).json(body)?)
    }

    /// A POST without a body, for routes that do not read one: a server that leaves a
    /// body unread closes the connection after its response.
    pub(super) fn post_empty(&self, path: &str) -> Result<Response> {
        self.send(Call::new(Method::POST, path))
    }

    pub(super) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send(Call::new(Method::PUT, path).json(body)?)?.json()
    }

    pub(super) fn delete(&self, path: &str) -> Result<()> {
        delete(&self.transport, path, self.limits.request)
    }

    fn send(&self, call: Call<'_>) -> Result<Response> {
        let call = call.within(self.limits.request);
        self.transport.send(&call)?.ok()
    }
}

/// The route of one execution.
pub(super) fn execution_path(id: &str) -> String {
    format!("/api/v1/executions/{}", escaped(id))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.url()).finish()
    }
}
