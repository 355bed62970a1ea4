//! W3C trace context: the caller's `traceparent` is continued, or a trace begins here.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    pub trace_id: u128,
    /// Of the gateway's own span.
    pub span_id: u64,
    /// The caller's span; `None` if the trace begins here.
    pub parent_id: Option<u64>,
    /// The flags of the header; bit 0: the caller records the trace.
    pub flags: u8,
}

impl Trace {
    /// Continues the trace of a `traceparent`, or begins one.
    pub fn continued(header: Option<&str>, ids: &mut Ids) -> Self {
        match header.and_then(parse) {
            Some((trace_id, parent_id, flags)) => Trace {
                trace_id,
                span_id: ids.next(),
                parent_id: Some(parent_id),
                flags,
            },
            None => Trace {
                trace_id: u128::from(ids.next()) << 64 | u128::from(ids.next()),
                span_id: ids.next(),
                parent_id: None,
                flags: 1,
            },
        }
    }

    /// The `traceparent` for the model server: its parent is the gateway's span.
    pub fn header(&self) -> [u8; 55] {
        let [a, b, c, d] = words(self.trace_id);
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put(&mut header, 3, digits(a));
        put(&mut header, 11, digits(b));
        put(&mut header, 19, digits(c));
        put(&mut header, 27, digits(d));
        put(&mut header, 36, digits((self.span_id >> 32) as u32));
        put(&mut header, 44, digits(self.span_id as u32));
        let [.., high, low] = digits(self.flags.into());
        [header[53], header[54]] = [high, low];
        header
    }

    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// Trace id, span id and flags. Later versions may append fields after a dash.
fn parse(header: &str) -> Option<(u128, u64, u8)> {
    let version = hex(header, 0, 2)? as u8;
    let is_long = header.len() > 55;
    let dashes = [2, 35, 52]
        .iter()
        .all(|at| header.as_bytes().get(*at) == Some(&b'-'));
    if version == 0xff || !dashes || (version == 0 && is_long) {
        return None;
    }
    if is_long && header.as_bytes()[55] != b'-' {
        return None;
    }
    let (trace_id, span_id) = (hex(header, 3, 35)?, hex(header, 36, 52)? as u64);
    let flags = hex(header, 53, 55)? as u8;
    (trace_id != 0 && span_id != 0).then_some((trace_id, span_id, flags))
}

/// Lower-case digits only, as the standard requires.
fn hex(text: &str, from: usize, to: usize) -> Option<u128> {
    let digits = text.get(from..to)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(is_hex).then_some(())?;
    u128::from_str_radix(digits, 16).ok()
}

/// A UUID, version 7: ordered by time.
pub fn event_id(now_ms: u64, ids: &mut Ids) -> u128 {
    let time = u128::from(now_ms & 0xffff_ffff_ffff) << 80;
    let random = u128::from(ids.next()) << 64 | u128::from(ids.next());
    let version = 7 << 76;
    let variant = 0b10 << 62;
    let mask = (0xfff << 64) | 0x3fff_ffff_ffff_ffff;
    time | version | variant | random & mask
}

/// The usual notation of a UUID.
pub fn uuid(id: u128) -> [u8; 36] {
    let [a, b, c, d] = words(id);
    let mut text = [0; 36];
    put(&mut text, 0, digits(a));
    put(&mut text, 9, with_dash(digits(b)));
    put(&mut text, 19, with_dash(digits(c)));
    put(&mut text, 28, digits(d));
    [text[8], text[18]] = [b'-'; 2];
    text
}

fn words(number: u128) -> [u32; 4] {
    let (high, low) = ((number >> 64) as u64, number as u64);
    [
        (high >> 32) as u32,
        high as u32,
        (low >> 32) as u32,
        low as u32,
    ]
}

/// The same as a text.
pub fn uuid_text(id: u128) -> String {
    String::from_utf8_lossy(&uuid(id)).into_owned()
}

/// Eight hexadecimal digits. Each call needs 82: `format!` takes longer than all the rest of an
/// id, and a loop over the digits longer than this, which handles eight at once.
fn digits(number: u32) -> [u8; 8] {
    let number = u64::from(number);
    // One digit in each byte.
    let spread = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte from 10 on.
    let is_letter = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let text = spread + 0x3030_3030_3030_3030 + is_letter * u64::from(b'a' - b'9' - 1);
    text.to_be_bytes()
}

fn with_dash(digits: [u8; 8]) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = digits;
    [a, b, c, d, b'-', e, f, g, h]
}

fn put<const N: usize>(text: &mut [u8], at: usize, digits: [u8; N]) {
    if let Some(place) = text[at..].first_chunk_mut() {
        *place = digits;
    }
}

/// The random numbers of one call. Unique in this process, and from a random seed (SplitMix64):
/// an id is no secret.
pub struct Ids(u64);

thread_local! {
    /// The number of this thread's next call.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl Ids {
    /// How many a call may take.
    const CALL: u64 = 8;
    /// How many calls a thread numbers before it takes the next block.
    const BLOCK: u64 = 1 << 20;
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Never 0.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).max(1)
    }
}

impl Default for Ids {
    /// Each thread numbers its calls in blocks of its own: a counter that all share would move
    /// from one CPU's cache to the other's with each call.
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        let seed = *SEED.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        let mut call = NEXT.get();
        if call % Self::BLOCK == 0 {
            call = BLOCKS.fetch_add(1, Ordering::Relaxed) * Self::BLOCK;
        }
        NEXT.set(call + 1);
        let number = call.wrapping_mul(Self::CALL);
        Ids(seed.wrapping_add(number.wrapping_mul(Self::STEP)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn continued(header: Option<&str>) -> Trace {
        Trace::continued(header, &mut Ids::default())
    }

    #[test]
    fn the_ids_of_all_calls_differ() {
        let ids = |_| {
            let mut ids = Ids::default();
            (0..Ids::CALL).map(move |_| ids.next())
        };
        let all: std::collections::BTreeSet<u64> = (0..1000).flat_map(ids).collect();
        assert_eq!(all.len() as u64, 1000 * Ids::CALL);
    }

    #[test]
    fn a_callers_trace_is_continued() {
        let trace = continued(Some(HEADER));
        assert_eq!(trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(trace.parent_id, Some(0xb7ad_6b71_6920_3331));
        let passed_on = String::from_utf8(trace.header().to_vec()).unwrap();
        assert!(passed_on.starts_with(&HEADER[..36]) && passed_on.ends_with("-01"));
        assert_ne!(passed_on, HEADER, "the parent is the gateway's span");
        assert_eq!(
            parse(&passed_on).map(|(_, span, _)| span),
            Some(trace.span_id)
        );
        assert!(!continued(Some(&HEADER.replace("-01", "-00"))).is_sampled());
        let later = format!("01{}-more", &HEADER[2..]);
        assert_eq!(continued(Some(&later)).trace_id, trace.trace_id);
    }

    #[test]
    fn an_invalid_header_begins_a_trace() {
        let invalid = [
            "",
            "00",
            &HEADER[..54],
            &HEADER.to_uppercase(),
            &format!("ff{}", &HEADER[2..]),
            &format!("{HEADER}-more"),
            &format!("01{}more", &HEADER[2..]),
            &HEADER.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b7169203331-1",
        ];
        for header in invalid {
            let trace = continued(Some(header));
            assert_eq!(trace.parent_id, None, "{header}");
            assert!(trace.is_sampled() && trace.trace_id != 0);
        }
    }

    #[test]
    fn event_ids_are_uuids_that_sort_by_time() {
        let ids: Vec<String> = (0..1000)
            .map(|ms| uuid_text(event_id(1_700_000_000_000 + ms, &mut Ids::default())))
            .collect();
        assert!(ids.is_sorted());
        assert_eq!(
            uuid_text(0x0198_c0de_0001_7000_8000_0000_0000_a27f),
            "0198c0de-0001-7000-8000-00000000a27f"
        );
        assert!(
            ids.iter()
                .all(|id| id.len() == 36 && &id[14..15] == "7" && "89ab".contains(&id[19..20]))
        );
    }
}
