//! Keys of a stored state that this program does not know: a newer program wrote them,
//! and finds them again after a rollback to this one and back.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use satellite_core::{Error, Result};

/// Keys that the type ignored, each with its path from the root.
#[derive(Default)]
pub(super) struct Unknown {
    kept: Vec<(Vec<String>, Value)>,
    /// Keys inside lists: items may move, so these cannot be put back.
    lost: Vec<String>,
}

impl Unknown {
    /// Deserializes `json` as `S`, and collects the keys that `S` ignored.
    pub(super) fn read<S: DeserializeOwned>(json: &[u8]) -> Result<(S, Unknown)> {
        let mut ignored = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(json);
        let state = serde_ignored::deserialize(&mut reader, |path| ignored.push(location(&path)))
            .and_then(|state| reader.end().map(|()| state))
            .map_err(|_| Error::new(mismatch::<S>(json)))?;
        let mut unknown = Unknown::default();
        if ignored.is_empty() {
            return Ok((state, unknown));
        }
        let whole: Value = serde_json::from_slice(json)?;
        for (keys, text) in ignored {
            let value = keys
                .as_ref()
                .and_then(|keys| keys.iter().try_fold(&whole, |at, key| at.get(key)));
            match (&keys, value) {
                (Some(keys), Some(value)) => unknown.kept.push((keys.clone(), value.clone())),
                _ => unknown.lost.push(text),
            }
        }
        if !unknown.lost.is_empty() {
            log::warn!(
                "unknown keys inside lists cannot be kept: {}",
                unknown.lost.join(", ")
            );
        }
        Ok((state, unknown))
    }

    /// `state` as JSON, with these keys put back.
    pub(super) fn write_with(&self, state: &impl Serialize) -> serde_json::Result<Vec<u8>> {
        if self.kept.is_empty() {
            return serde_json::to_vec(state);
        }
        let mut whole = serde_json::to_value(state)?;
        for (keys, value) in &self.kept {
            let Some((last, parents)) = keys.split_last() else {
                continue;
            };
            let parent = parents
                .iter()
                .try_fold(&mut whole, |at, key| at.get_mut(key));
            if let Some(Value::Object(parent)) = parent {
                parent.entry(last).or_insert_with(|| value.clone());
            }
        }
        serde_json::to_vec(&whole)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.lost.is_empty()
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.iter().map(|(keys, _)| keys.join("."));
        let all: Vec<_> = kept.chain(self.lost.iter().cloned()).collect();
        f.write_str(&all.join(", "))
    }
}

/// The keys of the path, or `None` if it passes through a list; and the path as text.
fn location(path: &Path<'_>) -> (Option<Vec<String>>, String) {
    (keys(path), path.to_string())
}

fn keys(path: &Path<'_>) -> Option<Vec<String>> {
    match path {
        Path::Root => Some(Vec::new()),
        Path::Seq { .. } => None,
        Path::Map { parent, key } => {
            let mut keys = keys(parent)?;
            keys.push(key.clone());
            Some(keys)
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => keys(parent),
    }
}

/// Why `json` is not a valid `S`, with the path of the error.
fn mismatch<S: DeserializeOwned>(json: &[u8]) -> String {
    let mut reader = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, S>(&mut reader) {
        Ok(_) => "the state does not fit: trailing data follows it".to_owned(),
        Err(e) if e.path().iter().next().is_none() => {
            format!("the state does not fit: {}", e.inner())
        }
        Err(e) => format!("the state does not fit: {}: {}", e.path(), e.inner()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Known {
        #[serde(alias = "old_name")]
        count: u64,
        inner: Option<Inner>,
        list: Vec<Inner>,
        by_number: HashMap<u32, String>,
        set: HashSet<i64>,
    }

    #[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
    struct Inner {
        name: String,
    }

    fn round_trip(json: Value) -> (Value, String) {
        let bytes = serde_json::to_vec(&json).unwrap();
        let (state, unknown) = Unknown::read::<Known>(&bytes).unwrap();
        let written = unknown.write_with(&state).unwrap();
        (
            serde_json::from_slice(&written).unwrap(),
            unknown.to_string(),
        )
    }

    #[test]
    fn unknown_keys_are_written_back_in_place() {
        let (written, text) = round_trip(json!({
            "count": 3, "newer": {"a": [1]}, "inner": {"name": "x", "colour": "red"},
        }));
        assert_eq!(written["newer"], json!({"a": [1]}));
        assert_eq!(written["inner"], json!({"name": "x", "colour": "red"}));
        assert_eq!(text, "inner.colour, newer");
    }

    #[test]
    fn an_aliased_key_is_not_written_twice() {
        let (written, text) = round_trip(json!({ "old_name": 3 }));
        assert_eq!((&written["count"], text.as_str()), (&json!(3), ""));
        assert!(written.get("old_name").is_none());
    }

    #[test]
    fn numeric_keys_and_sets_round_trip() {
        let (written, _) = round_trip(json!({ "by_number": {"7": "a"}, "set": [4], "newer": 1 }));
        assert_eq!(written["by_number"], json!({"7": "a"}));
        assert_eq!(written["set"], json!([4]));
    }

    #[test]
    fn a_mismatch_is_reported_with_its_path() {
        let text = |json: &[u8]| match Unknown::read::<Known>(json) {
            Ok(_) => panic!("it should not fit"),
            Err(e) => e.to_string(),
        };
        let wrong = text(br#"{"inner":{"name":5}}"#);
        assert!(wrong.contains("inner.name: invalid type"), "{wrong}");
        assert!(text(b"{} {}").contains("trailing data"));
        assert!(text(b"").contains("does not fit"));
        let in_a_map = Unknown::read::<BTreeMap<u8, u8>>(br#"{"300":1}"#);
        assert!(in_a_map.is_err());
    }
}
