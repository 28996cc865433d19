//! A remoting command: the header in either serialization, read into slots and written without a map
//! (INTEROP 01 §2, §3).

use std::borrow::Cow;

use bytes::BytesMut;
use smallvec::SmallVec;
use thiserror::Error;

use super::frame::{Frame, Serialization};

/// Ordinal of V5_3_3 in Java's MQVersion table; every response carries it (INTEROP 01 §4).
pub const VERSION: i32 = 479;

/// Java's name of a version ordinal, such as `V5_3_3`: from 4.0.0 on, ten releases of each minor version, each after its
/// snapshot. Of older ones only the number is told.
pub fn version_name(ordinal: i32) -> String {
    const V4_0_0_SNAPSHOT: i32 = 212;
    const HIGHER_VERSION: i32 = 612;
    if ordinal >= HIGHER_VERSION {
        return "HIGHER_VERSION".to_owned();
    }
    if ordinal < V4_0_0_SNAPSHOT {
        return format!("V3({ordinal})");
    }
    let release = (ordinal - V4_0_0_SNAPSHOT) / 2;
    let snapshot = if ordinal % 2 == 0 { "_SNAPSHOT" } else { "" };
    format!("V{}_{}_{}{snapshot}", 4 + release / 100, release / 10 % 10, release % 10)
}

/// Flag bit 0: this is a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Flag bit 1: nobody waits for an answer.
pub const FLAG_ONEWAY: i32 = 2;

/// Most fields of a header. Clients send about twenty; each takes memory many times its bytes, and a field that is null
/// goes through those before it, so that a frame full of them would hold up its event loop for hours.
pub const FIELDS_MAX: usize = 1024;

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

/// Languages by their byte, those that servers tell apart (INTEROP 01 §5).
pub mod language {
    /// Java, and everybody who says so.
    pub const JAVA: u8 = 0;
    /// C++.
    pub const CPP: u8 = 1;
    /// Go.
    pub const GO: u8 = 9;
}

/// Java's name of a language byte, as `Connection.language` shows it.
pub fn language_name(language: u8) -> &'static str {
    super::header::json::language_name(language)
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

    /// Adds a field that lies in the frame.
    #[inline]
    pub(super) fn push_borrowed(&mut self, name: &'a str, value: &'a str) {
        self.slots.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }

    /// Takes a field out, however often it is there.
    pub fn remove(&mut self, name: &str) {
        self.slots.retain(|(key, _)| key != name);
    }

    /// Takes all fields out.
    pub fn clear(&mut self) {
        self.slots.clear();
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

    /// Reads the header of a frame with the tolerant parser alone, to compare the two.
    #[doc(hidden)]
    pub fn parse_tolerantly(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
        match frame.serialization {
            Serialization::Json => super::header::json::parse_tolerantly(frame),
            Serialization::Binary => super::header::binary::parse(frame),
        }
    }

    /// Java's name of the sender's language, as `Connection.language` shows it.
    pub fn language_name(&self) -> &'static str {
        super::header::json::language_name(self.language)
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
    write_request_as(out, language::JAVA, serialization, code, opaque, flag, ext, body);
}

/// As `write_request`, in the name of a language.
#[expect(clippy::too_many_arguments, reason = "each is one part of a frame")]
pub fn write_request_as(
    out: &mut BytesMut,
    language: u8,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    flag: i32,
    ext: &[(&str, Value<'_>)],
    body: &[u8],
) {
    let head = Head { code, language, opaque, flag, remark: None, ext };
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
    let head = Head { code, language: language::JAVA, opaque: to.opaque, flag: FLAG_RESPONSE, remark, ext };
    begin(out, to.serialization, &head)
}

pub(super) struct Head<'a> {
    pub code: i32,
    pub language: u8,
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

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    #[test]
    fn versions_have_javas_names() {
        let rows = [
            (213, "V4_0_0"),
            (232, "V4_1_0_SNAPSHOT"),
            (253, "V4_2_0"),
            (317, "V4_5_2"),
            (355, "V4_7_1"),
            (401, "V4_9_4"),
            (407, "V4_9_7"),
            (413, "V5_0_0"),
            (441, "V5_1_4"),
            (VERSION, "V5_3_3"),
            (493, "V5_4_0"),
            (612, "HIGHER_VERSION"),
            (9_999, "HIGHER_VERSION"),
            (115, "V3(115)"),
        ];
        for (ordinal, name) in rows {
            assert_eq!(version_name(ordinal), name);
        }
    }

    fn json(header: &str) -> Result<Command<'_>, HeaderError> {
        let frame = Frame { serialization: Serialization::Json, header: header.as_bytes(), body: b"body" };
        let parsed = Command::parse(&frame);
        let tolerant = Command::parse_tolerantly(&frame);
        assert_eq!(parsed.is_ok(), tolerant.is_ok(), "{header}");
        if let (Ok(parsed), Ok(tolerant)) = (&parsed, &tolerant) {
            for (name, _) in parsed.ext.iter().chain(tolerant.ext.iter()) {
                assert_eq!(parsed.ext.get(name), tolerant.ext.get(name), "{name} of {header}");
            }
            let rest = |it: &Command<'_>| {
                (it.code, it.language, it.version, it.opaque, it.flag, it.remark.as_deref().map(str::to_owned))
            };
            assert_eq!(rest(parsed), rest(tolerant), "{header}");
        }
        parsed
    }

    #[test]
    fn what_clients_really_send_is_read() {
        let command = json(
            "{\"code\":310, \"extFields\":{\"a\":\"PG\",\"d\":4,\"e\":-1,\"k\":false,\"z\":null,\"AccessKey\":\"\"},\
             \"flag\":2,\"language\":\"CPP\",\"opaque\":-7,\"remark\":\"\",\"version\":333,\"new\":true}\n",
        )
        .unwrap();
        assert_eq!((command.code, command.flag, command.language, command.version), (310, 2, 1, 333));
        assert_eq!((command.opaque, command.remark.as_deref(), command.body), (-7, Some(""), b"body".as_slice()));
        let fields: Vec<_> = command.ext.iter().collect();
        assert_eq!(fields, [("a", "PG"), ("d", "4"), ("e", "-1"), ("k", "false"), ("AccessKey", "")]);
        assert_eq!((command.ext.i32("d"), command.ext.bool("k"), command.ext.get("z")), (Some(4), Some(false), None));
        assert!(command.reply_to().oneway && !command.is_response());

        let command = json(r#"{"code":11,"extFields":null,"remark":null,"language":9}"#).unwrap();
        assert_eq!((command.ext.len(), command.remark, command.language), (0, None, 9));
        let command =
            json(r#"{"extFields":{"i":"k\u0001v\u0002\u4e2d\ud83d\ude00\/\\\"\n"},"language":"rust"}"#).unwrap();
        assert_eq!(command.ext.get("i"), Some("k\u{1}v\u{2}中😀/\\\"\n"));
        assert_eq!(command.language_name(), "RUST");
        assert_eq!(json(r#"{"language":"KLINGON"}"#).unwrap().language_name(), "OTHER");
    }

    #[test]
    fn what_fastjson_takes_beside_that_is_read_too() {
        let command = json("{'code':'17',extFields:{'a':1.5,b:{\"c\":[1]},'d':'x',},\"flag\":\"1\"}").unwrap();
        assert_eq!((command.code, command.flag), (17, 1));
        assert_eq!(command.ext.iter().collect::<Vec<_>>(), [("a", "1.5"), ("b", "{\"c\":[1]}"), ("d", "x")]);
        assert_eq!(json(r#"{"code":1,"code":2}"#).unwrap().code, 2);
        let command = json(r#"{"extFields":{"a":"1","a":"2","b":"1","b":null}}"#).unwrap();
        assert_eq!((command.ext.get("a"), command.ext.get("b")), (Some("2"), None));
        json("{}").unwrap();
    }

    #[test]
    fn what_java_cannot_decode_is_an_error() {
        for header in [
            "",
            "\n",
            "null",
            "[]",
            "{",
            "{\"code\":1",
            "{\"code\":1}x",
            "{\"opaque\":2147483648}",
            "{\"opaque\":99999999999999999999}",
            "{\"code\":\"x\"}",
            "{\"extFields\":[]}",
            "{\"extFields\":{\"a\":\"b}}",
        ] {
            let error = json(header).unwrap_err();
            assert!(error.to_string().starts_with("cannot read the Json header"), "{error}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        json(&deep).unwrap_err();
    }

    #[test]
    fn both_serializations_read_what_they_write() {
        for serialization in [Serialization::Json, Serialization::Binary] {
            let ext = [("s", Value::Str("a\"b\u{1}中")), ("n", Value::I64(i64::MIN)), ("b", Value::Bool(true))];
            let mut out = BytesMut::new();
            let to = ReplyTo { serialization, opaque: i32::MIN, oneway: false };
            write_response(&mut out, to, 21, Some("re\nmark"), &ext, b"body");
            write_response(&mut out, ReplyTo { oneway: true, ..to }, 21, None, &ext, b"body");
            let (frame, len) = frame::parse(&out, frame::FRAME_LEN_MAX).unwrap().unwrap();
            assert_eq!(len, out.len());
            let command = Command::parse(&frame).unwrap();
            assert_eq!((command.code, command.opaque, command.flag), (21, i32::MIN, FLAG_RESPONSE));
            assert_eq!((command.version, command.remark.as_deref()), (VERSION, Some("re\nmark")));
            let fields: Vec<_> = command.ext.iter().collect();
            assert_eq!(fields, [("s", "a\"b\u{1}中"), ("n", "-9223372036854775808"), ("b", "true")]);
            assert_eq!(command.body, b"body");
        }
    }

    #[test]
    fn an_abandoned_frame_leaves_nothing() {
        let mut out = BytesMut::from(&b"before"[..]);
        let to = ReplyTo { serialization: Serialization::Json, opaque: 1, oneway: false };
        begin_response(&mut out, to, 0, None, &[]).abandon(&mut out);
        assert_eq!(out[..], b"before"[..]);
    }

    #[test]
    fn the_number_of_fields_is_bounded_in_both_serializations() {
        for (count, taken) in [(FIELDS_MAX, true), (FIELDS_MAX + 1, false)] {
            for value in [":\"1\"", ": \"1\"", ":null"] {
                let fields: Vec<_> = (0..count).map(|number| format!("\"a{number}\"{value}")).collect();
                let header = format!("{{\"extFields\":{{{}}}}}", fields.join(","));
                assert_eq!(json(&header).is_ok(), taken, "{count} with {value}");
            }
            let mut out = BytesMut::new();
            write_request(&mut out, Serialization::Binary, 1, 1, 0, &vec![("a", Value::I64(1)); count], b"");
            let (frame, _) = frame::parse(&out, frame::FRAME_LEN_MAX).unwrap().unwrap();
            assert_eq!(Command::parse(&frame).is_ok(), taken);
        }
    }

    #[test]
    fn an_empty_value_is_none_in_a_binary_header_and_one_in_json() {
        let ext = [("a", Value::Str("1")), ("b", Value::Str("")), ("a", Value::Str(""))];
        let read = |serialization| {
            let mut out = BytesMut::new();
            write_request(&mut out, serialization, 105, 1, 0, &ext, b"");
            let (frame, _) = frame::parse(&out, frame::FRAME_LEN_MAX).unwrap().unwrap();
            let command = Command::parse(&frame).unwrap();
            ["a", "b"].map(|name| command.ext.get(name).map(str::to_owned))
        };
        assert_eq!(read(Serialization::Binary), [None, None]);
        assert_eq!(read(Serialization::Json), [Some(String::new()), Some(String::new())]);
    }

    #[test]
    fn binary_headers_are_bounded_and_pop_codes_come_back() {
        let mut out = BytesMut::new();
        write_request(&mut out, Serialization::Binary, 200_050, 1, 0, &[("topic", Value::Str("T"))], &[]);
        let (frame, len) = frame::parse(&out, frame::FRAME_LEN_MAX).unwrap().unwrap();
        assert_eq!(Command::parse(&frame).unwrap().code, 200_050);
        for cut in 0..frame.header.len() {
            let frame = Frame { header: &frame.header[..cut], ..frame };
            assert!(Command::parse(&frame).is_err(), "{cut} of {len}");
        }
        let header = frame.header.to_vec();
        for at in [13, 17, 21, 28] {
            for value in [0x7f, 0xff] {
                let mut header = header.clone();
                header[at] = value;
                assert!(Command::parse(&Frame { header: &header, ..frame }).is_err(), "byte {at}");
            }
        }
    }
}
