//! `luml-satellite check`: whether everything is there, a line each.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use satellite_sdk::{Builder, PlatformClient, SatelliteStatus, Variables};
use serde_json::Value;

use crate::engine::{Engine, Fault};
use crate::settings::Settings;
use crate::{image, registration};

/// How long the platform may take for one line.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn check() -> ExitCode {
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let mut report = Report { failed: 0 };

    let platform = check_settings(Builder::new().variables(variables), &mut report);
    let are_settings_wrong = platform.is_none();
    check_engine(&Engine::new(&settings), &settings, &mut report);
    match platform {
        Some(platform) => {
            check_token(&platform, &mut report);
            check_registration(&platform, &settings, &mut report);
        }
        None => {
            report.skipped("token", "right settings");
            report.skipped("register", "right settings");
        }
    }
    match report.failed {
        0 => ExitCode::SUCCESS,
        _ if are_settings_wrong => ExitCode::from(78),
        _ => ExitCode::FAILURE,
    }
}

fn check_settings(mut builder: Builder, report: &mut Report) -> Option<PlatformClient> {
    let checked = builder.settings().and_then(|settings| {
        let platform = builder.platform()?;
        Ok((settings.misspelt, platform))
    });
    match checked {
        Ok((misspelt, platform)) => {
            report.good("settings", format_args!("for {}", platform.url()));
            for sentence in misspelt {
                report.doubtful("settings", sentence);
            }
            Some(platform)
        }
        Err(error) => {
            let remedy = "correct these variables in the environment of the satellite; \
                          under systemd, in its EnvironmentFile";
            report.bad("settings", &error, remedy);
            None
        }
    }
}

fn check_token(platform: &PlatformClient, report: &mut Report) {
    match platform.within(PATIENCE).list_deployments() {
        Ok(deployments) => {
            report.good(
                "token",
                format_args!("accepted; {} deployments", deployments.len()),
            );
        }
        Err(e) if e.is_unauthorized() || e.is_forbidden() => {
            report.bad(
                "token",
                &e,
                "make a new one on the platform's Satellites page",
            );
        }
        Err(e) => report.bad(
            "token",
            &e,
            "is LUML_PLATFORM_URL right, and is it reachable?",
        ),
    }
}

fn check_engine(engine: &Engine, settings: &Settings, report: &mut Report) {
    match engine.version() {
        Ok(version) => report.good("engine", format_args!("{} {version}", settings.docker)),
        Err(fault) => {
            let remedy = "start it, see DOCKER_HOST, and let this user in (group docker)";
            report.bad("engine", &fault, remedy);
            report.skipped("network", "the engine");
            return report.skipped("image", "the engine");
        }
    }
    let network = &settings.network;
    match engine.has_network(network) {
        Ok(true) => report.good("network", network),
        Ok(false) => report.good("network", format_args!("{network}, made when it is needed")),
        Err(fault) => report.bad("network", &fault, "see LUML_NETWORK"),
    }
    let image = &settings.image;
    match engine.has_image(image) {
        Ok(true) => report.good("image", image),
        Ok(false) => {
            let fault = Fault::NoImage(format!("{image} is not on this host"));
            report.bad("image", &fault, &image::remedy(image, settings));
        }
        Err(fault) => report.bad("image", &fault, "see LUML_MODEL_IMAGE"),
    }
}

/// Registers as the satellite does when it starts, and reads the platform's record as
/// its page does, which offers a satellite only for the variants that it names there.
fn check_registration(platform: &PlatformClient, settings: &Settings, report: &mut Report) {
    const WHAT: &str = "register";
    let registration = registration::registration(settings);
    let record = match platform.within(PATIENCE).register(&registration) {
        Ok(record) => record,
        Err(e) if e.is_invalid() => {
            let remedy = "does LUML_BASE_URL name this host, and is the platform older than \
                          this satellite?";
            return report.bad(WHAT, &e, remedy);
        }
        Err(e) => {
            let remedy = "without it nobody can choose this satellite; see the line above";
            return report.bad(WHAT, &e, remedy);
        }
    };
    let deploy = record.extra.get("capabilities").map(|c| &c["deploy"]);
    let variants = deploy.and_then(|deploy| deploy["supported_variants"].as_array());
    let variants: Vec<&str> = variants
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (id, name) = (&record.id, record.name.as_deref().unwrap_or("a satellite"));
    let slug = registration::SLUG;
    if !variants.is_empty() && record.status == SatelliteStatus::Active {
        let variants = variants.join(", ");
        let seen = format!("{name} ({slug}), can be chosen for {variants} models");
        return report.good(WHAT, seen);
    }
    let status = record.status.as_str();
    let seen = format!("the platform has {id} ({slug}) as {status}, and for no model variant");
    let remedy = "nobody can choose it on the platform's page: see LUML_MODEL_VARIANTS, and \
                  whether the platform is as new as this satellite";
    report.bad(WHAT, &seen, remedy);
}

struct Report {
    failed: u32,
}

impl Report {
    fn good(&mut self, what: &str, seen: impl fmt::Display) {
        println!("✓ {what:<9} {seen}");
    }

    fn bad(&mut self, what: &str, seen: &impl fmt::Display, remedy: &str) {
        self.failed += 1;
        let seen = seen.to_string().replace('\n', "\n            ");
        println!("✗ {what:<9} {seen}\n            → {remedy}");
    }

    /// Not known to be wrong, so that the exit code stays.
    fn doubtful(&mut self, what: &str, seen: impl fmt::Display) {
        println!("! {what:<9} {seen}");
    }

    fn skipped(&mut self, what: &str, needs: &str) {
        println!("- {what:<9} skipped: needs {needs}");
    }
}
