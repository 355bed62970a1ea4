//! A line of the journal: a checksum, a space, and an event as JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::luml::TaskStatus;
use crate::worker::report::Report;

/// An event in the life of a task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Record<'a> {
    /// Its claim is about to be sent.
    Claiming(Cow<'a, str>),
    /// Its handler is about to run.
    Begun(Cow<'a, str>),
    /// Its result is about to be sent.
    Finished(Finished<'a>),
    /// It is settled: the journal no longer needs it.
    Over(Cow<'a, str>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished<'a> {
    task: Cow<'a, str>,
    #[serde(rename = "type")]
    task_type: Cow<'a, str>,
    status: TaskStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'a, Value>>,
    ms: u64,
}

impl<'a> Record<'a> {
    pub(super) fn finished(report: &'a Report) -> Self {
        Record::Finished(Finished {
            task: report.task_id.as_str().into(),
            task_type: report.task_type.as_str().into(),
            status: report.status.clone(),
            result: report.result.as_ref().map(Cow::Borrowed),
            ms: report.elapsed.as_millis().try_into().unwrap_or(u64::MAX),
        })
    }

    pub(super) fn task(&self) -> &str {
        match self {
            Record::Claiming(task) | Record::Begun(task) | Record::Over(task) => task,
            Record::Finished(finished) => &finished.task,
        }
    }

    pub(super) fn report(&self) -> Option<Report> {
        let Record::Finished(finished) = self else {
            return None;
        };
        Some(Report {
            task_id: finished.task.to_string(),
            task_type: finished.task_type.to_string(),
            status: finished.status.clone(),
            result: finished.result.as_deref().cloned(),
            elapsed: Duration::from_millis(finished.ms),
        })
    }

    /// The line, including its line feed.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut line = format!("{:08x} ", checksum(&json)).into_bytes();
        line.extend(json);
        line.push(b'\n');
        Ok(line)
    }

    /// Parses a line without its line feed; `None` if it is damaged.
    pub(super) fn parse(line: &[u8]) -> Option<Record<'static>> {
        let (sum, json) = line.split_at_checked(9)?;
        let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
        // Compared as text: `from_str_radix` would also accept a sign and capitals.
        if sum != format!("{:08x}", checksum(json)) {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

/// CRC-32, as in Ethernet and gzip: detects every burst error of up to 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    const HALF_BYTES: [u32; 16] = {
        let mut table = [0; 16];
        let mut n = 0;
        while n < 16 {
            let (mut sum, mut bit) = (n as u32, 0);
            while bit < 4 {
                sum = (sum >> 1) ^ (0xEDB8_8320 * (sum & 1));
                bit += 1;
            }
            table[n] = sum;
            n += 1;
        }
        table
    };
    let step = |sum: u32| (sum >> 4) ^ HALF_BYTES[(sum & 15) as usize];
    !bytes
        .iter()
        .fold(!0, |sum, byte| step(step(sum ^ u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let line = Record::Begun("task-1 \"ä\"\n".into()).line().unwrap();
        let line = line.strip_suffix(b"\n").unwrap();
        assert_eq!(Record::parse(line).unwrap().task(), "task-1 \"ä\"\n");
        for bit in 0..line.len() * 8 {
            let mut flipped = line.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::parse(&flipped).is_none(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Record::parse(&line);
        }

        #[test]
        fn a_result_round_trips_unchanged(
            number in any::<f64>().prop_filter("JSON", |n| n.is_finite()),
            text in ".*",
        ) {
            let report = Report {
                task_id: text.clone(),
                task_type: "t".into(),
                status: TaskStatus::Done,
                result: Some(json!({ "number": number, "text": text })),
                elapsed: Duration::from_millis(7),
            };
            let line = Record::finished(&report).line().unwrap();
            let (end, line) = line.split_last().unwrap();
            prop_assert!(*end == b'\n' && !line.contains(&b'\n'));
            let back = Record::parse(line).unwrap().report().unwrap();
            prop_assert_eq!(back.result.unwrap().to_string(), report.result.unwrap().to_string());
        }
    }
}
