//! What holds for all archives, manifests and requests.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::artifact::Dim;
use crate::fuzzing;
use crate::tensor::{Dtype, Input, Inputs, decode_body, encode};

/// A valid archive with a member of this name and kind.
fn archive_with(name: &str, kind: u8, size: u64, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let field = &mut header.as_mut_bytes()[..100];
    let length = name.len().min(100);
    field[..length].copy_from_slice(&name.as_bytes()[..length]);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zN]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_archive_panics(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        fuzzing::archive(&bytes);
    }

    #[test]
    fn no_member_panics_or_leaves_the_folder(
        name in "[a./\\\\\u{0}é-]{0,20}", kind: u8, size in 0..5000_u64, data in "[a-z]{0,600}",
    ) {
        fuzzing::archive(&archive_with(&name, kind, size, data.as_bytes()));
    }

    #[test]
    fn no_manifest_panics(
        value in json_value(), path in "(/[a-z0-9~-]{0,8}){0,4}", key in "[a-z_]{1,10}",
    ) {
        let mut manifest = json!({
            "variant": "pipeline", "producer_name": "p", "producer_version": "1",
            "producer_tags": [], "dynamic_attributes": [], "env_vars": [],
            "inputs": [{ "name": "x", "content_type": "NDJSON", "dtype": "Array[int8]", "shape": ["n", 2] }],
            "outputs": [],
        });
        let patch = json!([{ "op": "add", "path": path, "value": value }]);
        let parts = [manifest.to_string(), patch.to_string(), "[]".into(), r#"{"nodes":[]}"#.into()];
        fuzzing::manifest(parts.join("\0").as_bytes());
        manifest[key] = value;
        let parts = [manifest.to_string(), String::new(), "[]".into(), r#"{"nodes":[]}"#.into()];
        fuzzing::manifest(parts.join("\0").as_bytes());
    }

    #[test]
    fn no_request_panics(value in json_value(), key in "[fhiubs]") {
        fuzzing::request(json!({ "inputs": { "f": value } }).to_string().as_bytes());
        fuzzing::request(json!({ "inputs": { key: value } }).to_string().as_bytes());
        fuzzing::request(value.to_string().as_bytes());
    }

    #[test]
    fn numbers_survive_a_request_and_a_response(
        rows in prop::collection::vec((any::<f64>(), any::<f32>(), any::<i64>(), any::<u64>()), 1..9),
    ) {
        let column = |name: &str, dtype: &str| Input {
            name: name.into(),
            dtype: Dtype::parse(dtype).unwrap(),
            shape: vec![Dim::Named("n".into())],
        };
        let declared = [
            column("a", "Array[float64]"), column("b", "Array[float32]"),
            column("c", "Array[int64]"), column("d", "Array[uint64]"),
        ];
        let body = json!({ "inputs": {
            "a": rows.iter().map(|row| number(row.0)).collect::<Vec<_>>(),
            "b": rows.iter().map(|row| number(row.1.into())).collect::<Vec<_>>(),
            "c": rows.iter().map(|row| row.2).collect::<Vec<_>>(),
            "d": rows.iter().map(|row| row.3).collect::<Vec<_>>(),
        } });
        let Ok(Inputs::One(tensors)) = decode_body(body.to_string().as_bytes(), &declared) else {
            panic!("{body} is refused");
        };
        let mut text = b"[".to_vec();
        for tensor in &tensors {
            if text.len() > 1 {
                text.push(b',');
            }
            encode(tensor, None, &mut text).unwrap();
        }
        text.push(b']');
        let again: Vec<Vec<Value>> = serde_json::from_slice(&text).unwrap();
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(&again[0][at], &number(row.0));
            prop_assert_eq!(again[2][at].as_i64(), Some(row.2));
            prop_assert_eq!(again[3][at].as_u64(), Some(row.3));
            match again[1][at].as_f64() {
                Some(single) => prop_assert_eq!(single as f32, row.1),
                None => prop_assert_eq!(&again[1][at], &number(row.1.into())),
            }
        }
    }
}

/// As the format writes it.
fn number(value: f64) -> Value {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value.into(),
    }
}
