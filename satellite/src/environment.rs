//! The variables of a deployment's container.

use satellite_sdk::{Deployment, Failure, PlatformClient, Secret};

use crate::engine::Environment;
use crate::settings::{DRAIN, Settings};

/// What the model server needs, then the deployment's secrets, then its own variables; the
/// last of the same name wins. At the end the time that it has to stop, which the engine
/// enforces.
pub fn environment(
    settings: &Settings,
    deployment: &Deployment,
    artifact_url: &str,
    secrets: &[(String, Secret)],
) -> Environment {
    let mut environment = Environment::default();
    for (name, value) in [
        ("SATELLITE_AGENT_URL", Some(&*settings.agent_url)),
        ("MODEL_ARTIFACT_URL", Some(artifact_url)),
        ("DEPLOYMENT_ID", Some(&*deployment.id)),
        ("MODEL_NAME", Some(&*deployment.artifact_name)),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            settings.otel_endpoint.as_deref(),
        ),
    ] {
        if let Some(value) = value {
            environment.set(name, Secret::new(value));
        }
    }
    for (name, value) in secrets {
        environment.set(name, value.clone());
    }
    for (name, value) in &deployment.env_variables {
        environment.set(name, Secret::new(value));
    }
    let drain = settings.drain;
    let drain = format!("{}.{:03}", drain.as_secs(), drain.subsec_millis());
    environment.set(DRAIN, Secret::new(drain));
    environment
}

/// Gets everything from the platform, for a container that is started again.
///
/// # Errors
/// The platform cannot be reached, or the artifact or a secret no longer exists.
pub fn fetch(
    platform: &PlatformClient,
    settings: &Settings,
    deployment: &Deployment,
) -> Result<Environment, Failure> {
    let url = platform.artifact_download_url(&deployment.artifact_id)?;
    let wanted = deployment.env_variables_secrets.iter();
    let secrets: Result<Vec<_>, Failure> = wanted
        .map(|(name, id)| Ok((name.clone(), platform.get_secret(id)?.value)))
        .collect();
    Ok(environment(settings, deployment, &url, &secrets?))
}
