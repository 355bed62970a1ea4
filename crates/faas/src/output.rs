//! The streamed output of executions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::checked::{Check, Filter};
use super::connection::{Connection, execution_path};
use super::models::{ExecutionResult, Output};
use satellite_core::client::Stream;
use satellite_core::http::{
    Call, Fault, Lines, Method, Response, Source, behind, events, with_query,
};
use satellite_core::{Error, Result};

/// An event, as servers of the gateway's family name them.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Started {
        request_id: String,
    },
    Stdout {
        data: String,
    },
    Stderr {
        data: String,
    },
    Exit {
        code: i32,
    },
    /// A heartbeat, or an event that this version does not know.
    #[serde(other)]
    Other,
}

/// The output of an execution that has just started.
pub(super) fn of_started(
    connection: &Connection,
    response: Response,
    check: Option<Check>,
) -> Result<Stream<Output>> {
    let kind = response.header("content-type").unwrap_or_default();
    let is_streamed = kind.starts_with("text/event-stream");
    let lines = response.into_lines()?;
    let transport = Arc::clone(&connection.transport);
    if !is_streamed {
        return Ok(Stream::new(
            transport,
            of_result(lines, check.as_ref())?,
            |_, _| Ok(None),
        ));
    }
    let progress = Progress::default();
    let source = outputs(lines, &progress, check.as_ref());
    let connection = connection.clone();
    Ok(Stream::new(transport, source, move |error, delivered| {
        let state = progress.state();
        match (state.has_exited, state.id.clone()) {
            (true, _) => Ok(None),
            (false, Some(id)) if error.is_some() => {
                drop(state);
                let log = Log {
                    connection: &connection,
                    id: &id,
                    check: check.as_ref(),
                    progress: &progress,
                };
                log.open(true, delivered).map(Some)
            }
            (false, Some(_)) => Err(ended_early()),
            // Without an id, the log cannot be requested.
            (false, None) if error.is_some() => Ok(None),
            (false, None) => Err(ended_early()),
        }
    }))
}

/// The log of an execution.
pub(super) fn log(connection: &Connection, id: &str, follow: bool) -> Result<Stream<Output>> {
    let progress = Progress::default();
    let transport = Arc::clone(&connection.transport);
    let (connection, id) = (connection.clone(), id.to_owned());
    let open = move |delivered, progress: &Progress| {
        let log = Log {
            connection: &connection,
            id: &id,
            check: None,
            progress,
        };
        log.open(follow, delivered)
    };
    let source = open(0, &progress)?;
    Ok(Stream::new(
        transport,
        source,
        move |error, delivered| match error {
            _ if progress.state().has_exited => Ok(None),
            Some(_) => open(delivered, &progress).map(Some),
            None if follow => Err(ended_early()),
            None => Ok(None),
        },
    ))
}

/// What the stream has reported about its execution so far.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    id: Option<String>,
    has_exited: bool,
}

impl Progress {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one execution.
struct Log<'a> {
    connection: &'a Connection,
    id: &'a str,
    check: Option<&'a Check>,
    progress: &'a Progress,
}

impl Log<'_> {
    fn open(&self, follow: bool, from: u64) -> Result<Source<Output>> {
        let follow = if follow { "true" } else { "false" };
        let path = with_query(
            &format!("{}/logs", execution_path(self.id)),
            &[("follow", follow)],
        );
        let limits = self.connection.limits;
        let call = Call::new(Method::GET, &path).within(limits.request);
        let transport = &self.connection.transport;
        let response = transport.send(&call.streamed(limits.idle))?;
        let outputs = outputs(response.into_lines()?, self.progress, self.check);
        Ok(Box::new(behind(outputs, from)))
    }
}

/// The output in these events, up to and including the exit code.
fn outputs(lines: Lines, progress: &Progress, check: Option<&Check>) -> Source<Output> {
    let progress = progress.clone();
    let mut filter = check.cloned().map(Filter::new);
    let mut events = events(lines);
    let mut ready = VecDeque::new();
    Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(output) = ready.pop_front() {
                return Some(output);
            }
            if progress.state().has_exited {
                return None;
            }
            let event = match events.next()? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            let output = match serde_json::from_str(&event.data).unwrap_or(Event::Other) {
                Event::Started { request_id } => {
                    progress.state().id = Some(request_id);
                    continue;
                }
                Event::Stdout { data } => Output::Stdout(data),
                Event::Stderr { data } => Output::Stderr(data),
                Event::Exit { code } => {
                    progress.state().has_exited = true;
                    Output::Exit(code)
                }
                Event::Other => continue,
            };
            match &mut filter {
                Some(filter) => ready.extend(filter.take(output)),
                None => ready.push_back(Ok(output)),
            }
        }
    }))
}

/// The output in the result of a server that does not support streaming.
fn of_result(lines: Lines, check: Option<&Check>) -> Result<Source<Output>> {
    let text = lines.collect::<Result<Vec<_>>>()?.join("\n");
    let mut result: ExecutionResult = serde_json::from_str(&text)?;
    if let Some(check) = check {
        check.apply(&mut result)?;
    }
    let is_merged = result.is_merged();
    let mut items = Vec::new();
    if !result.stdout.is_empty() {
        items.push(Ok(Output::Stdout(result.stdout)));
    }
    if !result.stderr.is_empty() && !is_merged {
        items.push(Ok(Output::Stderr(result.stderr)));
    }
    items.push(Ok(Output::Exit(result.exit_code)));
    Ok(Box::new(items.into_iter()))
}

fn ended_early() -> Error {
    let text = "the stream ended before the execution did".to_owned();
    Error::from_fault("the output".into(), Fault::Broken, text)
}
