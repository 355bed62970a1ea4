//! Gets an artifact: downloads it, or opens a file or a folder.

use std::path::Path;
use std::time::Instant;

use satellite_sdk::extras::{Download, temp_directory};

use crate::artifact::{Artifact, Files};
use crate::failure::{Failure, Kind, Result};
use crate::pipeline::Pipeline;
use crate::settings::Settings;

/// Reads the artifact at a path or an http(s) address.
pub fn artifact(place: &str, settings: &Settings) -> Result<Artifact> {
    let is_url = ["http://", "https://"].iter().any(|s| place.starts_with(s));
    let files = match is_url {
        true => downloaded(place, settings)?,
        false => Files::open(
            Path::new(place.strip_prefix("file://").unwrap_or(place)),
            &settings.limits,
        )?,
    };
    Artifact::read(files, &settings.limits)
}

/// Reads the artifact, builds its model and computes once.
pub fn model(place: &str, settings: &Settings) -> Result<(Artifact, Pipeline)> {
    let started = Instant::now();
    let artifact = artifact(place, settings)?;
    let read = started.elapsed();
    let pipeline = Pipeline::build(&artifact, settings.plans)?;
    pipeline.warm_up()?;
    log::info!(
        "{} is loaded: {} ms to get it, {} ms to build and run it",
        artifact.title(),
        read.as_millis(),
        (started.elapsed() - read).as_millis()
    );
    Ok((artifact, pipeline))
}

fn downloaded(url: &str, settings: &Settings) -> Result<Files> {
    let system = |e| Failure::new(Kind::System, format_args!("no folder for the download: {e}"));
    // Removed once the file is open, which needs no name any more.
    let folder = temp_directory().map_err(system)?;
    let path = folder.path().join("artifact");
    let mut download = Download::new(url).max_bytes(settings.download_bytes);
    if let Some(sha256) = &settings.sha256 {
        download = download.sha256(sha256.clone());
    }
    let file = download.to(&path).map_err(|e| {
        let kind = match () {
            () if e.is_retryable() => Kind::Temporary,
            () if e.status().is_some() => Kind::Missing,
            () => Kind::Invalid,
        };
        Failure::new(kind, format_args!("the artifact cannot be downloaded: {e}"))
    })?;
    log::info!("downloaded {} bytes, sha256 {}", file.bytes, file.sha256);
    let opened = std::fs::File::open(&path).map_err(|e| system(e.into()))?;
    Files::of_archive(opened, &settings.limits)
        .map_err(|failure| failure.within("the downloaded artifact"))
}
