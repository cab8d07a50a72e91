//! Content lines of RFC 5545: escaped where they are text, folded at 75 bytes, ended by CR LF.

/// The longest line in bytes, without its end.
const MAX_BYTES: usize = 75;

/// Lines, in order.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A line whose value is not text: dates, rules, words of the standard.
    pub fn raw(&mut self, name: &str, value: &str) {
        // What ends a line in here would begin another property.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        self.fold(&format!("{name}:{value}"));
    }

    /// A line whose value is text of any kind.
    pub fn text(&mut self, name: &str, value: &str) {
        self.fold(&format!("{name}:{}", escaped(value)));
    }

    /// Lines that were made apart.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub fn into_text(self) -> String {
        self.0
    }

    /// A line that goes on begins with a space; characters are never divided.
    fn fold(&mut self, line: &str) {
        let mut used = 0;
        for c in line.chars() {
            if used + c.len_utf8() > MAX_BYTES {
                self.0.push_str("\r\n ");
                used = 1;
            }
            self.0.push(c);
            used += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// Text as a value: each line break is `\n`, once; other control characters cannot be said and are left out.
fn escaped(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\\' | ';' | ',' => value.extend(['\\', c]),
            '\n' | '\r' => value.push_str("\\n"),
            '\t' => value.push(c),
            c if c.is_control() => {}
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        let mut lines = Lines::default();
        lines.text("SUMMARY", value);
        lines.into_text()
    }

    #[test]
    fn text_is_escaped_once() {
        assert_eq!(text("a\nb\r\nc"), "SUMMARY:a\\nb\\nc\r\n");
        assert_eq!(text("1, 2; \\ \"x\": y"), "SUMMARY:1\\, 2\\; \\\\ \"x\": y\r\n");
        assert_eq!(text("bell\u{7}"), "SUMMARY:bell\r\n");
    }

    #[test]
    fn a_value_cannot_begin_another_property() {
        let mut lines = Lines::default();
        lines.raw("URL", "http://x\r\nATTENDEE:y");
        assert_eq!(lines.into_text(), "URL:http://xATTENDEE:y\r\n");
    }

    #[test]
    fn long_lines_are_folded_between_characters_and_come_back() {
        for piece in ["x", "é", "機", "🚂", "a b"] {
            for times in [1, 20, 34, 35, 36, 37, 70, 300] {
                let long = piece.repeat(times);
                let folded = text(&long);
                assert!(folded.split("\r\n").all(|line| line.len() <= MAX_BYTES), "{folded}");
                assert_eq!(folded.replace("\r\n ", ""), format!("SUMMARY:{long}\r\n"));
            }
        }
    }
}
