//! What a request is answered with, apart from the frame: a handler returns it, one place writes it.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::BytesMut;

use crate::wire::codes::response;
use crate::wire::command::{self, ReplyTo, Value};

/// Why a request is not done, in Java's code and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Response code.
    pub code: i32,
    /// What was found, and what is allowed.
    pub remark: Cow<'static, str>,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: i32, remark: impl Into<Cow<'static, str>>) -> Self {
        Refusal { code, remark: remark.into() }
    }

    /// SYSTEM_ERROR with what an error says.
    pub fn system(error: impl Display) -> Self {
        Refusal::new(response::SYSTEM_ERROR, error.to_string())
    }
}

/// An answer with header fields; mostly a good one (code 0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Response code.
    pub code: i32,
    /// Text beside the code; rare.
    pub remark: Option<Cow<'static, str>>,
    /// Header fields.
    pub ext: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Nothing but the code.
    pub fn empty() -> Self {
        Answer::default()
    }

    /// A body.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Answer { body: body.into(), ..Answer::default() }
    }

    /// A header field.
    pub fn field(name: &'static str, value: impl Display) -> Self {
        Answer::default().and(name, value)
    }

    /// One more header field.
    pub fn and(mut self, name: &'static str, value: impl Display) -> Self {
        self.ext.push((name, value.to_string()));
        self
    }
}

/// What a handler returns.
pub type Answered = Result<Answer, Refusal>;

/// Appends the frame of an answer to `out`; nothing for a oneway request.
pub fn write(out: &mut BytesMut, to: ReplyTo, answered: &Answered) {
    match answered {
        Ok(answer) => {
            let ext: Vec<_> = answer.ext.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
            command::write_response(out, to, answer.code, answer.remark.as_deref(), &ext, &answer.body);
        }
        Err(refusal) => command::write_response(out, to, refusal.code, Some(&refusal.remark), &[], &[]),
    }
}
