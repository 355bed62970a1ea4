//! What this satellite tells the platform of itself.

use satellite_sdk::{Builder, DeployCapability, Registration};

use crate::parameters;
use crate::settings::Settings;

/// What kind of satellite it is, and of which version: the same for all of a kind.
pub const SLUG: &str = concat!("luml-satellite-", env!("CARGO_PKG_VERSION"));

/// A satellite that registers when it starts.
pub fn registering(builder: Builder, settings: &Settings) -> Builder {
    builder
        .base_url(&settings.base_url)
        .slug(SLUG)
        .capability("deploy", deploy(settings))
}

/// The same, to be sent at once.
pub fn registration(settings: &Settings) -> Registration {
    Registration::new(&settings.base_url)
        .slug(SLUG)
        .capability("deploy", deploy(settings))
}

/// Which models it can serve, and which parameters of a deployment it obeys.
fn deploy(settings: &Settings) -> DeployCapability {
    let fields = parameters::TABLE.iter().filter_map(|p| p.field(settings));
    let deploy = DeployCapability::new(&settings.model_variants);
    fields.fold(deploy, DeployCapability::field)
}
