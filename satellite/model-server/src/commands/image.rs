//! `image`: a container image with this program only, in the format of `docker save`.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::elf;
use crate::failure::{Failure, Kind, Result};

/// The tag unless another is asked for.
const TAG: &str = concat!("luml-model-server:", env!("CARGO_PKG_VERSION"));
/// The user of the process in the container: no user of any host.
const USER: &str = "65532:65532";

/// What to write, and where to.
pub struct Request<'a> {
    pub tag: Option<&'a str>,
    /// The executable; this program if none is named.
    pub binary: Option<&'a str>,
    pub output: Option<&'a str>,
    /// Gives the image to `docker load`.
    pub load: bool,
}

/// Writes the image to a file, to stdout or to the engine.
pub fn image(request: &Request<'_>) -> Result<()> {
    let tag = request.tag.unwrap_or(TAG);
    let binary = match request.binary {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe().map_err(|e| {
            Failure::new(Kind::System, format_args!("this program has no file: {e}"))
        })?,
    };
    let missing = |e: io::Error| Failure::missing(format_args!("{}: {e}", binary.display()));
    let program = fs::read(&binary).map_err(missing)?;
    let image = build(&program, tag).map_err(|failure| failure.within(binary.display()))?;
    let output = |e: io::Error| Failure::new(Kind::Output, format_args!("the image: {e}"));
    match (request.load, request.output) {
        (true, None) => load(&image),
        (true, Some(_)) => Err(super::usage("--load and --output exclude each other")),
        (false, None | Some("-")) => io::stdout().lock().write_all(&image).map_err(output),
        (false, Some(path)) => fs::write(path, &image)
            .map_err(|e| Failure::new(Kind::Output, format_args!("{path}: {e}"))),
    }?;
    log::info!("the image {tag} has {} bytes", program.len());
    Ok(())
}

fn build(program: &[u8], tag: &str) -> Result<Vec<u8>> {
    let platform = elf::platform(program).map_err(Failure::unsupported)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if tag.is_empty() || !tag.chars().all(is_plain) {
        return Err(super::usage(format_args!("{tag:?} cannot be the name of an image")));
    }
    let tag = match tag.rsplit('/').next() {
        Some(last) if last.contains(':') => tag.to_owned(),
        _ => format!("{tag}:latest"),
    };
    let layer = archive(&[
        Entry::folder("bin", 0o755),
        Entry::file("bin/luml-model-server", 0o755, program),
        // For downloads.
        Entry::folder("tmp", 0o1777),
    ])?;
    let digest = hex(&layer);
    let mut config = json!({
        "os": "linux",
        "architecture": platform.architecture,
        "config": {
            "Entrypoint": ["/bin/luml-model-server"],
            "ExposedPorts": { "8080/tcp": {} },
            "User": USER,
            "Labels": { "org.opencontainers.image.title": "luml-model-server",
                        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION") },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created_by": "luml-model-server image" }],
    });
    if let Some(variant) = platform.variant {
        config["variant"] = Value::from(variant);
    }
    let config = config.to_string().into_bytes();
    let (config_name, layer_name) = (format!("{}.json", hex(&config)), format!("{digest}.tar"));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": [tag], "Layers": [layer_name] }]).to_string();
    archive(&[
        Entry::file(&layer_name, 0o644, &layer),
        Entry::file(&config_name, 0o644, &config),
        Entry::file("manifest.json", 0o644, manifest.as_bytes()),
    ])
}

struct Entry<'a> {
    name: &'a str,
    mode: u32,
    data: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    fn file(name: &'a str, mode: u32, data: &'a [u8]) -> Self {
        let data = Some(data);
        Entry { name, mode, data }
    }

    fn folder(name: &'a str, mode: u32) -> Self {
        let data = None;
        Entry { name, mode, data }
    }
}

/// A tar archive; the same entries give the same bytes.
fn archive(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let written = entries.iter().try_for_each(|entry| {
        let data = entry.data.unwrap_or_default();
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(match entry.data {
            Some(_) => tar::EntryType::Regular,
            None => tar::EntryType::Directory,
        });
        builder.append_data(&mut header, entry.name, data)
    });
    let bytes = written.and_then(|()| builder.into_inner());
    bytes.map_err(|e| Failure::new(Kind::Output, e))
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load(image: &[u8]) -> Result<()> {
    let engine = std::env::var("LUML_DOCKER").unwrap_or_default();
    let engine = if engine.trim().is_empty() { "docker" } else { engine.trim() };
    let failed = |text: String| Failure::new(Kind::Output, format_args!("{engine} load: {text}"));
    let mut child = Command::new(engine)
        .arg("load")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    // An engine that refuses the image says why itself.
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(image));
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    match (status.success(), sent) {
        (true, Some(Ok(()))) => Ok(()),
        (true, _) => Err(failed("the image was not read".into())),
        (false, _) => Err(failed(status.to_string())),
    }
}
