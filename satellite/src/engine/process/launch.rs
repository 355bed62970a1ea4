//! Starts a model server in two steps, so that each process is recorded before it serves:
//! `luml-satellite launch-model` waits for a byte on its standard input, and then becomes
//! the model server, with the same pid. If the satellite is killed before it has recorded
//! the process, the input ends and so does the process.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::engine::Environment;

/// The command of this program that [`launch`] serves.
pub const COMMAND: &str = "launch-model";

/// Kernel's preference for ending this process when memory runs out, -1000 to 1000: a model
/// before the satellite.
const OOM_SCORE: &str = "500";

/// The exit code if the program cannot be run, as of a shell.
const CANNOT_RUN: u8 = 127;

/// The command that starts a model server. Its variables are in the environment only.
pub(super) fn command(
    program: &str,
    arguments: &[String],
    user: Option<(u32, u32)>,
    environment: &Environment,
) -> Command {
    // Also if this program was replaced by another version.
    let mut command = Command::new("/proc/self/exe");
    let user = user.map_or("-".to_owned(), |(user, group)| format!("{user}:{group}"));
    command
        .arg0("luml-satellite")
        .args([COMMAND, &*user, program])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(
            environment
                .iter()
                .map(|(name, value)| (name, OsStr::new(value.expose()))),
        )
        .current_dir(Path::new("/"))
        .stdin(Stdio::piped())
        .process_group(0);
    command
}

/// `luml-satellite launch-model USER PROGRAM [ARGUMENT…]`, for [`command`] only.
pub fn launch(arguments: &[String]) -> ExitCode {
    let [user, program, arguments @ ..] = arguments else {
        return ExitCode::from(64);
    };
    if std::io::stdin().read_exact(&mut [0]).is_err() {
        return ExitCode::SUCCESS; // the satellite has ended
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let ids = user.split_once(':');
    if let Some((Ok(user), Ok(group))) = ids.map(|(u, g)| (u.parse(), g.parse())) {
        command.uid(user).gid(group);
    }
    let error = command.exec();
    eprintln!("cannot run {program} as user {user}: {error}");
    ExitCode::from(CANNOT_RUN)
}
