//! A store for a sidecar that keeps no state.

use satellite_sdk::state::{Content, OpenRequest, Opened, Store};
use satellite_sdk::{Error, Result};

#[derive(Debug)]
pub struct NoStore;

impl Store for NoStore {
    fn open(&mut self, _: &OpenRequest<'_>) -> Result<Opened> {
        Ok(Opened::default())
    }

    fn save(&mut self, _: &Content) -> Result<u64> {
        Ok(1)
    }

    fn release(&mut self, _: &Content) -> Result<u64> {
        Ok(1)
    }

    fn move_aside(&mut self) -> Result<String> {
        Err(Error::new("there is no state"))
    }
}
