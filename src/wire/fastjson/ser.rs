//! From serde's types to text as fastjson writes it: no blanks, keys sorted, null members left out, numeric keys bare,
//! beans as keys. Written straight into the buffer; members that come out of order are put in order afterwards.

use std::fmt::Display;

use bytes::BufMut;
use serde::Serialize;
use serde::ser::{self, SerializeMap, SerializeSeq, SerializeStruct};

use super::{Json, JsonError, Key};

/// How a document is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As fastjson 1.x does by default: numeric keys bare, UTF-8 raw.
    #[default]
    Fastjson,
    /// The route form for version 401 and later (INTEROP 04 §1, BrowserCompatible): numeric keys quoted, `/` and
    /// everything from U+007F on escaped, whole numbers beyond 53 bits quoted.
    Standard,
    /// As [`Form::Fastjson`], on lines with TAB indentation like Java's state files (STORE 5.1).
    Pretty,
}

pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T, form: Form) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(256), form, depth: 0 };
    match value.serialize(&mut writer) {
        Ok(()) => writer.out,
        // Only values of our own types are written: none of them has a key that is no key.
        Err(_) => b"null".to_vec(),
    }
}

/// Appends `text` in quotes with fastjson's escapes.
fn write_text(out: &mut Vec<u8>, text: &str, form: Form) {
    out.push(b'"');
    write_escaped(out, text, form);
    out.push(b'"');
}

/// Appends `text` with fastjson's escapes, without quotes.
pub(crate) fn write_escaped(out: &mut impl BufMut, text: &str, form: Form) {
    let mut from = 0;
    for (at, character) in text.char_indices() {
        let short = match character {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\t' => b't',
            '\r' => b'r',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            '/' if form == Form::Standard => b'/',
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => b'u',
            '\u{a0}'.. if form == Form::Standard => b'u',
            _ => continue,
        };
        out.put_slice(&text.as_bytes()[from..at]);
        from = at + character.len_utf8();
        if short != b'u' {
            out.put_slice(&[b'\\', short]);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |shift: u16| DIGITS[usize::from((*unit >> shift) & 15)];
            out.put_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
        }
    }
    out.put_slice(&text.as_bytes()[from..]);
}

struct Writer {
    out: Vec<u8>,
    form: Form,
    depth: usize,
}

impl Writer {
    fn text(&mut self, text: &str) {
        write_text(&mut self.out, text, self.form);
    }

    fn int(&mut self, int: i64) {
        let quoted = self.form == Form::Standard && int.unsigned_abs() > 1 << 53;
        if quoted {
            self.out.push(b'"');
        }
        self.out.extend_from_slice(int.to_string().as_bytes());
        if quoted {
            self.out.push(b'"');
        }
    }

    fn line(&mut self) {
        if self.form == Form::Pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.depth, b'\t');
        }
    }

    fn open(&mut self, bracket: u8) -> Open<'_> {
        self.out.push(bracket);
        self.depth += 1;
        Open { start: self.out.len(), writer: self, members: Vec::new(), sorted: true, key: 0..0 }
    }
}

/// An object or a list that is being written.
struct Open<'a> {
    writer: &'a mut Writer,
    start: usize,
    /// Where each member lies in the buffer, separators excluded, and where its key ends.
    members: Vec<(std::ops::Range<usize>, usize)>,
    sorted: bool,
    key: std::ops::Range<usize>,
}

impl Open<'_> {
    fn comma(&mut self) {
        if self.writer.out.len() > self.start {
            self.writer.out.push(b',');
        }
    }

    fn separate(&mut self) -> usize {
        self.comma();
        self.writer.line();
        self.writer.out.len()
    }

    fn write_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        let before = self.writer.out.len();
        let mut start = self.separate();
        key.serialize(KeyWriter(self.writer))?;
        // fastjson starts a line for a key that is text, and for no other (STORE 5.1).
        if self.writer.form == Form::Pretty && self.writer.out.get(start) != Some(&b'"') {
            let line = start - self.writer.depth - 1;
            self.writer.out.drain(line..start);
            start = line;
        }
        // `key` remembers where to cut should the value be null.
        self.key = before..start;
        self.writer.out.push(b':');
        Ok(())
    }

    fn write_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        let key_end = self.writer.out.len();
        value.serialize(&mut *self.writer)?;
        let out = &mut self.writer.out;
        if out[key_end..] == *b"null" {
            out.truncate(self.key.start);
            return Ok(());
        }
        let member = self.key.end..out.len();
        if let Some((last, last_key_end)) = self.members.last() {
            // Bare numbers and beans come sorted from their maps.
            self.sorted &= out[member.start] != b'"' || out[last.start..*last_key_end] <= out[member.start..key_end];
        }
        self.members.push((member, key_end));
        Ok(())
    }

    fn close(mut self, bracket: u8) -> Result<(), JsonError> {
        if !self.sorted {
            let written = self.writer.out.split_off(self.start);
            let start = self.start;
            self.members.sort_by(|(a, a_key), (b, b_key)| {
                written[a.start - start..a_key - start].cmp(&written[b.start - start..b_key - start])
            });
            for (member, _) in std::mem::take(&mut self.members) {
                let text = &written[member.start - start..member.end - start];
                self.comma();
                if text.first() == Some(&b'"') {
                    self.writer.line();
                }
                self.writer.out.extend_from_slice(text);
            }
        }
        self.writer.depth -= 1;
        if self.writer.out.len() > self.start {
            self.writer.line();
        }
        self.writer.out.push(bracket);
        Ok(())
    }
}

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.write_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.write_value(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close(b'}')
    }
}

impl SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), JsonError> {
        self.write_key(name)?;
        self.write_value(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close(b'}')
    }
}

impl SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.separate();
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close(b']')
    }
}

impl ser::SerializeTuple for Open<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close(b']')
    }
}

impl ser::Error for JsonError {
    fn custom<T: Display>(message: T) -> Self {
        JsonError::Shape(message.to_string())
    }
}

type Never = ser::Impossible<(), JsonError>;

fn unused<T>(what: &str) -> Result<T, JsonError> {
    Err(JsonError::Shape(format!("no body has {what}")))
}

/// Numbers that fit into 64 bits with their sign.
macro_rules! ints {
    ($($method:ident $type:ty)*) => {$(
        fn $method(self, int: $type) -> Result<(), JsonError> {
            self.serialize_i64(i64::from(int))
        }
    )*};
}

/// What no body has, neither as a value nor as a name.
macro_rules! no_variants_with_values {
    () => {
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), JsonError> {
            unused("variants with values")
        }

        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, JsonError> {
            unused("tuple structs")
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Never, JsonError> {
            unused("variants with values")
        }

        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Never, JsonError> {
            unused("variants with values")
        }
    };
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Never;

    fn serialize_bool(self, flag: bool) -> Result<(), JsonError> {
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
        Ok(())
    }

    ints!(serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_u8 u8 serialize_u16 u16 serialize_u32 u32);

    fn serialize_i64(self, int: i64) -> Result<(), JsonError> {
        self.int(int);
        Ok(())
    }

    fn serialize_u64(self, int: u64) -> Result<(), JsonError> {
        match i64::try_from(int) {
            Ok(int) => self.serialize_i64(int),
            Err(_) => {
                self.out.extend_from_slice(int.to_string().as_bytes());
                Ok(())
            }
        }
    }

    fn serialize_f32(self, float: f32) -> Result<(), JsonError> {
        self.serialize_f64(f64::from(float))
    }

    fn serialize_f64(self, float: f64) -> Result<(), JsonError> {
        // Always with a fraction, like Java; what is no number is null.
        let text = if float.is_finite() { format!("{float:?}") } else { "null".into() };
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_char(self, character: char) -> Result<(), JsonError> {
        self.text(character.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), JsonError> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), JsonError> {
        unused("bytes")
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), JsonError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, JsonError> {
        Ok(self.open(b'['))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, JsonError> {
        Ok(self.open(b'['))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, JsonError> {
        Ok(self.open(b'{'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JsonError> {
        Ok(self.open(b'{'))
    }

    no_variants_with_values!();
}

/// Writes a member's name.
struct KeyWriter<'a>(&'a mut Writer);

impl KeyWriter<'_> {
    fn number(self, number: i64) -> Result<(), JsonError> {
        match self.0.form {
            Form::Standard => self.0.text(&number.to_string()),
            Form::Fastjson | Form::Pretty => self.0.out.extend_from_slice(number.to_string().as_bytes()),
        }
        Ok(())
    }
}

macro_rules! key_numbers {
    ($($method:ident $type:ty)*) => {$(
        fn $method(self, number: $type) -> Result<(), JsonError> {
            self.number(number as i64)
        }
    )*};
}

impl<'a> ser::Serializer for KeyWriter<'a> {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Never;

    key_numbers!(serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64);

    fn serialize_str(self, text: &str) -> Result<(), JsonError> {
        self.0.text(text);
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), JsonError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, JsonError> {
        Ok(self.0.open(b'{'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JsonError> {
        Ok(self.0.open(b'{'))
    }

    fn serialize_bool(self, _: bool) -> Result<(), JsonError> {
        unused("flags as names")
    }

    fn serialize_f32(self, _: f32) -> Result<(), JsonError> {
        unused("fractions as names")
    }

    fn serialize_f64(self, _: f64) -> Result<(), JsonError> {
        unused("fractions as names")
    }

    fn serialize_char(self, _: char) -> Result<(), JsonError> {
        unused("characters as names")
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), JsonError> {
        unused("bytes as names")
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        unused("nothing as a name")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        unused("nothing as a name")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        unused("nothing as a name")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Never, JsonError> {
        unused("lists as names")
    }

    fn serialize_tuple(self, _: usize) -> Result<Never, JsonError> {
        unused("lists as names")
    }

    no_variants_with_values!();
}

impl Serialize for Json {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(flag) => serializer.serialize_bool(*flag),
            Json::Int(int) => serializer.serialize_i64(*int),
            Json::Float(float) => serializer.serialize_f64(*float),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key::Name(name) => serializer.serialize_str(name),
            Key::Bean(bean) => bean.serialize(serializer),
        }
    }
}
