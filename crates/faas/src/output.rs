//! What executions print, as it comes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::connection::{Connection, execution_path};
use super::models::ExecutionResult;
use satellite_core::client::Stream;
use satellite_core::http::{
    Call, Fault, Lines, Method, Response, Source, behind, events, with_query,
};
use satellite_core::{Error, Result};

/// A piece of what an execution does. It shows itself as the text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// It printed this.
    Stdout(String),
    /// It printed this as an error.
    Stderr(String),
    /// It exited with this code: the last item.
    Exit(i32),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Stdout(text) | Output::Stderr(text) => f.pad(text),
            Output::Exit(_) => Ok(()),
        }
    }
}

/// An event, in the words that the gateway's family has for them.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
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
    /// A sign of life, or a word of another time.
    #[serde(other)]
    Other,
}

/// The output of an execution that has just begun.
pub(super) fn begun(connection: &Connection, answer: Response) -> Result<Stream<Output>> {
    let kind = answer.header("content-type").unwrap_or_default();
    let is_streamed = kind.starts_with("text/event-stream");
    let lines = answer.into_lines()?;
    let transport = Arc::clone(&connection.transport);
    if !is_streamed {
        return Ok(Stream::new(transport, at_once(lines)?, |_, _| Ok(None)));
    }
    let known = Known::default();
    let source = outputs(lines, &known);
    let connection = connection.clone();
    Ok(Stream::new(transport, source, move |broke, delivered| {
        let state = known.state();
        match (state.is_over, state.id.clone()) {
            (true, _) => Ok(None),
            (false, Some(id)) if broke.is_some() => {
                drop(state);
                open(&connection, &id, true, delivered, &known).map(Some)
            }
            (false, Some(_)) => Err(ended_early()),
            // Nobody knows what to ask for.
            (false, None) if broke.is_some() => Ok(None),
            (false, None) => Err(ended_early()),
        }
    }))
}

/// The log of an execution.
pub(super) fn log(connection: &Connection, id: &str, follow: bool) -> Result<Stream<Output>> {
    let known = Known::default();
    let source = open(connection, id, follow, 0, &known)?;
    let transport = Arc::clone(&connection.transport);
    let (connection, id) = (connection.clone(), id.to_owned());
    Ok(Stream::new(
        transport,
        source,
        move |broke, delivered| match broke {
            _ if known.state().is_over => Ok(None),
            Some(_) => open(&connection, &id, follow, delivered, &known).map(Some),
            None if follow => Err(ended_early()),
            None => Ok(None),
        },
    ))
}

/// What a stream has told of its execution.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    id: Option<String>,
    is_over: bool,
}

impl Known {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(
    connection: &Connection,
    id: &str,
    follow: bool,
    from: u64,
    known: &Known,
) -> Result<Source<Output>> {
    let follow = if follow { "true" } else { "false" };
    let path = with_query(
        &format!("{}/logs", execution_path(id)),
        &[("follow", follow)],
    );
    let call = Call::new(Method::GET, &path).within(connection.limits.request);
    let answer = connection
        .transport
        .send(&call.streamed(connection.limits.idle))?;
    Ok(Box::new(behind(outputs(answer.into_lines()?, known), from)))
}

/// The output in these events, to the exit code and no further.
fn outputs(lines: Lines, known: &Known) -> Source<Output> {
    let known = known.clone();
    let mut events = events(lines);
    Box::new(std::iter::from_fn(move || {
        loop {
            if known.state().is_over {
                return None;
            }
            let event = match events.next()? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            match serde_json::from_str(&event.data).unwrap_or(Told::Other) {
                Told::Started { request_id } => known.state().id = Some(request_id),
                Told::Stdout { data } => return Some(Ok(Output::Stdout(data))),
                Told::Stderr { data } => return Some(Ok(Output::Stderr(data))),
                Told::Exit { code } => {
                    known.state().is_over = true;
                    return Some(Ok(Output::Exit(code)));
                }
                Told::Other => {}
            }
        }
    }))
}

/// The result of a server that knows no streams.
fn at_once(lines: Lines) -> Result<Source<Output>> {
    let text = lines.collect::<Result<Vec<_>>>()?.join("\n");
    let result: ExecutionResult = serde_json::from_str(&text)?;
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
    let text = "it ended before the execution did".to_owned();
    Error::from_fault("the output".into(), Fault::Broken, text)
}
