//! Request frames made once and patched in place, and the two numbers of an answer read without parsing it, so that the
//! generator costs a fraction of what it measures.

use bytes::BytesMut;

use crate::wire::codes::request;
use crate::wire::command::{Value, write_request};
use crate::wire::frame::Serialization;

/// Opaques are this plus a slot number, so that all have ten digits.
pub const OPAQUE_BASE: i32 = 1_000_000_000;

/// Stands for a queue offset in a template; nineteen digits, like every patched one.
const OFFSET_MARK: &str = "7777777777777777777";
/// Stands for a timestamp in milliseconds.
const TIME_MARK: &str = "8888888888888";
/// Stands for the counting part of a unique key.
const KEY_MARK: &str = "9999999999999999";
/// Stands for a time in seconds.
const SECONDS_MARK: &str = "6666666666";

/// A request whose numbers can be replaced.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    opaque: Option<usize>,
    offset: Option<usize>,
    time: Option<usize>,
    key: Option<usize>,
    seconds: Option<usize>,
    body: usize,
}

/// What a message of Java's benchmark has beside its body.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// A key: the time in seconds.
    pub key: bool,
    /// A tag.
    pub tag: Option<String>,
    /// A delay level.
    pub delay_level: Option<u32>,
    /// Further properties.
    pub properties: Vec<(String, String)>,
}

/// The producer group of the generator.
pub const PRODUCER_GROUP: &str = "BENCH_PRODUCER";
/// The consumer group of the generator.
pub const CONSUMER_GROUP: &str = "BENCH_CONSUMER";

impl Template {
    fn new(code: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> Template {
        let mut out = BytesMut::new();
        write_request(&mut out, Serialization::Json, code, OPAQUE_BASE, 0, ext, body);
        let bytes = out.to_vec();
        let header = &bytes[..bytes.len() - body.len()];
        let find = |mark: &str| header.windows(mark.len()).position(|window| window == mark.as_bytes());
        let opaque = find(r#""opaque":1000000000"#).map(|at| at + r#""opaque":"#.len());
        let (offset, time, key, seconds) = (find(OFFSET_MARK), find(TIME_MARK), find(KEY_MARK), find(SECONDS_MARK));
        Template { body: header.len(), opaque, offset, time, key, seconds, bytes }
    }

    /// SEND_MESSAGE_V2 as the Java client sends it: a unique key, WAIT, a tag; `size` bytes of body. A `level` above 0
    /// is the message's delay level.
    pub fn send(topic: &str, queue_id: u32, size: usize, level: u32) -> Template {
        let body: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
        let delay_level = (level > 0).then_some(level);
        let extras = Extras { tag: Some("bench".to_owned()), delay_level, ..Extras::default() };
        Template::message(PRODUCER_GROUP, topic, queue_id, &extras, &body)
    }

    /// The same for any group, with more beside the body.
    pub fn message(group: &str, topic: &str, queue_id: u32, extras: &Extras, body: &[u8]) -> Template {
        let mut properties = format!("UNIQ_KEY\u{1}7F0000010BAD0BAD{KEY_MARK}\u{2}WAIT\u{1}true");
        let key = extras.key.then(|| ("KEYS", SECONDS_MARK.to_owned()));
        let tag = extras.tag.clone().map(|tag| ("TAGS", tag));
        let delay = extras.delay_level.map(|level| ("DELAY", level.to_string()));
        let more = extras.properties.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in key.into_iter().chain(tag).chain(delay).chain(more) {
            properties.push_str(&format!("\u{2}{name}\u{1}{value}"));
        }
        let ext = [
            ("a", Value::Str(group)),
            ("b", Value::Str(topic)),
            ("c", Value::Str("TBW102")),
            ("d", Value::I64(4)),
            ("e", Value::I64(queue_id.into())),
            ("f", Value::I64(0)),
            ("g", Value::Str(TIME_MARK)),
            ("h", Value::I64(0)),
            ("i", Value::Str(&properties)),
            ("j", Value::I64(0)),
            ("k", Value::Bool(false)),
            ("m", Value::Bool(false)),
        ];
        Template::new(request::SEND_MESSAGE_V2, &ext, body)
    }

    /// PULL_MESSAGE of up to `max` messages; `suspend_ms` above 0 has the broker hold it.
    pub fn pull(topic: &str, queue_id: u32, max: u32, suspend_ms: u64) -> Template {
        // INTEROP 06: bit 1 the broker may hold the request, bit 2 the subscription is in the header.
        let sys_flag = if suspend_ms > 0 { 2 | 4 } else { 4 };
        let ext = [
            ("consumerGroup", Value::Str(CONSUMER_GROUP)),
            ("topic", Value::Str(topic)),
            ("queueId", Value::I64(queue_id.into())),
            ("queueOffset", Value::Str(OFFSET_MARK)),
            ("maxMsgNums", Value::I64(max.into())),
            ("sysFlag", Value::I64(sys_flag)),
            ("commitOffset", Value::I64(0)),
            ("suspendTimeoutMillis", Value::I64(suspend_ms as i64)),
            ("subscription", Value::Str("*")),
            ("subVersion", Value::I64(0)),
            ("expressionType", Value::Str("TAG")),
        ];
        Template::new(request::PULL_MESSAGE, &ext, b"")
    }

    /// Appends the request as number `slot`; returns where it starts in `out`.
    pub fn append(&self, out: &mut Vec<u8>, slot: u32) -> usize {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        digits(out, start, self.opaque, 10, u64::from(OPAQUE_BASE as u32) + u64::from(slot));
        start
    }

    /// Writes the queue offset of the request that starts at `start`.
    pub fn set_offset(&self, out: &mut [u8], start: usize, offset: u64) {
        digits(out, start, self.offset, OFFSET_MARK.len(), offset);
    }

    /// Writes born timestamp and unique key.
    pub fn set_message(&self, out: &mut [u8], start: usize, now_ms: u64, count: u64) {
        digits(out, start, self.time, TIME_MARK.len(), now_ms);
        digits(out, start, self.key, KEY_MARK.len(), count);
        digits(out, start, self.seconds, SECONDS_MARK.len(), now_ms / 1000);
    }

    /// The body of the request that starts at `start` and ends `out`.
    pub fn body<'a>(&self, out: &'a mut [u8], start: usize) -> &'a mut [u8] {
        &mut out[start + self.body..]
    }
}

fn digits(out: &mut [u8], start: usize, at: Option<usize>, width: usize, mut value: u64) {
    let Some(at) = at else { return };
    for place in out[start + at..start + at + width].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// What the generator needs of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Response code.
    pub code: i32,
    /// Opaque of the request.
    pub opaque: i32,
}

/// Reads code and opaque of a JSON header; `None` when it is not one.
pub fn answer(header: &[u8]) -> Option<Answer> {
    // Java and we write the keys sorted: the code is first, the opaque near the end.
    let code = header.windows(7).position(|window| window == br#""code":"#)? + 7;
    let opaque = header.windows(9).rposition(|window| window == br#""opaque":"#)? + 9;
    Some(Answer { code: number(header, code)? as i32, opaque: number(header, opaque)? as i32 })
}

/// A header field with a number in quotes.
pub fn field(header: &[u8], name: &str) -> Option<u64> {
    let at = header.windows(name.len() + 3).position(|window| {
        window[0] == b'"' && &window[1..=name.len()] == name.as_bytes() && window[name.len() + 1..] == *b"\":"
    })?;
    let at = at + name.len() + 3;
    u64::try_from(number(header, at + usize::from(header.get(at) == Some(&b'"')))?).ok()
}

fn number(bytes: &[u8], mut at: usize) -> Option<i64> {
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    let negative = bytes.get(at) == Some(&b'-');
    at += usize::from(negative);
    let mut value = 0_i64;
    let mut any = false;
    while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        any = true;
        at += 1;
    }
    any.then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::command::Command;
    use crate::wire::frame;

    #[test]
    fn a_patched_send_is_a_frame_with_the_new_numbers() {
        let template = Template::send("T", 3, 100, 2);
        let mut out = b"before".to_vec();
        let start = template.append(&mut out, 42);
        template.set_message(&mut out, start, 1_700_000_000_123, 77);
        template.body(&mut out, start)[..8].copy_from_slice(&9_u64.to_be_bytes());
        let (frame, len) = frame::parse(&out[start..], 1 << 20).unwrap().unwrap();
        let command = Command::parse(&frame).unwrap();
        assert_eq!((len, command.code, command.opaque), (out.len() - start, 310, 1_000_000_042));
        assert_eq!(command.ext.i64("g"), Some(1_700_000_000_123));
        assert_eq!(command.ext.i64("e"), Some(3));
        assert!(command.ext.get("i").unwrap().contains("0BAD0BAD0000000000000077\u{2}WAIT"));
        assert!(command.ext.get("i").unwrap().contains("\u{2}DELAY\u{1}2"));
        assert_eq!((command.body.len(), &command.body[..8]), (100, &9_u64.to_be_bytes()[..]));
    }

    #[test]
    fn a_patched_pull_has_its_offset() {
        let template = Template::pull("T", 3, 32, 15_000);
        let mut out = Vec::new();
        let start = template.append(&mut out, 1);
        template.set_offset(&mut out, start, 123_456);
        let (frame, _) = frame::parse(&out, 1 << 20).unwrap().unwrap();
        let command = Command::parse(&frame).unwrap();
        assert_eq!((command.ext.i64("queueOffset"), command.ext.i64("sysFlag")), (Some(123_456), Some(6)));
    }

    #[test]
    fn answers_are_read_from_either_order() {
        let java = br#"{"code":21,"extFields":{"nextBeginOffset":"45","minOffset":"0"},"flag":1,"language":"JAVA","opaque":1000000007,"serializeTypeCurrentRPC":"JSON","version":407}"#;
        assert_eq!(answer(java), Some(Answer { code: 21, opaque: 1_000_000_007 }));
        assert_eq!((field(java, "nextBeginOffset"), field(java, "minOffset")), (Some(45), Some(0)));
        let other = br#"{"opaque": 5, "code": -1}"#;
        assert_eq!(answer(other), Some(Answer { code: -1, opaque: 5 }));
        assert_eq!((answer(b"{}"), field(other, "minOffset")), (None, None));
    }
}
