//! `luml-satellite check`: whether everything is there, a line each.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use satellite_sdk::{Builder, PlatformClient, Variables};

use crate::engine::{Engine, Fault};
use crate::settings::Settings;

pub fn check() -> ExitCode {
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let mut report = Report { failed: 0 };

    let platform = check_settings(Builder::new().variables(variables), &mut report);
    let are_settings_wrong = platform.is_none();
    check_engine(&Engine::new(&settings), &settings, &mut report);
    match platform {
        Some(platform) => check_token(platform, &mut report),
        None => report.skipped("token", "right settings"),
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

fn check_token(platform: PlatformClient, report: &mut Report) {
    match platform.within(Duration::from_secs(10)).list_deployments() {
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
            let remedy = format!("{} pull {image}, or set LUML_MODEL_IMAGE", settings.docker);
            report.bad("image", &fault, &remedy);
        }
        Err(fault) => report.bad("image", &fault, "see LUML_MODEL_IMAGE"),
    }
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
