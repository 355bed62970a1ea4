//! The connection to one service, which the client and its managers share.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api_version::ApiVersion;
use satellite_core::client::{Cancel, TimeLimits};
use satellite_core::http::{Call, Effort, Method, Transport, with_query};
use satellite_core::{Error, Result};

/// The transport, its time limits and the API version. Clones share one transport.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) transport: Arc<Transport>,
    pub(super) limits: TimeLimits,
    pub(super) version: ApiVersion,
}

impl Connection {
    /// The same connection over a transport of its own, which `cancel` cancels.
    pub(super) fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(Connection {
            transport: self.transport.cancelled_by(cancel)?,
            ..self.clone()
        })
    }

    /// The address of the service.
    pub(super) fn url(&self) -> &str {
        self.transport.base()
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let path = with_query(path, query);
        let call = Call::new(Method::GET, &path).within(self.limits.request);
        self.transport.send(&call)?.json()
    }

    pub(super) fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let call = Call::new(Method::POST, path).json(body)?;
        // The service rents a machine and pulls an image before it responds.
        let call = call.within(self.limits.request).patient();
        self.transport.send(&call)?.json()
    }

    /// Fails unless the API has this version. Sends nothing.
    pub(super) fn needs(&self, version: ApiVersion, what: &str) -> Result<()> {
        match self.version == version {
            true => Ok(()),
            false => Err(Error::unsupported(format_args!(
                "the {:?} API of {} has no {what}",
                self.version,
                self.url()
            ))),
        }
    }

    /// A GET that is not retried.
    pub(super) fn get_once<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let call = Call::new(Method::GET, path).within(self.limits.request);
        let call = call.effort(Effort::Once);
        self.transport.send(&call)?.json()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.url()).finish()
    }
}
