//! A replacement for monitoring, without the feature `monitoring`: no deployment is watched.

use std::io;
use std::sync::Arc;

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

/// The same.
pub struct Call(Watched);

impl Call {
    pub fn begin(watched: &Arc<Watched>, _: &Request<'_>) -> Self {
        match **watched {}
    }

    pub fn trace(&self) -> ([u8; 55], bool) {
        match self.0 {}
    }

    pub fn request(&mut self) -> &mut Capture {
        match self.0 {}
    }

    pub fn see(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub fn answered(&mut self, _: u16) {
        match self.0 {}
    }

    pub fn broke_off(&mut self) {
        match self.0 {}
    }

    pub fn refused(self, _: Response, _: bool) -> Response {
        match self.0 {}
    }

    pub fn with_id(&self, _: Response) -> Response {
        match self.0 {}
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

    pub fn watch(&self, _: &Deployment, _: &Models, _: u16) -> Option<Arc<Watched>> {
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
