//! The service manager, through `systemctl`.

use std::process::{Command, Stdio};

use super::Result;
use super::options::Failure;

/// Runs `systemctl` and returns what it prints.
pub fn call(arguments: &[&str]) -> Result<String> {
    let output = Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::io("systemctl", "run", &e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::other(format_args!(
        "systemctl {}: {}, {}",
        arguments.join(" "),
        output.status,
        text.trim()
    )))
}

/// The state of a service.
#[derive(Debug, Default)]
pub struct ServiceState {
    pub load: String,
    pub active: String,
    pub sub: String,
    pub text: String,
    pub since: String,
    pub program: String,
    pub result: String,
    pub pid: u32,
    pub restarts: u32,
    pub exit_status: i32,
}

impl ServiceState {
    pub fn of(service: &str) -> Result<Self> {
        let properties = "--property=LoadState,ActiveState,SubState,StatusText,Result,\
                          StateChangeTimestamp,ExecStart,MainPID,NRestarts,ExecMainStatus";
        Ok(ServiceState::parse(&call(&["show", properties, service])?))
    }

    fn parse(text: &str) -> Self {
        let mut state = ServiceState::default();
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap_or_default();
            match name {
                "LoadState" => state.load = value.into(),
                "ActiveState" => state.active = value.into(),
                "SubState" => state.sub = value.into(),
                "StatusText" => state.text = value.into(),
                "StateChangeTimestamp" => state.since = value.into(),
                "Result" => state.result = value.into(),
                "MainPID" => state.pid = value.parse().unwrap_or_default(),
                "NRestarts" => state.restarts = value.parse().unwrap_or_default(),
                "ExecMainStatus" => state.exit_status = value.parse().unwrap_or_default(),
                "ExecStart" => {
                    let path = value.split("path=").nth(1).unwrap_or_default();
                    state.program = path.split(" ;").next().unwrap_or_default().into();
                }
                _ => {}
            }
        }
        state
    }

    /// How its process ended, such as `exit-code 78`.
    pub fn ending(&self) -> String {
        format!("{} {}", self.result, self.exit_status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_systemctl_show_is_parsed() {
        let state = ServiceState::parse(
            "Result=exit-code\nNRestarts=4\nMainPID=0\nExecMainStatus=78\nStatusText=a=b\n\
             ExecStart={ path=/usr/local/bin/luml-satellite ; argv[]=/usr/local/bin/x y ; }\n\
             LoadState=loaded\nActiveState=failed\nSubState=failed\nUnknown=1\n",
        );
        assert_eq!(state.ending(), "exit-code 78");
        assert_eq!((state.restarts, state.text.as_str()), (4, "a=b"));
        assert_eq!(state.program, "/usr/local/bin/luml-satellite");
        assert_eq!(
            (state.load.as_str(), state.active.as_str()),
            ("loaded", "failed")
        );
    }
}
