//! Runs one command on a cluster and returns its exit code and both output streams.
//!
//! The server merges the streams and does not return an exit code. So the job is a
//! wrapper script that records them separately and prints them at the end, in base64,
//! after a marker.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::{Deadline, SkyPilotClient};
use super::credentials::CloudCredentials;
use super::task::{Envs, Task};
use satellite_core::client::Cancel;
use satellite_core::http::{Secret, retry};
use satellite_core::{Error, Result};

/// A command for a cluster that is up: any bash script.
///
/// ```
/// use std::time::Duration;
/// use satellite_skypilot::Exec;
///
/// let exec = Exec::new("llama3-8b-prod", "nvidia-smi").timeout(Duration::from_secs(30));
/// # let _ = exec;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Exec {
    cluster_name: String,
    command: String,
    timeout: Option<Duration>,
    envs: Envs,
    credentials: Option<CloudCredentials>,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its exit code; 124 if it exceeded [`Exec::timeout`].
    pub exit_code: i32,
    /// Its standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error; invalid UTF-8 is replaced.
    pub stderr: String,
}

impl Exec {
    /// Runs this command on this cluster.
    pub fn new(cluster_name: impl Into<String>, command: impl Into<String>) -> Self {
        Exec {
            cluster_name: cluster_name.into(),
            command: command.into(),
            timeout: None,
            envs: Envs::new(),
            credentials: None,
        }
    }

    /// The cluster kills it after this time (in whole seconds).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The cloud account: the credentials that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    fn task(&self, marker: &str) -> Task {
        let command = BASE64.encode(&self.command);
        let limit = self.timeout.map(|limit| limit.as_secs().max(1));
        let limit = limit.map_or(String::new(), |s| format!("timeout -k 5 {s} "));
        let script = format!(
            "d=$(mktemp -d)\n\
             printf %s '{command}' | base64 -d >\"$d/c\"\n\
             {limit}bash \"$d/c\" >\"$d/1\" 2>\"$d/2\" </dev/null\n\
             c=$?\n\
             for s in 1 2; do base64 -w 3000 \"$d/$s\" | sed \"s/^/{marker}:$s:/\"; done\n\
             echo\n\
             echo \"{marker}:x:$c:$(wc -c <\"$d/1\"):$(wc -c <\"$d/2\")\"\n\
             rm -rf \"$d\"\n"
        );
        let task = Task::new().name("exec").run(script);
        let envs = self.envs.iter();
        envs.fold(task, |task, (name, value)| task.env(name, value.clone()))
    }
}

/// A command that runs on a cluster as a job. It continues whether or not the client
/// waits for it.
///
/// ```no_run
/// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
/// use satellite_core::client::Cancel;
/// use satellite_skypilot::Exec;
///
/// let cancel = Cancel::new(); // another thread cancels it
/// let running = sky.spawn(&Exec::new("llama3-8b-prod", "python train.py"))?;
/// println!("job {}", running.job_id());
/// match running.wait_cancelled_by(&cancel) {
///     Err(error) if error.is_stopped() => running.cancel()?,
///     output => println!("{}", output?.exit_code),
/// }
/// # Ok::<(), satellite_skypilot::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "the command continues in the background; `wait` returns its result"]
pub struct RunningExec {
    client: SkyPilotClient,
    cluster_name: String,
    job_id: u64,
    marker: String,
    deadline: Deadline,
}

impl RunningExec {
    /// The number of its job on the cluster.
    pub fn job_id(&self) -> u64 {
        self.job_id
    }

    /// Waits for its result, for at most
    /// [`TimeLimits::work`](satellite_core::client::TimeLimits::work) since it was
    /// spawned.
    ///
    /// # Errors
    /// After the limit `is_timeout()` and `is_outcome_unknown()`: it may still run.
    pub fn wait(&self) -> Result<Output> {
        self.output(&self.client)
    }

    /// Waits for its result or for `cancel`, whichever comes first. The command itself
    /// continues: [`cancel`](Self::cancel) stops it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); `is_stopped()` if `cancel` was cancelled.
    pub fn wait_cancelled_by(&self, cancel: &Cancel) -> Result<Output> {
        self.output(&self.client.cancelled_by(cancel)?)
    }

    /// Cancels its job and waits until the server has done so.
    ///
    /// # Errors
    /// Transport errors; `is_not_found()` if the cluster no longer exists.
    pub fn cancel(&self) -> Result<()> {
        let cancelled = self.client.cancel_jobs(&self.cluster_name, &[self.job_id]);
        cancelled?.wait()
    }

    fn output(&self, client: &SkyPilotClient) -> Result<Output> {
        let mut received = ReceivedOutput::default();
        for line in client.job_log(&self.cluster_name, self.job_id, self.deadline)? {
            if let Some(end) = received.add_line(&line?, &self.marker) {
                return end;
            }
        }
        let statuses = client.job_status_by(self.deadline, &self.cluster_name, &[self.job_id]);
        let status = statuses?.remove(&self.job_id).flatten();
        let status = status.map_or("unknown".to_owned(), |status| status.to_string());
        Err(Error::new(format_args!(
            "job {} on {} at {} ended as {status} without an exit code",
            self.job_id,
            self.cluster_name,
            client.url(),
        )))
    }
}

impl SkyPilotClient {
    /// Runs a command and waits for its result, for at most
    /// [`TimeLimits::work`](satellite_core::client::TimeLimits::work). To be able to
    /// cancel it, use [`spawn`](Self::spawn).
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Exec;
    ///
    /// let output = sky.exec(&Exec::new("llama3-8b-prod", "nvidia-smi -L"))?;
    /// assert_eq!(output.exit_code, 0, "{}", output.stderr);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for the cluster; `is_conflict()` if it is not up. A
    /// command that fails is not an error: see [`Output::exit_code`].
    pub fn exec(&self, exec: &Exec) -> Result<Output> {
        self.spawn(exec)?.wait()
    }

    /// Starts a command and returns as soon as the server has created a job for it.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Exec;
    ///
    /// let running = sky.spawn(&Exec::new("llama3-8b-prod", "python train.py"))?;
    /// println!("job {}", running.job_id());
    /// println!("{}", running.wait()?.exit_code);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for the cluster; `is_conflict()` if it is not up.
    pub fn spawn(&self, exec: &Exec) -> Result<RunningExec> {
        let client = self.on_account(&exec.credentials);
        let deadline = client.deadline(client.limits.work);
        let marker = format!("@{:016x}", retry::random_bits());
        let request = client.submit_job(&exec.cluster_name, exec.task(&marker))?;
        let job_id = request.wait_by(deadline)?.job_id;
        let job_id =
            job_id.ok_or_else(|| Error::new("the server created no job for the command"))?;
        Ok(RunningExec {
            client,
            cluster_name: exec.cluster_name.clone(),
            job_id,
            marker,
            deadline,
        })
    }
}

/// The data received so far of both streams.
#[derive(Default)]
struct ReceivedOutput {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl ReceivedOutput {
    /// Parses one line of the log, ignoring everything before the marker. The last line
    /// returns the result.
    fn add_line(&mut self, line: &str, marker: &str) -> Option<Result<Output>> {
        let (_, rest) = line.split_once(marker)?;
        let (kind, rest) = rest.strip_prefix(':')?.split_once(':')?;
        let stream = match kind {
            "1" => &mut self.stdout,
            "2" => &mut self.stderr,
            "x" => return Some(self.end(rest)),
            _ => return None,
        };
        match BASE64.decode(rest.trim()) {
            Ok(bytes) => stream.extend(bytes),
            Err(_) => return Some(Err(Error::new("the output of the command is malformed"))),
        }
        None
    }

    fn end(&self, text: &str) -> Result<Output> {
        let numbers: Vec<usize> = text
            .split(':')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        let &[code, stdout, stderr] = &numbers[..] else {
            return Err(Error::new("the exit code of the command is malformed"));
        };
        if (stdout, stderr) != (self.stdout.len(), self.stderr.len()) {
            return Err(Error::new(format_args!(
                "received {} of {stdout} bytes of stdout and {} of {stderr} bytes of stderr",
                self.stdout.len(),
                self.stderr.len(),
            )));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output {
            exit_code: code as i32,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the wrapper locally and formats its lines like a job's log.
    fn run(exec: &Exec) -> Output {
        let marker = "@0123";
        let task = exec.task(marker).text(&Envs::new()).unwrap();
        let task: serde_json::Value = serde_json::from_str(&task).unwrap();
        let script = task["run"].as_str().unwrap();
        let out = Command::new("bash").arg("-c").arg(script).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        let log = String::from_utf8(out.stdout).unwrap();
        let mut received = ReceivedOutput::default();
        let mut lines = log.lines().map(|line| format!("(exec, pid=7) {line}"));
        lines
            .find_map(|line| received.add_line(&line, marker))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn the_exit_code_and_both_streams_are_separated() {
        let output = run(&Exec::new(
            "c",
            "echo \"it's\" $HOME >/dev/null; printf 'a\\nb'; echo é >&2; exit 7",
        ));
        let expected = Output {
            exit_code: 7,
            stdout: "a\nb".into(),
            stderr: "é\n".into(),
        };
        assert_eq!(output, expected);
    }

    #[test]
    fn large_output_is_complete() {
        let output = run(&Exec::new("c", "seq 100000; seq 3 >&2"));
        let expected: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(output.stdout, expected);
        assert_eq!(output.stderr, "1\n2\n3\n");
    }

    #[test]
    fn a_command_that_exceeds_its_timeout_is_killed() {
        let exec = Exec::new("c", "echo begun; sleep 30").timeout(Duration::from_secs(1));
        let output = run(&exec);
        assert_eq!((output.exit_code, output.stdout.as_str()), (124, "begun\n"));
    }

    #[test]
    fn truncated_output_is_an_error() {
        let mut received = ReceivedOutput::default();
        assert!(received.add_line("(pid=1) @m:1:YWJj", "@m").is_none());
        let end = received.add_line("(pid=1) @m:x:0:6:0", "@m").unwrap();
        assert!(
            end.unwrap_err()
                .to_string()
                .contains("3 of 6 bytes of stdout")
        );
    }
}
