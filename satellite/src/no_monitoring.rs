//! A replacement for monitoring, without the feature `monitoring`: no deployment is watched.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use satellite_sdk::serve::{Request, Response};
use satellite_sdk::{Deployment, Satellite};

use crate::model::{Capture, Models};
use crate::settings::Settings;

/// Without monitoring there is no value of this type.
#[derive(Debug, PartialEq)]
pub enum Watched {}

impl Watched {
    pub fn is_complete(&self) -> bool {
        match *self {}
    }
}

/// What the calls of a deployment share. Its reference count grows by one for each call in
/// progress.
pub type Permit = Arc<Option<Watched>>;

/// A call in progress: it holds a permit.
pub struct Call {
    _permit: Permit,
}

impl Call {
    pub fn begin(permit: &Permit, _: &Request<'_>, _: Instant) -> Self {
        Call {
            _permit: Arc::clone(permit),
        }
    }

    pub fn trace(&self) -> Option<([u8; 55], &'static [&'static str])> {
        None
    }

    pub fn request(&mut self) -> Option<&mut Capture> {
        None
    }

    pub fn add_response(&mut self, _: &[u8]) {}

    pub fn answered(&mut self, _: u16) {}

    pub fn broke_off(&mut self) {}

    pub fn refused(&mut self, response: Response, _: bool) -> Response {
        response
    }

    pub fn with_id(&self, response: Response) -> Response {
        response
    }
}

/// No monitoring.
#[derive(Clone, Default)]
pub struct Monitoring;

impl Monitoring {
    pub fn new(_: &Settings) -> Self {
        Monitoring
    }

    pub fn start(&self, _: &Satellite, _: &crate::shared::Shared, _: &str) -> io::Result<()> {
        Ok(())
    }

    pub fn stop(&self) {}

    pub fn watch(&self, _: &Deployment, _: &Models, _: u16) -> Option<Watched> {
        None
    }

    pub fn is_wanted(&self, _: &Deployment) -> bool {
        false
    }

    pub fn note(&self, _: &Deployment) {}

    pub fn note_status(&self, _: &str, _: &str) {}

    pub fn retain(&self, _: impl Fn(&str) -> bool) {}

    pub fn count_response(&self, _: u16) {}
}
