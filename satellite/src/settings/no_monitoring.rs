//! A replacement for the settings of monitoring, without the feature `monitoring`.

use satellite_sdk::Variables;

/// There are none.
#[derive(Debug, Clone)]
pub struct MonitoringSettings;

impl MonitoringSettings {
    pub fn read(_: &mut Variables) -> Self {
        MonitoringSettings
    }

    pub fn is_enabled(&self) -> bool {
        false
    }
}
