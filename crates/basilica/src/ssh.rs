//! SSH credentials, parsed strictly because they become arguments of a program.

use std::fmt;
use std::process::Command;

use satellite_core::http::Secret;

/// SSH access to a deployment, with the private key that belongs to the public key it
/// was deployed with.
///
/// `Display` prints the command to run. Anything else in the service's text is never
/// printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshAccess {
    /// The user.
    pub user: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl SshAccess {
    /// Parses `ssh user@host -p port`, `user@host:port` or `host:port`. `None` for
    /// anything that `ssh` might interpret as an option.
    pub(super) fn parse(credentials: &Secret) -> Option<Self> {
        let text = credentials.expose().trim();
        let (place, port) = match text.strip_prefix("ssh ") {
            Some(command) => {
                let words: Vec<_> = command.split_whitespace().collect();
                match words[..] {
                    [place, "-p", port] | ["-p", port, place] => (place, Some(port)),
                    [place] => (place, None),
                    _ => return None,
                }
            }
            None => match text.rsplit_once(':') {
                Some((place, port)) if !place.contains(':') || place.ends_with(']') => {
                    (place, Some(port))
                }
                _ => (text, None),
            },
        };
        let (user, host) = place.rsplit_once('@').unwrap_or(("root", place));
        let host = host.trim_matches(['[', ']']);
        let port = port.map_or(Some(22), |port| port.parse().ok().filter(|port| *port > 0))?;
        let is_fit = |text: &str, others: &str| {
            let mut chars = text.chars();
            chars
                .next()
                .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                && chars.all(|c| c.is_ascii_alphanumeric() || others.contains(c))
        };
        (is_fit(user, "-_.") && is_fit(host, "-_.:")).then(|| SshAccess {
            user: user.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// The `ssh` command with its arguments; add your own.
    ///
    /// ```no_run
    /// # fn f(access: &satellite_basilica::SshAccess) -> std::io::Result<()> {
    /// let output = access.command().arg("nvidia-smi").output()?;
    /// # Ok(()) }
    /// ```
    pub fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-p", &self.port.to_string(), "-l", &self.user, "--"]);
        command.arg(&self.host);
        command
    }
}

impl fmt::Display for SshAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh -p {} {}@{}", self.port, self.user, self.host)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        SshAccess::parse(&text.into()).map(|access| access.to_string())
    }

    #[test]
    fn every_known_format_is_parsed() {
        for (text, expected) in [
            ("ssh ubuntu@1.2.3.4 -p 2222", "ssh -p 2222 ubuntu@1.2.3.4"),
            ("ssh -p 2222 ubuntu@1.2.3.4", "ssh -p 2222 ubuntu@1.2.3.4"),
            (
                "root@host.example.com:22022",
                "ssh -p 22022 root@host.example.com",
            ),
            (
                "host.example.com:22022",
                "ssh -p 22022 root@host.example.com",
            ),
            ("me@host", "ssh -p 22 me@host"),
            ("me@[2001:db8::1]:22", "ssh -p 22 me@2001:db8::1"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn ssh_options_and_shell_commands_are_rejected() {
        for text in [
            "",
            "-oProxyCommand=evil@host:22",
            "me@-oProxyCommand=evil:22",
            "me@host;rm -rf /:22",
            "$(evil)@host:22",
            "me@host:0",
            "me@host:99999",
            "ssh me@host -p 22 -oProxyCommand=evil",
            "me:password@host:22",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_yields_at_most_user_host_and_port(text in "\\PC{0,40}") {
            if let Some(access) = SshAccess::parse(&text.as_str().into()) {
                prop_assert!(!access.user.starts_with('-') && !access.host.starts_with('-'));
                prop_assert_eq!(access.to_string().split(' ').count(), 4);
            }
        }
    }
}
