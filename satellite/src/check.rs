//! `luml-satellite check`: checks each requirement and prints a line for it.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use satellite_sdk::{Builder, PlatformClient, SatelliteStatus, Variables};
use serde_json::Value;

use crate::engine::{self, Docker, Engine, Fault};
use crate::settings::Settings;
use crate::{image, registration};

/// Timeout for the platform's response, for each check.
const PLATFORM_TIMEOUT: Duration = Duration::from_secs(10);

pub fn check() -> ExitCode {
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let mut report = Report { failed: 0 };

    let platform = check_settings(Builder::new().variables(variables), &mut report);
    let are_settings_invalid = platform.is_none();
    check_engine(&settings, &mut report);
    match platform {
        Some(platform) => {
            check_token(&platform, &mut report);
            check_registration(&platform, &settings, &mut report);
        }
        None => {
            report.skipped("token", "valid settings");
            report.skipped("register", "valid settings");
        }
    }
    match report.failed {
        0 => ExitCode::SUCCESS,
        _ if are_settings_invalid => ExitCode::from(78),
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
            report.pass("settings", format_args!("for {}", platform.url()));
            for sentence in misspelt {
                report.warn("settings", sentence);
            }
            Some(platform)
        }
        Err(error) => {
            let remedy = "correct these variables in the environment of the satellite; \
                          under systemd, in its EnvironmentFile";
            report.fail("settings", &error, remedy);
            None
        }
    }
}

fn check_token(platform: &PlatformClient, report: &mut Report) {
    match platform.within(PLATFORM_TIMEOUT).list_deployments() {
        Ok(deployments) => {
            report.pass(
                "token",
                format_args!("accepted; {} deployments", deployments.len()),
            );
        }
        Err(e) if e.is_unauthorized() || e.is_forbidden() => {
            report.fail(
                "token",
                &e,
                "create a new one on the platform's Satellites page",
            );
        }
        Err(e) => report.fail(
            "token",
            &e,
            "is LUML_PLATFORM_URL right, and is it reachable?",
        ),
    }
}

fn check_engine(settings: &Settings, report: &mut Report) {
    let engine = engine::open(settings);
    let is_process = settings.engine.is_process();
    match engine.version() {
        Ok(version) if is_process => report.pass("engine", version),
        Ok(version) => report.pass("engine", format_args!("{} {version}", settings.docker)),
        Err(fault) => {
            let remedy = match is_process {
                true => "check LUML_STATE_DIR",
                false => {
                    "start it, check DOCKER_HOST, and add this user to the group docker; or set \
                     LUML_ENGINE=process to run models without containers"
                }
            };
            report.fail("engine", &fault, remedy);
            report.skipped("network", "the engine");
            return report.skipped("image", "the engine");
        }
    }
    if !is_process {
        let network = &settings.network;
        match Docker::new(settings).has_network(network) {
            Ok(true) => report.pass("network", network),
            Ok(false) => report.pass("network", format_args!("{network}, created on first use")),
            Err(fault) => report.fail("network", &fault, "check LUML_NETWORK"),
        }
    }
    check_images(&*engine, settings, report);
}

/// A line for each variant: the image, or why the satellite does not serve it.
fn check_images(engine: &dyn Engine, settings: &Settings, report: &mut Report) {
    for (variant, image) in settings.images.iter() {
        let name = variant.name;
        let image = match image {
            Ok(image) => image,
            Err(why) => {
                report.info("image", format_args!("{name}: not served: {why}"));
                continue;
            }
        };
        match engine.has_image(image) {
            Ok(true) => report.pass("image", format_args!("{name}: {image}")),
            Ok(false) => {
                let fault = Fault::NoImage(format!("{name}: {image} is not on this host"));
                report.fail("image", &fault, &image::remedy(image, settings));
            }
            Err(fault) => report.fail("image", &fault, "check LUML_MODEL_IMAGES"),
        }
    }
    if settings.images.served().is_empty() {
        let remedy = "users cannot select this satellite for any model";
        report.fail("image", &"no variant is served", remedy);
    }
}

/// Registers as the satellite does at its start, and reads the platform's record as its
/// page does: the page offers a satellite only for the variants in its record.
fn check_registration(platform: &PlatformClient, settings: &Settings, report: &mut Report) {
    const WHAT: &str = "register";
    let registration = registration::registration(settings);
    let record = match platform.within(PLATFORM_TIMEOUT).register(&registration) {
        Ok(record) => record,
        Err(e) if e.is_invalid() => {
            let remedy = "does LUML_BASE_URL name this host, and is the platform older than \
                          this satellite?";
            return report.fail(WHAT, &e, remedy);
        }
        Err(e) => {
            let remedy = "users cannot select this satellite until it is registered";
            return report.fail(WHAT, &e, remedy);
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
        let seen = format!("{name} ({slug}), selectable for {variants} models");
        return report.pass(WHAT, seen);
    }
    let status = record.status.as_str();
    let seen = format!("on the platform {id} ({slug}) is {status}, with no model variant");
    let remedy = "users cannot select it on the platform's page: check LUML_MODEL_IMAGES, \
                  and whether the platform is older than this satellite";
    report.fail(WHAT, &seen, remedy);
}

struct Report {
    failed: u32,
}

impl Report {
    fn pass(&mut self, what: &str, seen: impl fmt::Display) {
        println!("✓ {what:<9} {seen}");
    }

    fn fail(&mut self, what: &str, seen: &impl fmt::Display, remedy: &str) {
        self.failed += 1;
        let seen = seen.to_string().replace('\n', "\n            ");
        println!("✗ {what:<9} {seen}\n            → {remedy}");
    }

    /// A warning, which does not change the exit code.
    fn warn(&mut self, what: &str, seen: impl fmt::Display) {
        println!("! {what:<9} {seen}");
    }

    fn skipped(&mut self, what: &str, needs: &str) {
        self.info(what, format_args!("skipped: needs {needs}"));
    }

    fn info(&mut self, what: &str, seen: impl fmt::Display) {
        println!("- {what:<9} {seen}");
    }
}
