//! Java's `.properties` format, as `java.util.Properties.load` reads it: the form of `broker.conf` and its relatives.
//! Knows the format only; which keys exist and what they mean is `base::keys` and its tables.
//!
//! ```text
//! # comment      ! comment         blank lines are skipped; leading blanks of a line are dropped
//! key=value      key : value       key value          the first unescaped '=', ':' or blank ends the key
//! key = a \      the backslash at the end joins the next line, whose leading blanks are dropped
//!       b
//! \t \n \r \f \uXXXX               escapes in keys and values; any other escaped character is itself
//! ```

use std::borrow::Cow;

/// One setting as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// The key, escapes resolved.
    pub key: String,
    /// The value, escapes resolved; trailing blanks are kept, as Java does.
    pub value: String,
}

/// Why a file is not in the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: malformed \\u escape `{found}`: four hexadecimal digits are needed")]
pub struct BadEscape {
    /// The line it stands on, counted from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
}

/// Reads a file's bytes. UTF-8 is read as such; anything else is read as ISO 8859-1, Java's encoding of this format.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, BadEscape> {
    let text = decode(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    logical_lines(text).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

/// One setting as a line that reads back as the same.
pub fn line(key: &str, value: &str) -> String {
    let mut line = String::with_capacity(key.len() + value.len() + 2);
    for c in key.chars() {
        escape(c, BLANKS.contains(&c) || ['=', ':', '#', '!'].contains(&c), &mut line);
    }
    line.push('=');
    let text = value.trim_start_matches(BLANKS).len();
    for (at, c) in value.char_indices() {
        escape(c, at < value.len() - text, &mut line);
    }
    line.push('\n');
    line
}

fn escape(c: char, special: bool, line: &mut String) {
    match c {
        '\t' => line.push_str("\\t"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\u{c}' => line.push_str("\\f"),
        c if special || c == '\\' => line.extend(['\\', c]),
        c => line.push(c),
    }
}

fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Joins continued lines and drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut joined: Option<(usize, String)> = None;
    for (index, natural) in natural_lines(text).enumerate() {
        let content = natural.trim_start_matches(BLANKS);
        if joined.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let (line, mut text) = joined.take().unwrap_or_else(|| (index + 1, String::new()));
        let continues = content.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        text.push_str(if continues { &content[..content.len() - 1] } else { content });
        if continues {
            joined = Some((line, text));
        } else {
            lines.push((line, text));
        }
    }
    lines.extend(joined);
    lines.retain(|(_, text)| !text.is_empty());
    lines
}

/// Lines end at `\n`, `\r\n` or a lone `\r`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

fn entry(line: usize, text: &str) -> Result<Entry, BadEscape> {
    let mut escaped = false;
    let key_end = text
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && (BLANKS.contains(c) || ['=', ':'].contains(c));
            escaped = !escaped && *c == '\\';
            ends
        })
        .map_or(text.len(), |(at, _)| at);
    let rest = text[key_end..].trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANKS);
    Ok(Entry { line, key: unescape(line, &text[..key_end])?, value: unescape(line, value)? })
}

fn unescape(line: usize, text: &str) -> Result<String, BadEscape> {
    // UTF-16 units, because a character above U+FFFF is written as two escapes.
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        let Some(escaped) = rest[at + 1..].chars().next() else {
            rest = "";
            break;
        };
        rest = &rest[at + 1 + escaped.len_utf8()..];
        match escaped {
            't' => units.push(u16::from(b'\t')),
            'n' => units.push(u16::from(b'\n')),
            'r' => units.push(u16::from(b'\r')),
            'f' => units.push(0xc),
            'u' => {
                let digits: String = rest.chars().take(4).collect();
                let unit =
                    u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4 && !digits.starts_with('+'));
                units.push(unit.ok_or_else(|| BadEscape { line, found: format!("\\u{digits}") })?);
                rest = &rest[digits.len()..];
            }
            other => units.extend(other.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    units.extend(rest.encode_utf16());
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).expect("well formed").into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut found = pairs(text);
        assert_eq!(found.len(), 1, "{text:?}");
        found.remove(0)
    }

    #[test]
    fn separators_are_the_first_unescaped_equals_colon_or_blank() {
        for text in
            ["a=b", "a = b", "a:b", "a : b", "a b", "a\tb", "  a=b", "a   =   b", "a=b\n", "a=b\r\n", "\u{feff}a=b"]
        {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("namesrvAddr=1.1.1.1:9876;h:9876"), ("namesrvAddr".into(), "1.1.1.1:9876;h:9876".into()));
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one("a\\=b=c"), ("a=b".into(), "c".into()));
        assert_eq!(one("a\\ b c"), ("a b".into(), "c".into()));
        assert_eq!(one("alone"), ("alone".into(), String::new()));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        assert_eq!(pairs("# a=b\n! c=d\n\n \t\n   # e\nf=g#h\n"), [("f".into(), "g#h".into())]);
    }

    #[test]
    fn a_backslash_at_the_end_joins_the_next_line() {
        assert_eq!(one("a = b,\\\n    c,\\\r\n\td"), ("a".into(), "b,c,d".into()));
        assert_eq!(pairs("a=b\\\\\nc=d"), [("a".into(), "b\\".into()), ("c".into(), "d".into())]);
        assert_eq!(one("a=b\\"), ("a".into(), "b".into()));
        assert_eq!(one("a=b\\\n# c"), ("a".into(), "b# c".into()));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(one("a=C:\\\\x\\ty\\n\\z"), ("a".into(), "C:\\x\ty\nz".into()));
        assert_eq!(one("a=\\u6d88\\u606F\\ud83d\\ude00"), ("a".into(), "消息😀".into()));
        assert_eq!(parse(b"x=1\ny=\\u12g4"), Err(BadEscape { line: 2, found: "\\u12g4".into() }));
        assert!(parse(b"y=\\u12").is_err());
        assert!(parse(b"y=\\u+123").is_err());
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for (key, value) in
            [("a", "b"), ("a b", " c = d "), ("#x", "\\u0041"), ("é:=", "消\t\n\r\u{c} "), ("k", ""), ("k", "  ")]
        {
            assert_eq!(one(&line(key, value)), (key.to_owned(), value.to_owned()), "{}", line(key, value));
        }
    }

    #[test]
    fn trailing_blanks_stay_and_lines_are_counted() {
        let found = parse(b"\n# c\na=1 \nb=2\\\n  3\nc=4").expect("well formed");
        assert_eq!(found.iter().map(|entry| entry.line).collect::<Vec<_>>(), [3, 4, 6]);
        assert_eq!(found[0].value, "1 ");
        assert_eq!(found[1].value, "23");
    }

    #[test]
    fn latin_1_is_read_when_it_is_not_utf_8() {
        assert_eq!(parse(b"a=\xe9").expect("well formed")[0].value, "é");
        assert_eq!(parse("a=é".as_bytes()).expect("well formed")[0].value, "é");
    }
}
