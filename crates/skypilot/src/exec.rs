//! Runs one command on a cluster and returns its exit code and both output streams.

use std::time::Duration;

use super::client::{Deadline, SkyPilotClient};
use super::credentials::CloudCredentials;
use super::exec_output::{Ended, OutputLine, Received, script};
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
    is_live: bool,
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
            is_live: false,
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

    /// Prints its output while the command runs, for
    /// [`RunningExec::wait_with`]. Its lines are then text: the rest of the streams, such as
    /// control characters, is not preserved.
    pub fn live(mut self, live: bool) -> Self {
        self.is_live = live;
        self
    }

    fn task(&self, marker: &str) -> Task {
        let script = script(&self.command, self.timeout, self.is_live, marker);
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

    /// As [`wait`](Self::wait), but calls `on_line` with each line that the command prints,
    /// as soon as it has printed it if it is [`live`](Exec::live). Returns its exit code.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::{Exec, OutputLine};
    ///
    /// let running = sky.spawn(&Exec::new("llama3-8b-prod", "python train.py").live(true))?;
    /// let exit_code = running.wait_with(|line| match line {
    ///     OutputLine::Stdout(text) => println!("{text}"),
    ///     OutputLine::Stderr(text) => eprintln!("{text}"),
    /// })?;
    /// # let _ = exit_code;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_with(&self, on_line: impl FnMut(OutputLine)) -> Result<i32> {
        let ended = self.follow(&self.client, on_line)?;
        Ok(ended.exit_code)
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
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let ended = self.follow(client, |line| {
            let (stream, text) = match line {
                OutputLine::Stdout(text) => (&mut stdout, text),
                OutputLine::Stderr(text) => (&mut stderr, text),
            };
            stream.push_str(&text);
            stream.push('\n');
        })?;
        Ok(Output {
            exit_code: ended.exit_code,
            stdout: ended.stdout.unwrap_or(stdout),
            stderr: ended.stderr.unwrap_or(stderr),
        })
    }

    fn follow(
        &self,
        client: &SkyPilotClient,
        mut on_line: impl FnMut(OutputLine),
    ) -> Result<Ended> {
        let mut received = Received::new(&self.marker);
        for line in client.job_log(&self.cluster_name, self.job_id, self.deadline)? {
            if let Some(end) = received.add_line(&line?, &mut on_line) {
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
