//! A task in YAML, to be changed and sent on.
//!
//! The server reads YAML 1.1, in which a plain `yes` is a boolean and `1:30` a number. So a
//! plain scalar that might be anything but text stays as it was written.

use std::collections::HashMap;
use std::fmt::Write;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// A YAML document whose scalars keep their form.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text, and whether it was written without quotes.
    Scalar {
        /// The text without quotes.
        text: String,
        /// Whether it had no quotes, so that it may be a number, a boolean or null.
        is_plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of its keys.
    Map(Vec<(Node, Node)>),
}

/// Aliases may multiply: a document has at most this many nodes.
const MAX_NODES: usize = 100_000;

impl Node {
    /// A text, whatever it looks like.
    pub fn text(text: impl Into<String>) -> Self {
        Node::Scalar {
            text: text.into(),
            is_plain: false,
        }
    }

    /// A number or a boolean.
    pub fn plain(value: impl ToString) -> Self {
        Node::Scalar {
            text: value.to_string(),
            is_plain: true,
        }
    }

    /// An empty map.
    pub fn map() -> Self {
        Node::Map(Vec::new())
    }

    /// Parses the only document of `text`. The error says where the problem is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event
                .map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
            reader
                .take(event)
                .map_err(|problem| format!("line {}: {problem}", span.start.line()))?;
        }
        Ok(reader.root.unwrap_or_else(|| Node::plain("")))
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Node::Map(pairs) = self else { return None };
        pairs
            .iter()
            .find(|(name, _)| name.is(key))
            .map(|(_, value)| value)
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let Node::Map(pairs) = self else { return None };
        let found = pairs.iter_mut().find(|(name, _)| name.is(key));
        found.map(|(_, value)| value)
    }

    /// Sets a key of a map; null becomes a map first.
    pub fn set(&mut self, key: &str, value: Node) {
        self.remove(key);
        if let Node::Map(pairs) = self.or_map() {
            pairs.push((Node::text(key), value));
        }
    }

    /// Removes a key of a map.
    pub fn remove(&mut self, key: &str) {
        if let Node::Map(pairs) = self {
            pairs.retain(|(name, _)| !name.is(key));
        }
    }

    /// The map under a key, which is created if it is missing or null.
    ///
    /// # Errors
    /// If something else is there.
    pub fn map_at(&mut self, key: &str) -> Result<&mut Node, String> {
        if self.get(key).is_none() {
            self.set(key, Node::map());
        }
        match self.get_mut(key).map(Node::or_map) {
            Some(map @ Node::Map(_)) => Ok(map),
            _ => Err(format!("{key}: expected a map")),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Node::Scalar { text, is_plain: true }
            if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Node::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The document as YAML on one line.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out.push('\n');
        out
    }

    fn is(&self, key: &str) -> bool {
        matches!(self, Node::Scalar { text, .. } if text == key)
    }

    fn or_map(&mut self) -> &mut Node {
        if self.is_null() {
            *self = Node::map();
        }
        self
    }

    fn write(&self, out: &mut String) {
        match self {
            Node::Scalar { text, is_plain } => match *is_plain && may_be_no_text(text) {
                true if text.is_empty() => out.push_str("null"),
                true => out.push_str(text),
                false => write_quoted(text, out),
            },
            Node::List(items) => {
                write_joined('[', ']', items, out, |item, out| item.write(out));
            }
            Node::Map(pairs) => {
                write_joined('{', '}', pairs, out, |(key, value), out| {
                    key.write(out);
                    out.push_str(": ");
                    value.write(out);
                });
            }
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Node::Scalar { .. } => 0,
            Node::List(items) => items.iter().map(Node::count).sum(),
            Node::Map(pairs) => pairs.iter().map(|(k, v)| k.count() + v.count()).sum(),
        }
    }
}

/// Whether a plain scalar may be null, a boolean, a number, a time or a merge key in YAML
/// 1.1 or 1.2. If in doubt, it may: it then stays plain.
fn may_be_no_text(text: &str) -> bool {
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "~" | "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "<<" | "="
    );
    let mut bytes = text.bytes();
    let begins = bytes
        .next()
        .is_some_and(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    is_word || begins && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-._: ".contains(&b))
}

/// A JSON string, which is also YAML if all control characters are escaped.
fn write_quoted(text: &str, out: &mut String) {
    let json = serde_json::Value::from(text).to_string();
    for c in json.chars() {
        match c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            true => drop(write!(out, "\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
}

fn write_joined<T>(
    open: char,
    close: char,
    items: &[T],
    out: &mut String,
    write: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        write(item, out);
    }
    out.push(close);
}

/// Builds the document from the events of a parser.
#[derive(Default)]
struct Reader {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

/// A list or a map that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Node>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("expected one task, found a second document".to_owned())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = match tag {
                    None => style == ScalarStyle::Plain,
                    Some(tag) if is_string(&tag) => false,
                    Some(tag) => return Err(format!("the tag {tag} is not supported")),
                };
                let text = text.into_owned();
                self.add(Node::Scalar { text, is_plain }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.open(Node::List(Vec::new()), anchor, tag),
            Event::MappingStart(anchor, tag) => self.open(Node::map(), anchor, tag),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.add(node, anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.add(node, 0),
                None => Err("an alias refers to what contains it".to_owned()),
            },
            _ => Ok(()),
        }
    }

    fn open<T: std::ops::Deref<Target = Tag>>(
        &mut self,
        node: Node,
        anchor: usize,
        tag: Option<T>,
    ) -> Result<(), String> {
        if let Some(tag) = tag {
            return Err(format!("the tag {} is not supported", *tag));
        }
        self.open.push(Open {
            node,
            anchor,
            key: None,
        });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.nodes += match node {
            Node::Scalar { .. } => 1,
            _ => node.count(),
        };
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node, open.key.take()) {
            (Node::List(items), _) => items.push(node),
            (Node::Map(_), None) => open.key = Some(node),
            (Node::Map(pairs), Some(key)) => pairs.push((key, node)),
            (Node::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

fn is_string(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        Node::parse(text).unwrap().to_yaml()
    }

    #[test]
    fn a_plain_scalar_stays_plain_if_it_may_be_no_text() {
        assert_eq!(
            again(
                "a: yes\nb: 'yes'\nc: 1:30\nd: 0o17\ne: 2001-01-01\nf: A10G:1\ng:\nh: ~\n1: .5\n"
            ),
            "{\"a\": yes, \"b\": \"yes\", \"c\": 1:30, \"d\": 0o17, \"e\": 2001-01-01, \
             \"f\": \"A10G:1\", \"g\": null, \"h\": ~, 1: .5}\n"
        );
    }

    #[test]
    fn blocks_lists_and_aliases_become_one_line() {
        assert_eq!(
            again("x: &x {p: 1}\nrun: |\n  echo \"a, b\" # c\n  exit\nl:\n- *x\n- [a, b]\n"),
            "{\"x\": {\"p\": 1}, \"run\": \"echo \\\"a, b\\\" # c\\nexit\\n\", \
             \"l\": [{\"p\": 1}, [\"a\", \"b\"]]}\n"
        );
        assert_eq!(
            again("a: \"\\x7f\\u2028\"\n"),
            "{\"a\": \"\\u007f\\u2028\"}\n"
        );
        assert_eq!(again("a: !!str 12\n"), "{\"a\": \"12\"}\n");
    }

    #[test]
    fn keys_are_set_in_maps_that_may_be_missing() {
        let mut node = Node::parse("run: x\nresources:\n").unwrap();
        let mut set = |key, name, value| node.map_at(key).unwrap().set(name, Node::text(value));
        set("resources", "cpus", "2+");
        set("envs", "A", "1");
        set("envs", "A", "2");
        assert!(node.map_at("run").is_err());
        node.set("num_nodes", Node::plain(2));
        assert_eq!(
            node.to_yaml(),
            "{\"run\": \"x\", \"resources\": {\"cpus\": \"2+\"}, \"envs\": {\"A\": \"2\"}, \
             \"num_nodes\": 2}\n"
        );
    }

    #[test]
    fn what_is_no_single_task_is_rejected_with_its_line() {
        for wrong in [
            "a: 1\n---\nb: 2\n",
            "a: {b",
            "a: !!python/object x\n",
            "a: &a [*a]\n",
        ] {
            let error = Node::parse(wrong).unwrap_err();
            assert!(error.starts_with("line "), "{wrong:?}: {error}");
        }
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let many = [format!("*a{}", n - 1).as_str(); 10].join(", ");
            bomb += &format!("a{n}: &a{n} [{many}]\n");
        }
        assert!(Node::parse(&bomb).unwrap_err().contains("more than"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again_unchanged(text in "(?s).{0,60}", key in "[a-z]{1,5}") {
            let mut node = Node::map();
            node.set(&key, Node::text(text));
            proptest::prop_assert_eq!(Node::parse(&node.to_yaml()), Ok(node));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "[a-c:#{}\\[\\]|&*! \n\t'\"-]{0,80}") {
            let _ = Node::parse(&text).map(|node| node.to_yaml());
        }
    }
}
