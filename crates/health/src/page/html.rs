//! Writing HTML. Text gets into a document only through [`Html::text`] and [`Html::attribute`],
//! which escape it.

use super::format;
use super::view::Tone;

/// A piece of a document.
#[derive(Default)]
pub(super) struct Html(pub(super) String);

impl Html {
    /// Adds markup of this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text from anywhere.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        escape(&mut self.0, text.as_ref());
        self
    }

    /// Adds ` name="value"` with a value from anywhere.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl AsRef<str>) -> &mut Self {
        self.0.push(' ');
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape(&mut self.0, value.as_ref());
        self.0.push('"');
        self
    }

    /// A word in the colour of its meaning.
    pub(super) fn badge(&mut self, word: &str, tone: Tone) -> &mut Self {
        self.raw("<span class=\"badge ")
            .raw(tone.class())
            .raw("\">");
        self.text(word.replace('_', " ")).raw("</span>")
    }

    /// A time; the script shows how long ago it was.
    pub(super) fn time(&mut self, ms: u64) -> &mut Self {
        let at = format::rfc3339(ms);
        let plain = at.replace('T', " ").replace('Z', " UTC");
        self.raw("<time")
            .attribute("datetime", &at)
            .attribute("title", &plain);
        self.raw(">").text(plain).raw("</time>")
    }
}

/// Control characters are replaced: a browser would show nothing, or reorder the rest.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
