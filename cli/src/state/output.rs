//! How states are printed: for people, and as JSON for programs.

use std::fmt::Write as _;

use satellite_sdk::Result;
use satellite_sdk::state::{Snapshot, Stored};
use serde::Serialize;
use serde_json::value::RawValue;

/// Who saved a state, and which version it is.
#[derive(Serialize)]
struct Row<'a> {
    generation: u64,
    epoch: u64,
    /// The process that holds the state; absent once it was released, and in older generations.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a str>,
    writer: &'a str,
    saved_at: &'a str,
    schema: u32,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Damaged<'a> {
    place: &'a str,
    bytes: u64,
    damaged: String,
}

impl<'a> Row<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let stamp = &snapshot.stamp;
        Row {
            generation: stamp.generation,
            epoch: stamp.epoch,
            holder: (!stamp.is_released()).then_some(stamp.holder.as_str()),
            writer: stamp.writer(),
            saved_at: &stamp.saved_at,
            schema: snapshot.content.schema,
            bytes: snapshot.content.state.len() as u64,
            revision: stamp.revision,
            place: None,
            state: None,
        }
    }
}

/// A state with who saved it, as one document.
pub fn with_stamp(snapshot: &Snapshot, state: &RawValue) -> Result<String> {
    let row = Row {
        state: Some(state),
        ..Row::of(snapshot)
    };
    Ok(serde_json::to_string(&row)?)
}

/// One line about a state.
pub fn summary(snapshot: &Snapshot) -> String {
    let row = Row::of(snapshot);
    format!(
        "generation {} of epoch {}, saved {} by {}{}: {} bytes, schema {}",
        row.generation,
        row.epoch,
        row.saved_at,
        named(row.writer),
        if row.holder.is_some() {
            ", which holds it"
        } else {
            ""
        },
        row.bytes,
        row.schema
    )
}

pub fn pretty(state: &RawValue) -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(state.get())?;
    Ok(serde_json::to_string_pretty(&value)?)
}

pub fn history_json(stored: &[Stored]) -> Result<String> {
    let mut rows = Vec::new();
    for (n, stored) in stored.iter().enumerate() {
        let row = match &stored.snapshot {
            Ok(snapshot) => {
                let row = Row::of(snapshot);
                serde_json::to_value(Row {
                    place: Some(&stored.place),
                    holder: row.holder.filter(|_| n == 0),
                    ..row
                })
            }
            Err(e) => serde_json::to_value(Damaged {
                place: &stored.place,
                bytes: stored.bytes,
                damaged: e.to_string(),
            }),
        };
        rows.push(row?);
    }
    Ok(serde_json::to_string(&rows)?)
}

pub fn history_table(stored: &[Stored]) -> String {
    let mut lines = vec![["GENERATION", "EPOCH", "SAVED", "BYTES", "WRITER"].map(str::to_owned)];
    for (n, stored) in stored.iter().enumerate() {
        lines.push(match &stored.snapshot {
            Ok(snapshot) => {
                let row = Row::of(snapshot);
                let holds = if n == 0 && row.holder.is_some() {
                    " (holds it)"
                } else {
                    ""
                };
                [
                    row.generation.to_string(),
                    row.epoch.to_string(),
                    row.saved_at.to_owned(),
                    row.bytes.to_string(),
                    format!("{}{holds}", named(row.writer)),
                ]
            }
            Err(e) => [
                "damaged".to_owned(),
                String::new(),
                String::new(),
                stored.bytes.to_string(),
                format!("{}: {e}", stored.place),
            ],
        });
    }
    let widths: [usize; 5] =
        std::array::from_fn(|n| lines.iter().map(|line| line[n].len()).max().unwrap_or(0));
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(row, "{cell:width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// A writer without the place where it ran; states of dory-sdk name none.
fn named(writer: &str) -> &str {
    match writer.split(" @").next().unwrap_or(writer) {
        "" => "an unknown process",
        name => name,
    }
}
