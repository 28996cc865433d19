//! JSON headers (INTEROP 01 §2). What clients really send is read by a scanner that borrows from the frame; anything
//! else goes through the tree parser with fastjson's tolerance. Written as fastjson writes it, without an allocation.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::super::command::{Command, Ext, FLAG_RESPONSE, Head, HeaderError, VERSION, Value};
use super::super::fastjson::{self, Form, Json, Key};
use super::super::frame::{Frame, Serialization};
use super::digits;

/// Language names by their byte (INTEROP 01 §5).
const LANGUAGES: &[&str] = &[
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST",
    "NODE_JS",
];
/// Most values in an unusual header; the scanner, which builds nothing, takes any number of fields.
const HEADER_NODES_MAX: usize = 4096;
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
    let text = std::str::from_utf8(frame.header).ok();
    match text.and_then(|text| Scanner { text, bytes: text.as_bytes(), at: 0 }.command(frame.body)) {
        Some(command) => Ok(command),
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
    fn command(mut self, body: &'a [u8]) -> Option<Command<'a>> {
        let mut command = Command {
            code: 0,
            language: 0,
            version: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: Ext::default(),
            body,
            serialization: Serialization::Json,
        };
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
        (self.at == self.bytes.len()).then_some(command)
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
        loop {
            self.skip_blanks();
            let name = self.name()?;
            self.skip_blanks();
            match self.scalar()? {
                Some(value) => ext.push(name, value),
                None => ext.remove(name),
            }
            self.skip_blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
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
    out.reserve(160 + head.ext.len() * 40);
    out.put_slice(b"{\"code\":");
    int(out, i64::from(head.code));
    // A response always has extFields: C++ clients look into them without looking whether they are there.
    if !head.ext.is_empty() || head.flag & FLAG_RESPONSE != 0 {
        out.put_slice(b",\"extFields\":{");
        for (at, (name, value)) in head.ext.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            text(out, name);
            match value {
                Value::Str(value) => {
                    out.put_u8(b':');
                    text(out, value);
                }
                Value::I64(number) => {
                    out.put_slice(b":\"");
                    int(out, *number);
                    out.put_u8(b'"');
                }
                Value::Bool(true) => out.put_slice(b":\"true\""),
                Value::Bool(false) => out.put_slice(b":\"false\""),
            }
        }
        out.put_u8(b'}');
    }
    out.put_slice(b",\"flag\":");
    int(out, i64::from(head.flag));
    out.put_slice(b",\"language\":\"JAVA\",\"opaque\":");
    int(out, i64::from(head.opaque));
    if let Some(remark) = head.remark {
        out.put_slice(b",\"remark\":");
        text(out, remark);
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    int(out, i64::from(VERSION));
    out.put_u8(b'}');
}

fn int(out: &mut BytesMut, number: i64) {
    out.put_slice(digits(&mut [0; 20], number));
}

fn text(out: &mut BytesMut, text: &str) {
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\');
    if plain {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        fastjson::write_text(out, text, Form::Fastjson);
    }
}
