use proptest::prelude::*;

use super::*;

const URL: &str = "https://files/m?X-Amz-Credential=AKIA%2F2026&X-Amz-Date=20260801T000000Z\
                   &X-Amz-Expires=60&X-Amz-Signature=0123456789abcdef";

fn masked(secrets: &[&str], text: &str) -> String {
    let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new(*s)).collect();
    Masker::new(&secrets, URL).mask(Output::new(text.to_owned()))
}

#[test]
fn output_without_a_secret_is_unchanged() {
    let text =
        "Traceback:\n  File \"x.py\", line 3\nValueError: 100% wrong \\ {\"a\": \"\\u00e9\"}";
    assert_eq!(masked(&["hunter2"], text), text);
    assert_eq!(masked(&["", " \n"], text), text);
}

#[test]
fn a_secret_is_masked_in_every_encoding() {
    let secret = "p\"ä/ss w+rd";
    for form in [
        "p\"ä/ss w+rd",
        "p\"ä/ss\n    w+rd",
        "p\"ä/\r\nss w+rd",
        r#"p\"ä/ss w+rd"#,
        r#"p\"\u00e4\/ss w+rd"#,
        r#"p\\\"\\u00E4/ss w+rd"#,
        "p%22%C3%A4%2Fss%20w%2Brd",
        "p%22%c3%a4/ss+w%2brd",
        "p%2522%25C3%25A4%252Fss%2520w%252Brd",
        "p\"\u{0}ä/ss w+rd",
        "p%22%C3%\nA4%2Fss%20w%2Brd",
    ] {
        let text = format!("before {form} after");
        assert_eq!(masked(&[secret], &text), "before *** after", "{form:?}");
    }
}

#[test]
fn the_query_of_the_presigned_url_is_masked_whole_and_in_parts() {
    let shown = masked(&[], &format!("GET {URL} failed"));
    assert_eq!(shown, "GET https://files/m?*** failed");
    let shown = masked(&[], "Signature: 0123456789abcdef, Credential: AKIA/2026");
    assert_eq!(shown, "Signature: ***, Credential: ***");
}

#[test]
fn overlapping_and_nested_secrets_are_masked_completely() {
    assert_eq!(masked(&["abcdef", "defghi"], "x abcdefghi y"), "x *** y");
    assert_eq!(
        masked(&["abcd", "xxabcdxx"], "xxabcdxx, abcd."),
        "***, ***."
    );
    assert_eq!(masked(&["aaaa"], "-aaaaaaa-"), "-***-");
}

#[test]
fn a_short_secret_is_masked_with_the_surrounding_word() {
    assert_eq!(masked(&["a"], "a fatal error"), "*** *** error");
    assert_eq!(masked(&["1"], "port 8123 is in use"), "port *** is in use");
}

#[test]
fn each_line_of_a_multi_line_secret_is_masked() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----";
    let shown = masked(
        &[key],
        "[1] MIIEvQIBADANBgkq\n[2] hkiG9w0BAQEFAASC\n[3] done",
    );
    assert_eq!(shown, "[1] ***\n[2] ***\n[3] done");
}

#[test]
fn a_secret_cut_at_the_start_or_end_is_masked() {
    assert_eq!(masked(&["correct horse"], "horse\nstarted"), "***\nstarted");
    assert_eq!(masked(&["correct horse"], "started corre"), "started ***");
    let long = format!(
        "{}correct horse{}",
        "x".repeat(9),
        "y ".repeat(SEARCHED_BYTES)
    );
    assert!(masked(&["correct horse"], &long).len() <= MAX_OUTPUT_BYTES);
}

#[test]
fn a_secret_that_contains_the_replacement_is_masked() {
    assert_eq!(masked(&["*"], "a ** b"), "a ███ b");
    assert_eq!(masked(&["*█▒-"], "a *█▒- b"), "");
}

/// A secret verbatim, JSON-escaped, or percent-encoded; with a line break before the character at
/// `split`, if there is one.
fn form(secret: &str, kind: usize, split: usize) -> String {
    let mut json = serde_json::to_string(secret).unwrap();
    json = json[1..json.len() - 1].to_owned();
    let ascii: String = json
        .chars()
        .map(|c| match c.is_ascii() {
            true => c.to_string(),
            false => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect(),
        })
        .collect();
    let percent = |keep: fn(u8) -> bool| -> String {
        let encode = |byte: u8| match keep(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        secret.bytes().map(encode).collect()
    };
    let mut form = match kind {
        0 => secret.to_owned(),
        1 => json,
        2 => ascii,
        3 => percent(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)),
        4 => percent(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b)),
        _ => percent(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)).replace("%20", "+"),
    };
    let places: Vec<usize> = form.char_indices().map(|(at, _)| at).collect();
    if let Some(at) = places.get(split).filter(|at| **at > 0) {
        form.insert(*at, '\n');
    }
    form
}

fn dense(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !encodings::is_blank(*b)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn masked_output_contains_no_secret_in_any_encoding(
        secret in "(\\PC|[a-c\"\\\\%/+ \n*]){1,24}",
        other in "\\PC{0,8}",
        before in "(\\PC|[\\\\%\n]){0,40}",
        between in "(\\PC|[\\\\%\n]){0,20}",
        after in "(\\PC|[\\\\%\n]){0,40}",
        kinds in proptest::collection::vec((0..6_usize, 0..200_usize), 1..4),
    ) {
        prop_assume!(!dense(&secret).is_empty());
        let forms = kinds.iter().map(|(kind, split)| form(&secret, *kind, *split));
        let middle: Vec<String> = forms.collect();
        let text = format!("{before}{}{after}", middle.join(&between));
        let shown = dense(&masked(&[&secret, &other], &text));
        for kind in 0..6 {
            let wanted = dense(&form(&secret, kind, usize::MAX));
            prop_assert!(
                !shown.windows(wanted.len()).any(|window| window == wanted),
                "{:?} shows {:?}", String::from_utf8_lossy(&shown), String::from_utf8_lossy(&wanted)
            );
        }
    }
}
