//! What a server streams: lines, and server-sent events in them, read a second time
//! in the plainest way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use satellite_sdk::fuzzing::{answer, events};

fuzz_target!(|bytes: &[u8]| {
    let read = events(answer(200, &[], bytes)).unwrap();
    assert_eq!(read, plainly(&String::from_utf8_lossy(bytes)));
});

fn plainly(text: &str) -> Vec<(String, String, Option<String>)> {
    let lines: Vec<&str> = text.split('\n').collect();
    // What no line end follows was cut off.
    let lines = &lines[..lines.len() - 1];
    let (mut events, mut block) = (Vec::new(), Vec::new());
    for line in lines
        .iter()
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
    {
        if !line.is_empty() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            block.push((field, value.strip_prefix(' ').unwrap_or(value)));
            continue;
        }
        let all = |name: &str| -> Vec<&str> {
            let fields = block.iter().filter(|(field, _)| *field == name);
            fields.map(|(_, value)| *value).collect()
        };
        let (names, data, ids) = (all("event"), all("data"), all("id"));
        if !data.is_empty() {
            events.push((
                names.last().copied().unwrap_or_default().to_owned(),
                data.join("\n"),
                ids.last().map(|id| id.to_string()),
            ));
        }
        block.clear();
    }
    events
}
