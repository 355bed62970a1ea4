//! Inserts attributes into a request's JSON body without parsing it into a tree: the
//! caller's bytes stay unchanged.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

const NAME: &str = "dynamic_attributes";

/// The position at which attributes are inserted into a body.
#[derive(Debug)]
pub struct InsertionPoint<'a> {
    before: &'a [u8],
    after: &'a [u8],
    /// The attributes that the caller gave.
    given: Given<'a>,
}

#[derive(Debug)]
enum Given<'a> {
    /// No attributes. `is_empty`: the body has no other members either.
    Nothing { is_empty: bool },
    /// `null`.
    Null,
    /// An object with these members, braces excluded.
    Members(&'a [u8]),
}

/// Why attributes cannot be inserted into a body.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidBody {
    NotAnObject,
    AttributesNotAnObject,
    /// Ambiguous: some parsers use the first occurrence, others the last.
    Duplicate,
}

impl<'a> InsertionPoint<'a> {
    /// Finds the position in `body` and marks which of `wanted` the caller has given.
    pub fn find(body: &'a [u8], wanted: &mut [(&str, bool)]) -> Result<Self, InvalidBody> {
        let mut found = Members::default();
        object(
            body,
            |key, value| {
                if key != NAME {
                    return Ok(());
                }
                match found.value.replace(value) {
                    Some(_) => Err(InvalidBody::Duplicate),
                    None => Ok(()),
                }
            },
            |is_empty| found.is_empty = is_empty,
        )
        .map_err(|problem| problem.unwrap_or(InvalidBody::NotAnObject))?;
        let Some(value) = found.value else {
            // After the opening brace of the body.
            let brace = body.iter().position(|&byte| byte == b'{');
            let (before, after) = body.split_at(brace.ok_or(InvalidBody::NotAnObject)? + 1);
            let given = Given::Nothing {
                is_empty: found.is_empty,
            };
            return Ok(InsertionPoint {
                before,
                after,
                given,
            });
        };
        let at = offset(body, value.as_bytes());
        let (before, after) = (&body[..at], &body[at + value.len()..]);
        if value == "null" {
            return Ok(InsertionPoint {
                before,
                after,
                given: Given::Null,
            });
        }
        object(
            value.as_bytes(),
            |key, _| {
                for (name, is_given) in wanted.iter_mut() {
                    *is_given |= *name == key;
                }
                Ok(())
            },
            |_| {},
        )
        .map_err(|_| InvalidBody::AttributesNotAnObject)?;
        let members = &value.as_bytes()[1..value.len() - 1];
        Ok(InsertionPoint {
            before,
            after,
            given: Given::Members(members),
        })
    }

    /// The body in slices, with these attributes inserted. `added` is the buffer for them.
    pub fn with<'b>(
        &'b self,
        attributes: &[(&str, &str)],
        added: &'b mut Vec<u8>,
    ) -> Vec<&'b [u8]> {
        let (mut first, last): (Vec<u8>, &[u8]) = match self.given {
            Given::Nothing { is_empty } => {
                let open = format!("\"{NAME}\":{{");
                (open.into(), if is_empty { b"}" } else { b"}," })
            }
            Given::Null => (b"{".to_vec(), b"}"),
            Given::Members(_) => (b"{".to_vec(), b""),
        };
        let is_followed = match self.given {
            Given::Members(members) => !members.trim_ascii().is_empty(),
            _ => false,
        };
        for (at, (name, value)) in attributes.iter().enumerate() {
            if at > 0 {
                first.push(b',');
            }
            // Writing text into memory cannot fail.
            let _ = serde_json::to_writer(&mut first, name);
            first.push(b':');
            let _ = serde_json::to_writer(&mut first, value);
        }
        if is_followed && !attributes.is_empty() {
            first.push(b',');
        }
        first.extend_from_slice(last);
        *added = first;
        match self.given {
            Given::Members(members) => {
                // `after` starts after the closing brace of the members.
                vec![self.before, added, members, b"}", self.after]
            }
            _ => vec![self.before, added, self.after],
        }
    }
}

#[derive(Default)]
struct Members<'a> {
    value: Option<&'a str>,
    is_empty: bool,
}

/// Visits each member of an object: its unescaped name and its raw value. Memory use does
/// not depend on the object's size or depth. `Err(None)`: not an object, or invalid JSON.
fn object<'a>(
    json: &'a [u8],
    member: impl FnMut(&str, &'a str) -> Result<(), InvalidBody>,
    end: impl FnOnce(bool),
) -> Result<(), Option<InvalidBody>> {
    struct Look<'p, M, E> {
        member: M,
        end: E,
        problem: &'p mut Option<InvalidBody>,
    }
    impl<'a, M, E> Visitor<'a> for Look<'_, M, E>
    where
        M: FnMut(&str, &'a str) -> Result<(), InvalidBody>,
        E: FnOnce(bool),
    {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
            let mut is_empty = true;
            while let Some(key) = map.next_key_seed(Key)? {
                is_empty = false;
                let value: &'a RawValue = map.next_value()?;
                if let Err(unfit) = (self.member)(&key, value.get()) {
                    *self.problem = Some(unfit);
                    return Err(A::Error::custom("unfit"));
                }
            }
            (self.end)(is_empty);
            Ok(())
        }
    }
    let mut problem = None;
    let mut json = serde_json::Deserializer::from_slice(json);
    let look = Look {
        member,
        end,
        problem: &mut problem,
    };
    let read = json.deserialize_map(look).and_then(|()| json.end());
    read.map_err(|_| problem)
}

/// A member's name, copied only if it contains escapes.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Cow<'a, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        // No attribute has a longer name, so the rest need not be copied.
        const LONGEST: usize = 4096;
        Ok(Cow::Owned(
            name.get(..name.len().min(LONGEST))
                .unwrap_or_default()
                .to_owned(),
        ))
    }
}

/// The offset of `part`, a subslice of `whole`.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(body: &str, attributes: &[(&str, &str)]) -> Result<String, InvalidBody> {
        let mut wanted: Vec<(&str, bool)> = attributes.iter().map(|(n, _)| (*n, false)).collect();
        let place = InsertionPoint::find(body.as_bytes(), &mut wanted)?;
        let missing: Vec<(&str, &str)> = attributes
            .iter()
            .zip(&wanted)
            .filter(|(_, (_, is_given))| !is_given)
            .map(|(attribute, _)| *attribute)
            .collect();
        let mut added = Vec::new();
        let pieces = place.with(&missing, &mut added);
        Ok(String::from_utf8(pieces.concat()).unwrap())
    }

    #[test]
    fn attributes_are_inserted_and_the_rest_is_unchanged() {
        let secret = [("key", "s\"1"), ("b", "2")];
        for (body, expected) in [
            ("{}", r#"{"dynamic_attributes":{"key":"s\"1","b":"2"}}"#),
            (
                " { } \n",
                " {\"dynamic_attributes\":{\"key\":\"s\\\"1\",\"b\":\"2\"} } \n",
            ),
            (
                r#"{"x": 1.00000000000000000000001e400}"#,
                r#"{"dynamic_attributes":{"key":"s\"1","b":"2"},"x": 1.00000000000000000000001e400}"#,
            ),
            (
                r#"{"dynamic_attributes": null, "x":1}"#,
                r#"{"dynamic_attributes": {"key":"s\"1","b":"2"}, "x":1}"#,
            ),
            (
                r#"{"x":1, "dynamic_attributes": { }}"#,
                r#"{"x":1, "dynamic_attributes": {"key":"s\"1","b":"2" }}"#,
            ),
            (
                r#"{"dynamic_attributes":{"b":7,"c":[{}]},"x":{"dynamic_attributes":1}}"#,
                r#"{"dynamic_attributes":{"key":"s\"1","b":7,"c":[{}]},"x":{"dynamic_attributes":1}}"#,
            ),
            (
                r#"{"dynamic\u005fattributes":{"\u0062":7}}"#,
                r#"{"dynamic\u005fattributes":{"key":"s\"1","\u0062":7}}"#,
            ),
            (
                r#"{"dynamic_attributes":{"key":1,"b":null}}"#,
                r#"{"dynamic_attributes":{"key":1,"b":null}}"#,
            ),
        ] {
            assert_eq!(spliced(body, &secret).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn invalid_and_ambiguous_bodies_are_rejected() {
        let secret = [("key", "s")];
        for (body, unfit) in [
            ("", InvalidBody::NotAnObject),
            ("[]", InvalidBody::NotAnObject),
            ("7", InvalidBody::NotAnObject),
            ("{} {}", InvalidBody::NotAnObject),
            (r#"{"x":}"#, InvalidBody::NotAnObject),
            (r#"{"x":1"#, InvalidBody::NotAnObject),
            (
                r#"{"dynamic_attributes":[]}"#,
                InvalidBody::AttributesNotAnObject,
            ),
            (
                r#"{"dynamic_attributes":"a"}"#,
                InvalidBody::AttributesNotAnObject,
            ),
            (
                r#"{"dynamic_attributes":{},"dynamic_attributes":{}}"#,
                InvalidBody::Duplicate,
            ),
            (
                r#"{"dynamic_attributes":{},"dynamic\u005fattributes":{}}"#,
                InvalidBody::Duplicate,
            ),
        ] {
            assert_eq!(spliced(body, &secret).unwrap_err(), unfit, "{body}");
        }
    }

    #[test]
    fn deeply_nested_bodies_are_forwarded() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        let body = spliced(&deep, &[("key", "s")]).unwrap();
        assert!(body.starts_with(r#"{"dynamic_attributes":{"key":"s"},"x":[[["#));
        assert_eq!(
            body.len(),
            deep.len() + r#""dynamic_attributes":{"key":"s"},"#.len()
        );
        let deep = format!(
            "{{\"dynamic_attributes\":{{\"x\":{}{}}}}}",
            "[".repeat(500_000),
            "]".repeat(500_000)
        );
        assert!(
            spliced(&deep, &[("key", "s")])
                .unwrap()
                .contains(r#"{"key":"s","x":[["#)
        );
    }
}
