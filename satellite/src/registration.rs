//! The satellite's registration with the platform.

use satellite_sdk::{Builder, DeployCapability, Registration};
use serde_json::{Value, json};

use crate::parameters;
use crate::settings::Settings;

/// The kind of satellite and its version: the same for all satellites of a kind.
pub const SLUG: &str = concat!("luml-satellite-", env!("CARGO_PKG_VERSION"));

/// Configures the satellite to register at its start.
pub fn with_registration(builder: Builder, settings: &Settings) -> Builder {
    let builder = builder
        .base_url(&settings.base_url)
        .slug(SLUG)
        .capability("deploy", deploy(settings));
    match settings.monitoring.is_enabled() {
        true => builder.capability("monitoring", monitoring()),
        false => builder,
    }
}

/// The same registration, to be sent immediately.
pub fn registration(settings: &Settings) -> Registration {
    let registration = Registration::new(&settings.base_url)
        .slug(SLUG)
        .capability("deploy", deploy(settings));
    match settings.monitoring.is_enabled() {
        true => registration.capability("monitoring", monitoring()),
        false => registration,
    }
}

fn monitoring() -> Value {
    json!({ "version": 1 })
}

/// The model variants and deployment parameters that this satellite supports.
fn deploy(settings: &Settings) -> DeployCapability {
    let fields = parameters::TABLE.iter().filter_map(|p| p.field(settings));
    let deploy = DeployCapability::new(settings.images.served());
    fields.fold(deploy, DeployCapability::field)
}
