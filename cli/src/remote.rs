//! The server of a command, and the environment variables of remote work.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use satellite_sdk::Secret;
use satellite_sdk::compute::TimeLimits;
use std::time::Duration;

use crate::output::Problem;

/// The address and the token of a server. A token on the command line would be visible to
/// all users of the machine, so there is no option for it.
#[derive(Args, Debug, Clone, Default)]
pub struct Server {
    /// Address of the server, instead of the environment variable
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub url: Option<String>,
    /// File with the token, instead of the environment variable; - reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub token_file: Option<PathBuf>,
}

impl Server {
    /// The token in `--token-file`, without surrounding white space.
    pub fn token(&self) -> Result<Option<Secret>, Problem> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let token = read(path)?.trim().to_owned();
        match token.is_empty() {
            true => Err(Problem::new(format_args!("{} is empty", path.display())).with_code(78)),
            false => Ok(Some(Secret::from(token))),
        }
    }
}

/// Limits for a person who waits and can press Ctrl-C: work may take a month. The variables
/// of the client, which begin with `prefix`, override the others.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The time limits.
    pub limits: TimeLimits,
    /// How often a call is retried, unless a variable says so: a person sees a server that
    /// is down soon, and decides.
    pub max_retries: Option<u32>,
}

impl Patience {
    /// Reads the variables.
    pub fn of(prefix: &str) -> Result<Self, Problem> {
        let mut variables = satellite_sdk::Variables::from_env();
        let mut limits = TimeLimits::default();
        limits.work = Duration::from_secs(30 * 86_400);
        let name = format!("{prefix}REQUEST_TIMEOUT");
        limits.request = variables.duration(&name, Duration::from_secs(600));
        let retries = variables.text(&format!("{prefix}MAX_RETRIES"));
        variables.finish()?;
        Ok(Patience {
            limits,
            max_retries: retries.is_none().then_some(2),
        })
    }
}

/// The text of a file; `-` is standard input.
pub fn read(path: &Path) -> Result<String, Problem> {
    let text = match path.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(path),
    };
    text.map_err(|error| Problem::new(format_args!("cannot read {}: {error}", path.display())))
}

/// Variables for remote work.
#[derive(Args, Debug, Clone, Default)]
pub struct Variables {
    /// Sets an environment variable; without a value it is taken from this environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Reads environment variables from a file with lines NAME=VALUE
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

impl Variables {
    /// The variables; those of options override those of files.
    pub fn all(&self) -> Result<Vec<(String, Secret)>, Problem> {
        let mut all = Vec::new();
        for path in &self.env_file {
            for (n, line) in read(path)?.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let line = line.strip_prefix("export ").unwrap_or(line);
                let (name, value) = line.split_once('=').ok_or_else(|| {
                    let path = path.display();
                    Problem::usage(format_args!("{path}:{}: expected NAME=VALUE", n + 1))
                })?;
                all.push((checked(name.trim_end())?, unquoted(value.trim()).into()));
            }
        }
        for text in &self.env {
            all.push(pair("--env", text)?);
        }
        Ok(all)
    }
}

/// `NAME=VALUE`, or `NAME` with its value in this environment.
pub fn pair(option: &str, text: &str) -> Result<(String, Secret), Problem> {
    match text.split_once('=') {
        Some((name, value)) => Ok((checked(name)?, value.to_owned().into())),
        None => {
            let name = checked(text)?;
            let value = std::env::var(&name).map_err(|_| {
                Problem::usage(format_args!(
                    "{option} {name}: no value is given and this environment has none"
                ))
            })?;
            Ok((name, value.into()))
        }
    }
}

fn checked(name: &str) -> Result<String, Problem> {
    let mut bytes = name.bytes();
    let is_name = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(Problem::usage(format_args!(
            "{name:?} is not the name of an environment variable"
        ))),
    }
}

fn unquoted(text: &str) -> String {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let inner = quoted('"').or_else(|| quoted('\''));
    inner.unwrap_or(text).to_owned()
}

/// A time such as `90`, `90s`, `10m` or `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut variables = satellite_sdk::Variables::from_lookup({
        let text = text.to_owned();
        move |_| Some(text.clone())
    });
    let duration = variables.duration("time", Duration::ZERO);
    match variables.finish().is_ok() && !duration.is_zero() {
        true => Ok(duration),
        false => Err("expected a time such as 90s, 10m or 1h30m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_files_and_options() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        fs::write(&path, "# mine\nexport A=1\nB=\"two words\"\n\nC='x'\n").unwrap();
        let variables = Variables {
            env: vec!["B=3=4".into(), "PATH".into()],
            env_file: vec![path],
        };
        let all = variables.all().unwrap();
        let all: Vec<_> = all.iter().map(|(n, v)| (n.as_str(), v.expose())).collect();
        assert_eq!(
            all[..4],
            [("A", "1"), ("B", "two words"), ("C", "x"), ("B", "3=4")]
        );
        assert_eq!(all[4], ("PATH", std::env::var("PATH").unwrap().as_str()));
    }

    #[test]
    fn a_variable_without_a_value_or_a_valid_name_is_rejected() {
        assert!(pair("--env", "SATELLITE_NO_SUCH_VARIABLE").is_err());
        for name in ["", "1A=x", "A-B=x", "=x", "A B=x"] {
            assert_eq!(pair("--env", name).unwrap_err().code(), 2, "{name}");
        }
    }

    #[test]
    fn a_duration_has_units_or_is_in_seconds() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err() && duration("0").is_err() && duration("").is_err());
    }
}
