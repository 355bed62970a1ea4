//! The folders and files of this machine that a task names.

use std::path::PathBuf;

use super::document::Node;
use crate::output::Problem;

/// Folders and files of this machine that a task names.
pub struct Files<'a> {
    /// The task file, for errors.
    pub name: &'a str,
    pub is_local: bool,
}

impl Files<'_> {
    /// Makes paths absolute for a server on this machine. Any other server cannot read them.
    pub fn resolve(&self, document: &mut Node) -> Result<(), Problem> {
        if let Some(folder @ Node::Scalar { .. }) = document.get_mut("workdir") {
            self.path("workdir", folder)?;
        }
        if let Some(Node::Map(mounts)) = document.get_mut("file_mounts") {
            for (_, source) in mounts {
                match source {
                    Node::Scalar { .. } => self.path("file_mounts", source)?,
                    bucket => match bucket.get_mut("source") {
                        Some(Node::List(paths)) => {
                            paths
                                .iter_mut()
                                .try_for_each(|path| self.path("file_mounts", path))?;
                        }
                        Some(path) => self.path("file_mounts", path)?,
                        None => {}
                    },
                }
            }
        }
        Ok(())
    }

    fn path(&self, key: &str, path: &mut Node) -> Result<(), Problem> {
        let Some(text) = path.as_text().filter(|text| !text.contains("://")) else {
            return Ok(());
        };
        if !self.is_local {
            return Err(Problem::usage(format_args!(
                "{}: {key}: {text}: the server cannot read this machine's files, and this command \
                 does not upload them: name a bucket (s3://…), a git repository (workdir: {{url: \
                 …}}) or an image that contains them",
                self.name
            )));
        }
        let text = match (text.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        // Relative to the current folder, as in the official client.
        let absolute = std::path::absolute(text)?;
        *path = Node::text(absolute.to_string_lossy());
        Ok(())
    }
}
