//! A request that outlives its frame: what a slow handler, which runs beside the loops, is given. Never borrowed from
//! a receive buffer.

use bytes::{Bytes, BytesMut};

use super::service::{Conn, RequestCx};
use crate::base::clock::Millis;
use crate::wire::command::{self, Command, Ext, ReplyTo, Value};

/// A request on its own.
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    /// Where it came from.
    pub conn: Conn,
    /// When its tick began, milliseconds since the epoch.
    pub now: Millis,
    /// Request code.
    pub code: i32,
    /// Language byte of the sender.
    pub language: u8,
    /// MQVersion ordinal of the sender.
    pub version: i32,
    /// Header fields.
    pub ext: Ext<'static>,
    /// Body.
    pub body: Bytes,
    /// What the answer needs.
    pub reply: ReplyTo,
}

impl OwnedRequest {
    /// Copies a request out of its frame.
    pub fn new(cx: &RequestCx<'_>, request: &Command<'_>) -> Self {
        let mut ext = Ext::default();
        for (name, value) in request.ext.iter() {
            ext.push(name.to_owned(), value.to_owned());
        }
        OwnedRequest {
            conn: cx.conn,
            now: cx.now,
            code: request.code,
            language: request.language,
            version: request.version,
            ext,
            body: Bytes::copy_from_slice(request.body),
            reply: request.reply_to(),
        }
    }

    /// The request as it came, to be run (again) by what takes commands.
    pub fn command(&self) -> Command<'_> {
        let mut ext = Ext::default();
        for (name, value) in self.ext.iter() {
            ext.push(name, value);
        }
        Command {
            code: self.code,
            language: self.language,
            version: self.version,
            opaque: self.reply.opaque,
            flag: if self.reply.oneway { command::FLAG_ONEWAY } else { 0 },
            remark: None,
            ext,
            body: &self.body,
            serialization: self.reply.serialization,
        }
    }

    /// The whole answer frame; empty for a oneway request.
    pub fn answer(&self, code: i32, remark: Option<&str>, ext: &[(&str, Value<'_>)], body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        command::write_response(&mut out, self.reply, code, remark, ext, body);
        out
    }
}
