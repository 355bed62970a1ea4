//! The variants of models, and what serves each of them. [`TABLE`] is the single list of
//! them: the registration, the parser of `LUML_MODEL_IMAGES`, `check` and the table in the
//! README are derived from it.

use satellite_sdk::Variables;
use serde_json::{Map, Value};

use crate::engine_kind::EngineKind;

/// A variant of models: the `variant` in the manifest of an artifact.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// What it is, for the README.
    pub models: &'static str,
    /// Its image that is in no registry: it is never pulled.
    local_image: &'static str,
    /// The command that makes that image.
    make: &'static str,
    /// Whether `luml-model-server` serves it. Its image is then the default.
    is_native: bool,
}

/// All variants that the platform knows.
pub static TABLE: [Variant; 2] = [
    Variant {
        name: "pipeline",
        models: "a graph of ONNX models, which needs no Python",
        local_image: concat!("luml-model-server:", env!("CARGO_PKG_VERSION")),
        make: "luml-model-server image --load",
        is_native: true,
    },
    Variant {
        name: "pyfunc",
        models: "Python code with its packages",
        local_image: "luml-random-svc:latest",
        make: "docker build --tag luml-random-svc:latest model_servers/default",
        is_native: false,
    },
];

/// The program that serves native variants.
const PROGRAM: &str = "luml-model-server";

/// What serves each variant.
#[derive(Debug, Clone)]
pub struct Images(Vec<Served>);

/// The image that serves a variant, with `LUML_ENGINE=process` the path of the program; or
/// why this satellite does not serve it, which names the setting.
pub type Served = (&'static Variant, Result<String, String>);

impl Images {
    /// Reads the variables and records invalid values in them.
    pub fn read(variables: &mut Variables, engine: EngineKind) -> Self {
        let expected = "a comma separated list of variants and their images, such as \
                        pipeline=IMAGE,pyfunc=IMAGE";
        let images = variables.value("LUML_MODEL_IMAGES", Vec::new(), expected, images);
        let image = variables.text("LUML_MODEL_IMAGE");
        let expected = "a comma separated list of pyfunc and pipeline";
        let wanted = variables.value("LUML_MODEL_VARIANTS", Vec::new(), expected, names);
        let program = engine.is_process().then(|| program(variables));
        let served = |variant: &'static Variant| -> Result<String, String> {
            let name = variant.name;
            if !wanted.is_empty() && !wanted.contains(&variant) {
                return Err(format!("LUML_MODEL_VARIANTS leaves {name} models out"));
            }
            match &program {
                Some(_) if !variant.is_native => Err(format!(
                    "LUML_ENGINE=process serves no {name} models: use a container engine, and \
                     set LUML_MODEL_IMAGES={name}=IMAGE"
                )),
                Some(program) => program.clone(),
                None => {
                    let own = images.iter().find(|(v, _)| *v == variant);
                    let default = variant.is_native.then(|| variant.local_image.to_owned());
                    own.map(|(_, image)| image.clone())
                        .or_else(|| image.clone())
                        .or(default)
                        .ok_or_else(|| {
                            format!(
                                "no image is set for {name} models: set \
                                 LUML_MODEL_IMAGES={name}=IMAGE"
                            )
                        })
                }
            }
        };
        let images: Vec<Served> = TABLE.iter().map(|v| (v, served(v))).collect();
        for (variant, served) in &images {
            if let (true, Err(why)) = (wanted.contains(variant), served) {
                variables.problem("LUML_MODEL_VARIANTS", why);
            }
        }
        Images(images)
    }

    /// Each variant, and what serves it.
    pub fn iter(&self) -> impl Iterator<Item = &Served> {
        self.0.iter()
    }

    /// The names of the variants that this satellite serves.
    pub fn served(&self) -> Vec<&'static str> {
        let served = self.iter().filter(|(_, image)| image.is_ok());
        served.map(|(variant, _)| variant.name).collect()
    }

    /// Whether this image serves a variant.
    pub fn contains(&self, wanted: &str) -> bool {
        self.iter().any(|(_, image)| image.as_deref() == Ok(wanted))
    }

    /// The image for an artifact of this variant.
    ///
    /// # Errors
    /// Why there is none, in a sentence that names the setting.
    pub fn select(&self, variant: &str) -> Result<&str, String> {
        match self.iter().find(|(known, _)| known.name == variant) {
            Some((_, Ok(image))) => Ok(image),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err(format!(
                "the artifact's variant is {variant:?}; expected pipeline or pyfunc"
            )),
        }
    }

    /// The variant of an artifact whose record does not tell: an image with Python can
    /// serve the others too.
    pub fn fallback(&self) -> &'static str {
        let served = self.0.iter().filter(|(_, image)| image.is_ok());
        served
            .min_by_key(|(variant, _)| variant.is_native)
            .map_or(TABLE[0].name, |(variant, _)| variant.name)
    }
}

/// The variant in an artifact's record on the platform.
pub fn of(artifact: &Map<String, Value>) -> Option<&str> {
    artifact.get("manifest")?.get("variant")?.as_str()
}

/// The command that makes this image, if it is in no registry: anyone could publish an
/// image with its name there and would decide what runs.
pub fn make_command(image: &str) -> Option<&'static str> {
    let name = |image: &str| image.split(':').next().map(str::to_owned);
    let local = TABLE.iter().find(|v| name(v.local_image) == name(image))?;
    Some(local.make)
}

/// Parses the list; rejects unknown variants, invalid images and duplicates.
fn images(text: &str) -> Option<Vec<(&'static Variant, String)>> {
    let mut images: Vec<(&Variant, String)> = Vec::new();
    for item in text.split(',') {
        let (name, image) = item.split_once('=')?;
        let variant = variant(name.trim())?;
        let image = image.trim();
        if !is_image(image) || images.iter().any(|(known, _)| *known == variant) {
            return None;
        }
        images.push((variant, image.to_owned()));
    }
    Some(images)
}

fn names(text: &str) -> Option<Vec<&'static Variant>> {
    text.split(',').map(|name| variant(name.trim())).collect()
}

fn variant(name: &str) -> Option<&'static Variant> {
    TABLE.iter().find(|variant| variant.name == name)
}

/// Rejects everything that the engine's program could parse as an option.
pub fn is_image(image: &str) -> bool {
    !image.is_empty()
        && !image.starts_with('-')
        && image.len() <= 512
        && image
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
}

/// The model server's program: `LUML_MODEL_SERVER`; otherwise beside this program, or in PATH.
fn program(variables: &mut Variables) -> Result<String, String> {
    if let Some(path) = variables.text("LUML_MODEL_SERVER") {
        if !is_program(&path) {
            let expected = format!("expected the path of a program, found {path:?}");
            variables.problem("LUML_MODEL_SERVER", expected);
        }
        return Ok(path);
    }
    let own = std::env::current_exe().ok();
    let own = own.and_then(|path| Some(path.parent()?.to_owned()));
    let folders = variables.text("PATH").unwrap_or_default();
    let mut candidates = own
        .into_iter()
        .chain(std::env::split_paths(&folders).filter(|folder| folder.is_absolute()))
        .map(|folder| folder.join(PROGRAM).display().to_string());
    candidates.find(|path| is_program(path)).ok_or_else(|| {
        format!(
            "{PROGRAM} is neither beside this program nor in PATH: install it, or set \
             LUML_MODEL_SERVER to its path"
        )
    })
}

/// Whether there is a program that can be executed.
pub fn is_program(path: &str) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    #[cfg(unix)]
    let is_executable =
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let is_executable = true;
    path.contains('/') && metadata.is_file() && is_executable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images_of(set: &'static [(&'static str, &'static str)]) -> (Images, Result<(), String>) {
        let lookup = move |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut variables = Variables::from_lookup(lookup);
        let engine = match lookup("LUML_ENGINE").as_deref() {
            Some("process") => EngineKind::Process,
            _ => EngineKind::Docker,
        };
        let images = Images::read(&mut variables, engine);
        (images, variables.finish().map_err(|e| e.to_string()))
    }

    #[test]
    fn the_readme_contains_the_variant_table() {
        let rows: Vec<String> = TABLE
            .iter()
            .map(|v| {
                let default = if v.is_native { v.local_image } else { "none" };
                let process = if v.is_native { PROGRAM } else { "not served" };
                format!("| `{}` | {} | {default} | {process} |\n", v.name, v.models)
            })
            .collect();
        let table = format!(
            "| variant | models | default image | with `LUML_ENGINE=process` |\n|---|---|---|---|\n{}\n",
            rows.concat()
        );
        let readme = include_str!("../README.md");
        assert!(
            readme.contains(&table),
            "README.md lacks this table:\n{table}"
        );
    }

    #[test]
    fn a_variant_is_served_if_it_has_an_image() {
        let own = TABLE[0].local_image;
        for (set, pipeline, pyfunc) in [
            (&[] as &[_], Some(own), None),
            (
                &[("LUML_MODEL_IMAGE", "both:1")],
                Some("both:1"),
                Some("both:1"),
            ),
            (
                &[("LUML_MODEL_IMAGES", "pyfunc=py:1")],
                Some(own),
                Some("py:1"),
            ),
            (
                &[(
                    "LUML_MODEL_IMAGES",
                    " pipeline = a/b:1 , pyfunc = py@sha256:0 ",
                )],
                Some("a/b:1"),
                Some("py@sha256:0"),
            ),
            (
                &[
                    ("LUML_MODEL_IMAGES", "pyfunc=py:1"),
                    ("LUML_MODEL_IMAGE", "both:1"),
                ],
                Some("both:1"),
                Some("py:1"),
            ),
            (
                &[
                    ("LUML_MODEL_IMAGE", "both:1"),
                    ("LUML_MODEL_VARIANTS", "pyfunc"),
                ],
                None,
                Some("both:1"),
            ),
        ] {
            let (images, read) = images_of(set);
            assert_eq!(read, Ok(()), "{set:?}");
            assert_eq!(images.select("pipeline").ok(), pipeline, "{set:?}");
            assert_eq!(images.select("pyfunc").ok(), pyfunc, "{set:?}");
            let served: Vec<_> = [("pipeline", pipeline), ("pyfunc", pyfunc)]
                .iter()
                .filter_map(|(name, image)| image.map(|_| *name))
                .collect();
            assert_eq!(images.served(), served, "{set:?}");
        }
    }

    #[test]
    fn a_variant_without_an_image_names_the_setting() {
        let (images, _) = images_of(&[]);
        let why = images.select("pyfunc").unwrap_err();
        assert!(why.contains("LUML_MODEL_IMAGES=pyfunc="), "{why}");
        let (images, read) =
            images_of(&[("LUML_ENGINE", "process"), ("LUML_MODEL_SERVER", "/bin/sh")]);
        assert_eq!((read, images.select("pipeline")), (Ok(()), Ok("/bin/sh")));
        let why = images.select("pyfunc").unwrap_err();
        assert!(why.contains("LUML_ENGINE=process"), "{why}");
        let (images, _) = images_of(&[("LUML_ENGINE", "process")]);
        let why = images.select("pipeline").unwrap_err();
        assert!(why.contains("LUML_MODEL_SERVER"), "{why}");
        assert!(images.served().is_empty());
        assert!(images.select("onnx").unwrap_err().contains("\"onnx\""));
    }

    #[test]
    fn an_artifact_without_a_variant_gets_the_image_with_python() {
        let (images, _) = images_of(&[]);
        assert_eq!(images.fallback(), "pipeline");
        let (images, _) = images_of(&[("LUML_MODEL_IMAGES", "pyfunc=py:1")]);
        assert_eq!(images.fallback(), "pyfunc");
    }

    #[test]
    fn invalid_lists_are_rejected_and_the_setting_is_named() {
        for (name, value) in [
            ("LUML_MODEL_IMAGES", "onnx=a:1"),
            ("LUML_MODEL_IMAGES", "pipeline"),
            ("LUML_MODEL_IMAGES", "pipeline="),
            ("LUML_MODEL_IMAGES", "pipeline=--privileged"),
            ("LUML_MODEL_IMAGES", "pipeline=a:1,pipeline=b:1"),
            ("LUML_MODEL_VARIANTS", "pyfunc"),
            ("LUML_MODEL_VARIANTS", "pyfunc,"),
        ] {
            let set: &'static [_] = Box::leak(Box::new([(name, value)]));
            let problem = images_of(set).1.unwrap_err();
            assert!(problem.contains(name), "{name}={value}: {problem}");
        }
    }

    #[test]
    fn local_images_are_known_by_name_whatever_their_tag() {
        assert_eq!(
            make_command("luml-model-server:9"),
            Some("luml-model-server image --load")
        );
        assert!(make_command("luml-random-svc").is_some());
        assert_eq!(make_command("registry/luml-model-server:9"), None);
    }
}
