//! A remoting command: the header in either serialization, read into slots and written without a map
//! (INTEROP 01 §2, §3).

use std::borrow::Cow;

use bytes::BytesMut;
use smallvec::SmallVec;
use thiserror::Error;

use super::frame::{Frame, Serialization};

/// Ordinal of V5_3_3 in Java's MQVersion table; every response carries it (INTEROP 01 §4).
pub const VERSION: i32 = 479;

/// Flag bit 0: this is a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Flag bit 1: nobody waits for an answer.
pub const FLAG_ONEWAY: i32 = 2;

/// The extFields of a header, in the order in which they came; the last of equal names wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ext<'a> {
    slots: SmallVec<[(Cow<'a, str>, Cow<'a, str>); 20]>,
}

/// A parsed request or response, borrowed from its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Request or response code.
    pub code: i32,
    /// Language byte (INTEROP 01 §5); unknown names read as `OTHER`.
    pub language: u8,
    /// MQVersion ordinal of the sender.
    pub version: i32,
    /// The sender's number for matching the answer.
    pub opaque: i32,
    /// Bit 0 response, bit 1 oneway.
    pub flag: i32,
    /// Error text of a response.
    pub remark: Option<Cow<'a, str>>,
    /// Header fields, values as text.
    pub ext: Ext<'a>,
    /// The frame's body.
    pub body: &'a [u8],
    /// How the header was written, and so how the answer has to be.
    pub serialization: Serialization,
}

/// A header that cannot be read: the connection has to be closed, as Java does.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot read the {serialization:?} header of a frame: {found}")]
pub struct HeaderError {
    /// Serialization that was announced.
    pub serialization: Serialization,
    /// What was found, for the log.
    pub found: String,
}

/// What an answer needs of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Serialization of the request.
    pub serialization: Serialization,
    /// Number of the request.
    pub opaque: i32,
    /// Nobody waits: nothing is written at all.
    pub oneway: bool,
}

/// A header value on its way out; numbers and booleans become text (every extFields value is a string).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text as it is.
    Str(&'a str),
    /// Decimal text.
    I64(i64),
    /// `true` or `false`.
    Bool(bool),
}

impl<'a> Ext<'a> {
    /// The value of `name`, `None` when absent or null.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.slots.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// An integer field; absent and unparsable are the same, as in Java (INTEROP 01 §9).
    pub fn i64(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }

    /// A 32-bit integer field; absent and unparsable are the same.
    pub fn i32(&self, name: &str) -> Option<i32> {
        self.get(name)?.trim().parse().ok()
    }

    /// A boolean field: `true` in any case is true, everything else false, absent `None`.
    pub fn bool(&self, name: &str) -> Option<bool> {
        Some(self.get(name)?.eq_ignore_ascii_case("true"))
    }

    /// Adds a field.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.slots.push((name.into(), value.into()));
    }

    /// All fields in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Number of fields, repeated names counted each time.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl<'a> Command<'a> {
    /// Reads the header of a frame.
    pub fn parse(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
        match frame.serialization {
            Serialization::Json => super::header::json::parse(frame),
            Serialization::Binary => super::header::binary::parse(frame),
        }
    }

    /// Whether this answers one of our own requests.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// What an answer to this command needs.
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo { serialization: self.serialization, opaque: self.opaque, oneway: self.flag & FLAG_ONEWAY != 0 }
    }
}

/// Appends a whole response frame to `out`; a oneway request gets nothing.
pub fn write_response(
    out: &mut BytesMut,
    to: ReplyTo,
    code: i32,
    remark: Option<&str>,
    ext: &[(&str, Value<'_>)],
    body: &[u8],
) {
    if to.oneway {
        return;
    }
    let open = begin_response(out, to, code, remark, ext);
    out.extend_from_slice(body);
    open.finish(out);
}

/// Appends a whole request frame to `out`.
pub fn write_request(
    out: &mut BytesMut,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    flag: i32,
    ext: &[(&str, Value<'_>)],
    body: &[u8],
) {
    let head = Head { code, opaque, flag, remark: None, ext };
    let open = begin(out, serialization, &head);
    out.extend_from_slice(body);
    open.finish(out);
}

/// A frame whose header is written and whose body is still being appended to the buffer.
#[must_use = "the frame's length is written by finish"]
#[derive(Debug)]
pub struct OpenFrame {
    start: usize,
}

impl OpenFrame {
    /// Writes the length; call it when the body is complete.
    pub fn finish(self, out: &mut BytesMut) {
        let len = (out.len() - self.start - 4) as u32;
        out[self.start..self.start + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// Takes the whole frame back out of the buffer.
    pub fn abandon(self, out: &mut BytesMut) {
        out.truncate(self.start);
    }
}

/// Writes the header of a response; the caller appends the body (records read straight from the log) and finishes.
pub fn begin_response(
    out: &mut BytesMut,
    to: ReplyTo,
    code: i32,
    remark: Option<&str>,
    ext: &[(&str, Value<'_>)],
) -> OpenFrame {
    begin(out, to.serialization, &Head { code, opaque: to.opaque, flag: FLAG_RESPONSE, remark, ext })
}

pub(super) struct Head<'a> {
    pub code: i32,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<&'a str>,
    pub ext: &'a [(&'a str, Value<'a>)],
}

fn begin(out: &mut BytesMut, serialization: Serialization, head: &Head<'_>) -> OpenFrame {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    match serialization {
        Serialization::Json => super::header::json::write(out, head),
        Serialization::Binary => super::header::binary::write(out, head),
    }
    let header_len = (out.len() - start - 8) as u32;
    let kind = match serialization {
        Serialization::Json => 0,
        Serialization::Binary => 1 << 24,
    };
    out[start + 4..start + 8].copy_from_slice(&(kind | header_len).to_be_bytes());
    OpenFrame { start }
}
