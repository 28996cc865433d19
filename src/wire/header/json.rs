//! JSON headers (INTEROP 01 §2): read with fastjson's tolerance, written as fastjson writes them.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde_json::Value as Json;

use super::super::command::{Command, Ext, Head, HeaderError, VERSION, Value};
use super::super::frame::{Frame, Serialization};

pub(in super::super) fn parse<'a>(frame: &Frame<'a>) -> Result<Command<'a>, HeaderError> {
    let fail = |found: String| HeaderError { serialization: Serialization::Json, found };
    let json: Json = serde_json::from_slice(frame.header).map_err(|error| fail(error.to_string()))?;
    let number = |name: &str| json.get(name).and_then(Json::as_i64).unwrap_or(0) as i32;
    let mut ext = Ext::default();
    if let Some(fields) = json.get("extFields").and_then(Json::as_object) {
        for (name, value) in fields {
            match value {
                Json::Null => {}
                Json::String(text) => ext.push(name.clone(), text.clone()),
                other => ext.push(name.clone(), other.to_string()),
            }
        }
    }
    Ok(Command {
        code: number("code"),
        language: 0,
        version: number("version"),
        opaque: number("opaque"),
        flag: number("flag"),
        remark: json.get("remark").and_then(Json::as_str).map(|text| Cow::Owned(text.to_owned())),
        ext,
        body: frame.body,
        serialization: Serialization::Json,
    })
}

pub(in super::super) fn write(out: &mut BytesMut, head: &Head<'_>) {
    let ext: serde_json::Map<String, Json> = head
        .ext
        .iter()
        .map(|(name, value)| {
            let text = match value {
                Value::Str(text) => (*text).to_owned(),
                Value::I64(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
            };
            ((*name).to_owned(), Json::String(text))
        })
        .collect();
    let mut json = serde_json::json!({"code": head.code, "extFields": ext, "flag": head.flag, "language": "JAVA",
        "opaque": head.opaque, "serializeTypeCurrentRPC": "JSON", "version": VERSION});
    if let Some(remark) = head.remark {
        json["remark"] = remark.into();
    }
    out.put_slice(json.to_string().as_bytes());
}
