//! Writes manifests as YAML.
//!
//! A writer of our own: those of the YAML crates keep no comments, or sort keys as serde
//! does. It writes block maps and lists, and quotes every text that a parser of YAML 1.1 or
//! 1.2 could take for anything else.

use std::fmt::Write as _;

/// A node of a YAML document.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Text(String),
    /// A text in several lines, written as a block where that is exact.
    Block(String),
    Number(i64),
    Bool(bool),
    List(Vec<Node>),
    Map(Map),
}

/// A map that keeps the order of its keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(Vec<Entry>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    comment: Option<&'static str>,
    key: String,
    value: Node,
}

impl Map {
    pub fn new() -> Self {
        Map::default()
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Node>) -> Self {
        self.0.push(Entry {
            comment: None,
            key: key.to_owned(),
            value: value.into(),
        });
        self
    }

    /// With this comment above the entry.
    #[must_use]
    pub fn commented(mut self, comment: &'static str, key: &str, value: impl Into<Node>) -> Self {
        self = self.with(key, value);
        if let Some(entry) = self.0.last_mut() {
            entry.comment = Some(comment);
        }
        self
    }

    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<Node>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Node::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Node::Text(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Node::Bool(value)
    }
}

/// An integer as a node.
pub fn number(value: impl Into<i64>) -> Node {
    Node::Number(value.into())
}

impl From<Map> for Node {
    fn from(map: Map) -> Self {
        Node::Map(map)
    }
}

impl<N: Into<Node>> From<Vec<N>> for Node {
    fn from(list: Vec<N>) -> Self {
        Node::List(list.into_iter().map(Into::into).collect())
    }
}

/// Documents, separated by `---`.
pub fn write(documents: &[Map]) -> String {
    let mut text = String::new();
    for (n, document) in documents.iter().enumerate() {
        if n > 0 {
            text.push_str("---\n");
        }
        write_map(&mut text, document, 0, false);
    }
    text
}

/// The first line of a map in a list follows the list's dash.
fn write_map(out: &mut String, map: &Map, indent: usize, is_item: bool) {
    for (n, entry) in map.0.iter().enumerate() {
        let is_after_dash = is_item && n == 0;
        if !is_after_dash {
            write_comment(out, entry.comment, indent);
            pad(out, indent);
        }
        out.push_str(&scalar(&entry.key));
        out.push(':');
        write_value(out, &entry.value, indent);
    }
}

fn write_comment(out: &mut String, comment: Option<&str>, indent: usize) {
    for line in comment.into_iter().flat_map(str::lines) {
        pad(out, indent);
        let _ = writeln!(out, "# {line}");
    }
}

fn write_value(out: &mut String, value: &Node, indent: usize) {
    match value {
        Node::Map(map) if map.0.is_empty() => out.push_str(" {}\n"),
        Node::List(list) if list.is_empty() => out.push_str(" []\n"),
        Node::Map(map) => {
            out.push('\n');
            write_map(out, map, indent + 2, false);
        }
        Node::List(list) => {
            out.push('\n');
            write_list(out, list, indent);
        }
        Node::Block(text) if is_exact_block(text) => {
            out.push_str(" |\n");
            for line in text.lines() {
                if !line.is_empty() {
                    pad(out, indent + 2);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        _ => {
            let _ = writeln!(out, " {}", plain(value));
        }
    }
}

fn write_list(out: &mut String, list: &[Node], indent: usize) {
    for item in list {
        if let Node::Map(Map(entries)) = item {
            // Above the dash, where a person looks for it.
            write_comment(out, entries.first().and_then(|entry| entry.comment), indent);
        }
        pad(out, indent);
        out.push('-');
        match item {
            Node::Map(map) if !map.0.is_empty() => {
                out.push(' ');
                write_map(out, map, indent + 2, true);
            }
            // No manifest has a list directly in a list; JSON is YAML.
            Node::List(items) => {
                let items: Vec<_> = items.iter().map(plain).collect();
                let _ = writeln!(out, " [{}]", items.join(", "));
            }
            Node::Map(_) => out.push_str(" {}\n"),
            _ => {
                let _ = writeln!(out, " {}", plain(item));
            }
        }
    }
}

fn plain(node: &Node) -> String {
    match node {
        Node::Text(text) | Node::Block(text) => scalar(text),
        Node::Number(number) => number.to_string(),
        Node::Bool(value) => value.to_string(),
        Node::List(_) | Node::Map(_) => String::new(),
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text as a plain scalar if it cannot mean anything else, or quoted.
pub fn scalar(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "true", "false", "yes", "no", "on", "off", "null", "y", "n", "inf", "nan",
    ];
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(is_inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// A text in double quotes: YAML, and JSON.
pub fn json(text: &str) -> String {
    quoted(text)
}

/// In double quotes, with the escapes of JSON, which are escapes of YAML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' '..='~' => out.push(c),
            // Line separators and the byte order mark have a meaning of their own.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a literal block with one final line break is read back as this text.
fn is_exact_block(text: &str) -> bool {
    let is_inner = |c: char| c == '\n' || c == '\t' || matches!(c, ' '..='~') || c as u32 > 0xa0;
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(is_inner)
        && !text.contains(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'])
        && !text
            .lines()
            .any(|line| line.starts_with('\t') || (line.trim().is_empty() && !line.is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr::{LoadableYamlNode, Yaml};

    use super::*;

    #[test]
    fn a_document_is_written_in_the_order_of_its_keys() {
        let document = Map::new()
            .with("kind", "Pod")
            .commented(
                "Why this one.",
                "list",
                vec![
                    Node::from(Map::new().with("name", "a").with("value", "8080")),
                    Node::from("b: c"),
                ],
            )
            .with("empty", Map::new())
            .with("text", Node::Block("health_port: 1\n\n# end\n".into()))
            .with("port", number(80_u16));
        assert_eq!(
            write(&[document, Map::new().with("no", true)]),
            "kind: Pod\n# Why this one.\nlist:\n- name: a\n  value: \"8080\"\n- \"b: c\"\n\
             empty: {}\ntext: |\n  health_port: 1\n\n  # end\nport: 80\n---\n\"no\": true\n"
        );
    }

    fn read(text: &str) -> Yaml<'_> {
        let mut documents = Yaml::load_from_str(text).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    #[test]
    fn words_and_numbers_stay_texts() {
        for text in [
            "no",
            "NO",
            "off",
            "~",
            "null",
            "1",
            "1.5",
            "0x1f",
            "1e3",
            ".inf",
            "12:30",
            "-",
            "- a",
            "a: b",
            "#x",
            "@a",
            "*a",
            "&a",
            "!a",
            "%a",
            "|",
            ">",
            "'",
            "\"",
            " a",
            "a ",
            "",
            "=",
            "<<",
            "2026-01-01",
            "a\nb",
            "\u{85}",
            "\u{feff}",
            "{",
            "[",
            ",",
            "?",
            "é",
            "\\",
        ] {
            for node in [Node::from(text), Node::Block(format!("{text}\n"))] {
                let expected = plain_text(&node);
                let written = write(&[Map::new().with("key", node)]);
                let back = read(&written);
                assert_eq!(back["key"].as_str(), Some(expected.as_str()), "{written}");
            }
        }
    }

    fn plain_text(node: &Node) -> String {
        match node {
            Node::Text(text) | Node::Block(text) => text.clone(),
            _ => String::new(),
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(key in "\\PC{1,20}", text in "(?s).{0,60}", block in "([ -~]{0,12}\n){0,5}") {
            let document = Map::new().with("fixed", Map::new().with(&key, text.clone()))
                .with("block", Node::Block(block.clone()));
            let written = write(&[document]);
            let back = read(&written);
            prop_assert_eq!(back["fixed"][key.as_str()].as_str(), Some(text.as_str()), "{}", written);
            prop_assert_eq!(back["block"].as_str(), Some(block.as_str()), "{}", written);
        }
    }
}
