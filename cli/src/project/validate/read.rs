//! Reads manifests from files, folders and stdin.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use saphyr_parser::Parser;
use serde_json::{Map, Value};

/// More is no manifest: the API accepts 3 MiB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// An object of a manifest, and where it is.
#[derive(Debug)]
pub struct Object {
    pub place: String,
    pub value: Value,
}

impl Object {
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default")
    }

    /// For messages: `k8s/all.yaml: Deployment my-app`.
    pub fn label(&self) -> String {
        format!("{}: {} {}", self.place, self.kind(), self.name())
    }
}

/// All objects of these files and folders, `-` for stdin, and what is no object.
pub fn objects(paths: &[PathBuf]) -> (Vec<Object>, Vec<String>) {
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        for (place, text) in texts(path, &mut problems) {
            match parse(&place, &text) {
                Ok(found) => objects.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
    }
    (objects, problems)
}

fn texts(path: &Path, problems: &mut Vec<String>) -> Vec<(String, String)> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin()
            .lock()
            .take(MAX_BYTES)
            .read_to_string(&mut text);
        return match read {
            Ok(_) => vec![("stdin".to_owned(), text)],
            Err(e) => {
                problems.push(format!("cannot read stdin: {e}"));
                vec![]
            }
        };
    }
    let mut texts = Vec::new();
    for path in files(path, problems) {
        let shown = path.display().to_string();
        let is_large = fs::metadata(&path).is_ok_and(|file| file.len() > MAX_BYTES);
        match fs::read_to_string(&path) {
            _ if is_large => problems.push(format!("{shown}: larger than any manifest")),
            Ok(text) => texts.push((shown, text)),
            Err(e) => problems.push(format!("cannot read {shown}: {e}")),
        }
    }
    texts
}

/// The manifests in a folder, in the order of their names, as `kubectl apply -f` does.
fn files(path: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => {
            problems.push(format!("cannot read {}: {e}", path.display()));
            return vec![];
        }
    };
    let is_manifest = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(is_manifest).collect();
    paths.sort();
    if paths.is_empty() {
        problems.push(format!("{}: no manifests in this folder", path.display()));
    }
    paths
}

fn parse(place: &str, text: &str) -> Result<Vec<Object>, String> {
    let documents = Yaml::load_from_parser(&mut Parser::new_from_str(text))
        .map_err(|e| format!("{place}: {e}"))?;
    let mut objects = Vec::new();
    for document in &documents {
        let value = value(document).map_err(|problem| format!("{place}: {problem}"))?;
        if value.is_null() {
            continue; // an empty document
        }
        if !value["kind"].is_string() || !value["apiVersion"].is_string() {
            return Err(format!(
                "{place}: expected objects with apiVersion and kind"
            ));
        }
        match (value["kind"].as_str(), value["items"].as_array()) {
            (Some(kind), Some(items)) if kind.ends_with("List") => {
                let items = items.iter().map(|item| Object {
                    place: place.to_owned(),
                    value: item.clone(),
                });
                objects.extend(items);
            }
            _ => objects.push(Object {
                place: place.to_owned(),
                value,
            }),
        }
    }
    Ok(objects)
}

fn value(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::Integer(value) => Value::from(*value),
            Scalar::FloatingPoint(value) => Value::from(value.into_inner()),
            Scalar::String(text) => Value::from(text.as_ref()),
        },
        Yaml::Sequence(items) => Value::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(map) => {
            let mut object = Map::new();
            for (key, node) in map {
                let key = key.as_str().ok_or("expected texts as keys")?;
                object.insert(key.to_owned(), value(node)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(_, node) => value(node)?,
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Alias(_) | Yaml::BadValue => return Err("a value cannot be read".to_owned()),
    })
}
