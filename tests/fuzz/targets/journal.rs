//! What is found where the journal should be.
//!
//! A line that begins with `!` is given the checksum that it lacks, so that more
//! is tried than checksums.

#![no_main]

use libfuzzer_sys::fuzz_target;
use satellite_sdk::fuzzing::journal;

fuzz_target!(|bytes: &[u8]| {
    let mut found = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_prefix(b"!") {
            Some(rest) => {
                let (json, end) = match rest.strip_suffix(b"\n") {
                    Some(json) => (json, "\n"),
                    None => (rest, ""),
                };
                found.extend(format!("{:08x} ", crc32fast::hash(json)).bytes());
                found.extend(json);
                found.extend(end.bytes());
            }
            None => found.extend(line),
        }
    }
    let (reports, kept) = journal(&found);
    // Written anew, it says the same.
    let (again, kept_again) = journal(&kept);
    assert_eq!(kept, kept_again);
    assert_eq!(told(&reports), told(&again));
    // A kill in the last line loses no more than that.
    if let Some(end) = found.len().checked_sub(1) {
        let whole = found[..end]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        assert_eq!(journal(&found[..end]).1, journal(&found[..whole]).1);
    }
});

fn told(reports: &[satellite_sdk::Report]) -> Vec<String> {
    let mut told: Vec<String> = reports.iter().map(|report| format!("{report:?}")).collect();
    told.sort();
    told
}
