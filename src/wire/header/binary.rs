//! ROCKETMQ binary headers (INTEROP 01 §3).
//!
//! ```text
//! i16 code | u8 language | i16 version | i32 opaque | i32 flag | i32 remarkLen | remark
//! i32 extLen | { i16 keyLen | key | i32 valueLen | value } ...
//! ```

use std::borrow::Cow;

use bytes::{Buf, BufMut, BytesMut};

use super::super::command::{Command, Ext, FIELDS_MAX, FLAG_RESPONSE, Head, HeaderError, VERSION, Value};
use super::super::frame::{Frame, Serialization};
use super::digits;

pub(in super::super) fn parse<'a>(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
    read(frame).ok_or_else(|| HeaderError {
        serialization: Serialization::Binary,
        found: format!(
            "a length that does not fit into {} bytes, text that is not UTF-8, or more than {FIELDS_MAX} fields",
            frame.header.len()
        ),
    })
}

fn read<'a>(frame: &Frame<'a>) -> Option<Command<'a>> {
    let mut rest = frame.header;
    let code = rest.try_get_i16().ok()?;
    let language = rest.try_get_u8().ok()?;
    let version = i32::from(rest.try_get_i16().ok()?);
    let opaque = rest.try_get_i32().ok()?;
    let flag = rest.try_get_i32().ok()?;
    let code = if flag & FLAG_RESPONSE == 0 { untruncated(code) } else { i32::from(code) };
    let remark_len = rest.try_get_i32().ok()?;
    let remark = text(&mut rest, remark_len)?;
    let ext_len = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    let mut fields = rest.get(..ext_len)?;
    let mut ext = Ext::default();
    let mut read = 0;
    while !fields.is_empty() {
        read += 1;
        if read > FIELDS_MAX {
            return None;
        }
        let key_len = i32::from(fields.try_get_i16().ok()?);
        let key = text(&mut fields, key_len)?;
        let value_len = fields.try_get_i32().ok()?;
        let value = text(&mut fields, value_len)?;
        // Java since 4.9.4 reads an empty value as none at all (INTEROP 01 §3).
        match value {
            "" => ext.remove(key),
            value => ext.push(key, value),
        }
    }
    let remark = (!remark.is_empty()).then_some(Cow::Borrowed(remark));
    let serialization = Serialization::Binary;
    Some(Command { code, language, version, opaque, flag, remark, ext, body: frame.body, serialization })
}

/// Java cuts the POP family's codes to 16 bits; nothing else has these numbers (INTEROP 01 §3).
fn untruncated(code: i16) -> i32 {
    match code {
        3442..=3448 | 3543 => i32::from(code) + (3 << 16),
        code => i32::from(code),
    }
}

fn text<'a>(rest: &mut &'a [u8], len: i32) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = tail;
    std::str::from_utf8(head).ok()
}

pub(in super::super) fn write(out: &mut BytesMut, head: &Head<'_>) {
    out.put_i16(head.code as i16);
    out.put_u8(head.language);
    out.put_i16(VERSION as i16);
    out.put_i32(head.opaque);
    out.put_i32(head.flag);
    let remark = head.remark.unwrap_or("");
    out.put_i32(remark.len() as i32);
    out.put_slice(remark.as_bytes());
    let at = out.len();
    out.put_i32(0);
    for (name, value) in head.ext {
        out.put_i16(name.len() as i16);
        out.put_slice(name.as_bytes());
        let mut buf = [0; 20];
        let text = match value {
            Value::Str(text) => text.as_bytes(),
            Value::I64(number) => digits(&mut buf, *number),
            Value::Bool(true) => b"true",
            Value::Bool(false) => b"false",
        };
        out.put_i32(text.len() as i32);
        out.put_slice(text);
    }
    let ext_len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&ext_len.to_be_bytes());
}
