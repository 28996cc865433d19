//! JSON headers (INTEROP 01 §2). What clients really send is read by a scanner that borrows from the frame; anything
//! else goes through the tree parser with fastjson's tolerance. Written as fastjson writes it, without an allocation.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::super::command::{Command, Ext, FIELDS_MAX, FLAG_RESPONSE, Head, HeaderError, VERSION, Value};
use super::super::fastjson::{self, Form, Json, Key};
use super::super::frame::{Frame, Serialization};
use super::digits;

/// Language names by their byte (INTEROP 01 §5).
const LANGUAGES: &[&str] = &[
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST",
    "NODE_JS",
];
/// Most values in an unusual header.
const HEADER_NODES_MAX: usize = 4 * FIELDS_MAX;
/// The byte of a language that nobody knows.
const OTHER: u8 = 7;

/// Java's name of a language byte; unknown ones are `OTHER`.
pub(in super::super) fn language_name(language: u8) -> &'static str {
    LANGUAGES.get(usize::from(language)).copied().unwrap_or("OTHER")
}

fn language_of(name: &str) -> u8 {
    if name == "JAVA" {
        return 0;
    }
    LANGUAGES.iter().position(|known| known.eq_ignore_ascii_case(name)).map_or(OTHER, |at| at as u8)
}

pub(in super::super) fn parse<'a>(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
    let mut command = Command {
        code: 0,
        language: 0,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        ext: Ext::default(),
        body: frame.body,
        serialization: Serialization::Json,
    };
    // Filled in place: a command is a kilobyte, not to be moved about.
    let text = std::str::from_utf8(frame.header).ok();
    match text.and_then(|text| Scanner { text, bytes: text.as_bytes(), at: 0 }.read(&mut command)) {
        Some(()) => Ok(command),
        None => parse_tolerantly(frame),
    }
}

/// The reference for the scanner: whatever fastjson takes. Used for what the scanner does not know, and by the fuzzer to
/// compare the two.
pub(in super::super) fn parse_tolerantly<'a>(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
    let fail = |found: String| HeaderError { serialization: Serialization::Json, found };
    let (json, _) =
        fastjson::parse_literally(frame.header, HEADER_NODES_MAX).map_err(|error| fail(error.to_string()))?;
    if !matches!(json, Json::Object(_)) {
        return Err(fail("no JSON object".to_owned()));
    }
    let number = |name: &str| -> Result<i32, HeaderError> {
        match json.get(name) {
            None => Ok(0),
            Some(value) => fastjson::from_json::<Option<i32>>(value)
                .map(Option::unwrap_or_default)
                .map_err(|error| fail(format!("{name}: {error}"))),
        }
    };
    let text = |value: &Json| match value {
        Json::Text(text) => text.clone(),
        other => String::from_utf8_lossy(&fastjson::to_vec(other, Form::Fastjson)).into_owned(),
    };
    let mut ext = Ext::default();
    match json.get("extFields") {
        None | Some(Json::Null) => {}
        Some(Json::Object(fields)) if fields.len() > FIELDS_MAX => {
            return Err(fail(format!("{} fields, more than the limit of {FIELDS_MAX}", fields.len())));
        }
        Some(Json::Object(fields)) => {
            for (key, value) in fields {
                let name = match key {
                    Key::Name(name) => name.clone(),
                    Key::Bean(bean) => text(bean),
                };
                match value {
                    Json::Null => ext.remove(&name),
                    value => ext.push(name, text(value)),
                }
            }
        }
        Some(_) => return Err(fail("extFields is no object".to_owned())),
    }
    Ok(Command {
        code: number("code")?,
        language: match json.get("language") {
            Some(Json::Text(name)) => language_of(name),
            Some(Json::Int(ordinal)) => {
                u8::try_from(*ordinal).ok().filter(|byte| usize::from(*byte) < LANGUAGES.len()).unwrap_or(OTHER)
            }
            None | Some(Json::Null) => 0,
            Some(_) => OTHER,
        },
        version: number("version")?,
        opaque: number("opaque")?,
        flag: number("flag")?,
        remark: json.get("remark").filter(|value| **value != Json::Null).map(|value| Cow::Owned(text(value))),
        ext,
        body: frame.body,
        serialization: Serialization::Json,
    })
}

/// One pass over the text; `None` means "not the usual form", never "wrong".
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn read(mut self, command: &mut Command<'a>) -> Option<()> {
        self.skip_blanks();
        self.expect(b'{')?;
        loop {
            self.skip_blanks();
            let name = self.name()?;
            self.skip_blanks();
            match name {
                "code" => command.code = self.int()?,
                "version" => command.version = self.int()?,
                "opaque" => command.opaque = self.int()?,
                "flag" => command.flag = self.int()?,
                "language" => command.language = language_of(&self.string()?),
                "remark" => command.remark = self.scalar()?,
                "extFields" => self.fields(&mut command.ext)?,
                _ => {
                    self.scalar()?;
                }
            }
            self.skip_blanks();
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.skip_blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    fn fields(&mut self, ext: &mut Ext<'a>) -> Option<()> {
        ext.clear();
        if self.peek()? != b'{' {
            // null is no field at all; anything else is not usual.
            return self.scalar()?.is_none().then_some(());
        }
        self.at += 1;
        self.skip_blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        // More of them are not usual: the other parser refuses them.
        for _ in 0..FIELDS_MAX {
            if let Some((name, value)) = self.usual_field() {
                ext.push_borrowed(name, value);
                match self.next()? {
                    b',' => continue,
                    b'}' => return Some(()),
                    _ => self.at -= 1,
                }
            } else {
                self.field(ext)?;
            }
            self.skip_blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// `"name":"value"` without a blank or an escape, as nearly every field is; otherwise nothing is taken.
    #[inline(always)]
    fn usual_field(&mut self) -> Option<(&'a str, &'a str)> {
        let name = self.at + 1;
        let name_end = name + find_special(self.bytes.get(name..)?)?;
        if self.bytes.get(name - 1) != Some(&b'"') || self.bytes.get(name_end..name_end + 3) != Some(b"\":\"") {
            return None;
        }
        let value = name_end + 3;
        let value_end = value + find_special(&self.bytes[value..])?;
        if self.bytes[value_end] != b'"' {
            return None;
        }
        let field = (self.text.get(name..name_end)?, self.text.get(value..value_end)?);
        self.at = value_end + 1;
        Some(field)
    }

    /// Any other field.
    #[inline(never)]
    fn field(&mut self, ext: &mut Ext<'a>) -> Option<()> {
        self.skip_blanks();
        let name = self.name()?;
        self.skip_blanks();
        match self.scalar()? {
            Some(value) => ext.push(name, value),
            None => ext.remove(name),
        }
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// A quoted name without escapes, and the colon behind it.
    fn name(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + find_special(&self.bytes[start..])?;
        if self.bytes[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        self.skip_blanks();
        self.expect(b':')?;
        self.text.get(start..end)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + find_special(&self.bytes[start..])?;
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        self.at = end;
        self.unescape(start).map(Cow::Owned)
    }

    /// The text from `start`, standing on its first backslash. Escapes that JSON has; others are not usual.
    #[inline(never)]
    fn unescape(&mut self, start: usize) -> Option<String> {
        // What is left is at most one value, and mostly this one; an escape never grows.
        let mut out = String::with_capacity((self.bytes.len() - start).min(1024));
        let mut from = start;
        loop {
            out.push_str(self.text.get(from..self.at)?);
            let special = self.next()?;
            if special == b'"' {
                return Some(out);
            }
            let character = match self.next()? {
                b'u' => self.utf16()?,
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                _ => return None,
            };
            out.push(character);
            from = self.at;
            self.at += find_special(&self.bytes[from..])?;
        }
    }

    fn utf16(&mut self) -> Option<char> {
        let high = self.hex()?;
        if !(0xd800..0xe000).contains(&high) {
            return char::from_u32(high);
        }
        self.expect(b'\\')?;
        self.expect(b'u')?;
        let low = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    }

    /// A whole number of 32 bits; `null` is 0. Larger ones are not usual: the other parser refuses them.
    fn int(&mut self) -> Option<i32> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let mut value: i64 = 0;
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - first > 10 {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        if self.at == first {
            self.at = start;
            return self.scalar()?.is_none().then_some(0);
        }
        if !matches!(self.peek()?, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t') {
            return None;
        }
        i32::try_from(if negative { -value } else { value }).ok()
    }

    /// Text, a number as its text, `true` or `false` as their text; `None` within for `null`.
    fn scalar(&mut self) -> Option<Option<Cow<'a, str>>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string().map(Some),
            b'-' | b'0'..=b'9' => {
                self.at += 1;
                while let Some(b'0'..=b'9') = self.peek() {
                    self.at += 1;
                }
                // Numbers that the tree does not give back as they stand are not usual.
                let text = self.text.get(start..self.at)?;
                let plain = text.len() < 19 && !text.starts_with("-0") && (text == "0" || !text.starts_with('0'));
                if !plain || text == "-" {
                    return None;
                }
            }
            _ => {
                while let Some(b'a'..=b'z') = self.peek() {
                    self.at += 1;
                }
            }
        }
        if !matches!(self.peek()?, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t') {
            return None;
        }
        match self.text.get(start..self.at)? {
            "" => None,
            "null" => Some(None),
            text @ ("true" | "false") => Some(Some(Cow::Borrowed(text))),
            text if !text.as_bytes()[0].is_ascii_alphabetic() => Some(Some(Cow::Borrowed(text))),
            _ => None,
        }
    }
}

/// Where the first quote or backslash is, eight bytes at a time.
#[inline(always)]
fn find_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // The lowest marked byte is exact; a borrow can only mark bytes above a real hit.
        let hit = ((quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash)) & HIGHS;
        if hit != 0 {
            return Some(at + hit.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|found| at + found)
}

pub(in super::super) fn write(out: &mut BytesMut, head: &Head<'_>) {
    // The fixed parts take 106 bytes, five numbers of at most 11.
    let mut len = 192;
    let mut plain = true;
    for (name, value) in head.ext {
        len += name.len() + 6;
        plain &= is_plain(name);
        match value {
            Value::Str(text) => {
                len += text.len();
                plain &= is_plain(text);
            }
            Value::I64(_) | Value::Bool(_) => len += 20,
        }
    }
    if let Some(remark) = head.remark {
        len += remark.len();
        plain &= is_plain(remark);
    }
    if !plain {
        return write_escaped(out, head);
    }
    let start = out.len();
    out.resize(start + len, 0);
    let mut to = Cursor { buf: &mut out[start..], at: 0 };
    write_to(&mut to, head);
    let written = to.at;
    out.truncate(start + written);
}

/// The general case, where some text needs escapes.
#[cold]
fn write_escaped(out: &mut BytesMut, head: &Head<'_>) {
    write_to(&mut Escaping(out), head);
}

/// Where the parts of a header go.
trait Sink {
    fn raw(&mut self, bytes: &[u8]);
    fn text(&mut self, text: &str);

    fn int(&mut self, number: i64) {
        self.raw(digits(&mut [0; 20], number));
    }
}

/// Into a place that is long enough, text that needs no escapes.
struct Cursor<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl Sink for Cursor<'_> {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.buf[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }
}

struct Escaping<'a>(&'a mut BytesMut);

impl Sink for Escaping<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        fastjson::write_escaped(self.0, text, Form::Fastjson);
    }
}

#[inline]
fn write_to(out: &mut impl Sink, head: &Head<'_>) {
    out.raw(b"{\"code\":");
    out.int(i64::from(head.code));
    // A response always has extFields: C++ clients look into them without looking whether they are there.
    if !head.ext.is_empty() || head.flag & FLAG_RESPONSE != 0 {
        out.raw(b",\"extFields\":{");
        let mut quote: &[u8] = b"\"";
        for (name, value) in head.ext {
            out.raw(quote);
            quote = b",\"";
            out.text(name);
            out.raw(b"\":\"");
            match value {
                Value::Str(text) => out.text(text),
                Value::I64(number) => out.int(*number),
                Value::Bool(true) => out.raw(b"true"),
                Value::Bool(false) => out.raw(b"false"),
            }
            out.raw(b"\"");
        }
        out.raw(b"}");
    }
    out.raw(b",\"flag\":");
    out.int(i64::from(head.flag));
    out.raw(b",\"language\":\"");
    out.raw(language_name(head.language).as_bytes());
    out.raw(b"\",\"opaque\":");
    out.int(i64::from(head.opaque));
    if let Some(remark) = head.remark {
        out.raw(b",\"remark\":\"");
        out.text(remark);
        out.raw(b"\"");
    }
    out.raw(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.int(i64::from(VERSION));
    out.raw(b"}");
}

/// Whether fastjson writes the text as it is; without early exit, so that it is done many bytes at a time.
#[inline]
fn is_plain(text: &str) -> bool {
    let odd = |byte: u8| !(0x20..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |found, byte| found | odd(byte))
}
