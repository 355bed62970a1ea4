//! Puts attributes into a request without building a tree of its body: the bytes stay as the
//! caller sent them, and what is added goes in between.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

const NAME: &str = "dynamic_attributes";

/// Where attributes go in a body.
#[derive(Debug)]
pub struct Place<'a> {
    before: &'a [u8],
    after: &'a [u8],
    /// What the caller gave: the members between the braces.
    given: Given<'a>,
}

#[derive(Debug)]
enum Given<'a> {
    /// No attributes at all; whether the body has other members.
    Nothing { is_empty: bool },
    /// `null`.
    Null,
    /// An object with these members, braces excluded.
    Members(&'a [u8]),
}

/// A body that no attributes can be put into.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    NotAnObject,
    AttributesNotAnObject,
    /// One reader takes the first, another the last: nobody can tell which is meant.
    Twice,
}

impl<'a> Place<'a> {
    /// Finds it in `body`, and which of `wanted` the caller has given.
    pub fn find(body: &'a [u8], wanted: &mut [(&str, bool)]) -> Result<Self, Unfit> {
        let mut found = Members::default();
        object(
            body,
            |key, value| {
                if key != NAME {
                    return Ok(());
                }
                match found.value.replace(value) {
                    Some(_) => Err(Unfit::Twice),
                    None => Ok(()),
                }
            },
            |is_empty| found.is_empty = is_empty,
        )
        .map_err(|problem| problem.unwrap_or(Unfit::NotAnObject))?;
        let Some(value) = found.value else {
            // Right behind the brace that opens it all.
            let brace = body.iter().position(|&byte| byte == b'{');
            let (before, after) = body.split_at(brace.ok_or(Unfit::NotAnObject)? + 1);
            let given = Given::Nothing {
                is_empty: found.is_empty,
            };
            return Ok(Place {
                before,
                after,
                given,
            });
        };
        let at = offset(body, value.as_bytes());
        let (before, after) = (&body[..at], &body[at + value.len()..]);
        if value == "null" {
            return Ok(Place {
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
        .map_err(|_| Unfit::AttributesNotAnObject)?;
        let members = &value.as_bytes()[1..value.len() - 1];
        Ok(Place {
            before,
            after,
            given: Given::Members(members),
        })
    }

    /// The body in pieces, with these attributes in it. `added` is where they are written.
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
            // Writing text into memory does not fail.
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
                // `after` begins behind the brace that closes the members.
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

/// Looks at each member of an object: its name, escapes undone, and its value as it stands
/// there. Takes no memory for the object's size or depth. `Err(None)`: not an object, or not
/// JSON to its end.
fn object<'a>(
    json: &'a [u8],
    member: impl FnMut(&str, &'a str) -> Result<(), Unfit>,
    end: impl FnOnce(bool),
) -> Result<(), Option<Unfit>> {
    struct Look<'p, M, E> {
        member: M,
        end: E,
        problem: &'p mut Option<Unfit>,
    }
    impl<'a, M, E> Visitor<'a> for Look<'_, M, E>
    where
        M: FnMut(&str, &'a str) -> Result<(), Unfit>,
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

/// A name, copied only where it holds escapes.
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
        // A longer one is none that anybody looks for, and need not be kept.
        const LONGEST: usize = 4096;
        Ok(Cow::Owned(
            name.get(..name.len().min(LONGEST))
                .unwrap_or_default()
                .to_owned(),
        ))
    }
}

/// Where `part`, which is a part of `whole`, begins.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(body: &str, attributes: &[(&str, &str)]) -> Result<String, Unfit> {
        let mut wanted: Vec<(&str, bool)> = attributes.iter().map(|(n, _)| (*n, false)).collect();
        let place = Place::find(body.as_bytes(), &mut wanted)?;
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
    fn attributes_go_in_and_all_else_stays_as_it_was() {
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
    fn what_is_no_object_or_can_be_read_in_two_ways_is_refused() {
        let secret = [("key", "s")];
        for (body, unfit) in [
            ("", Unfit::NotAnObject),
            ("[]", Unfit::NotAnObject),
            ("7", Unfit::NotAnObject),
            ("{} {}", Unfit::NotAnObject),
            (r#"{"x":}"#, Unfit::NotAnObject),
            (r#"{"x":1"#, Unfit::NotAnObject),
            (r#"{"dynamic_attributes":[]}"#, Unfit::AttributesNotAnObject),
            (
                r#"{"dynamic_attributes":"a"}"#,
                Unfit::AttributesNotAnObject,
            ),
            (
                r#"{"dynamic_attributes":{},"dynamic_attributes":{}}"#,
                Unfit::Twice,
            ),
            (
                r#"{"dynamic_attributes":{},"dynamic\u005fattributes":{}}"#,
                Unfit::Twice,
            ),
        ] {
            assert_eq!(spliced(body, &secret).unwrap_err(), unfit, "{body}");
        }
    }

    #[test]
    fn depth_is_the_models_business() {
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
