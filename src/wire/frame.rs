//! The remoting frame (INTEROP 01 §1), the same on every port, all integers big-endian:
//!
//! ```text
//! 0        4            8             8+headerLen      4+length
//! | length | type|hlen  | header ...  | body ...       |
//! ```
//!
//! `length` counts everything behind itself; the second word holds the serialization (top byte) and the header's length.

use thiserror::Error;

/// Bytes in front of the header.
pub const PREFIX_LEN: usize = 8;

/// Largest frame that Java takes by default (`com.rocketmq.remoting.frameMaxLength`), `length` field included.
pub const FRAME_LEN_MAX: usize = 16 * 1024 * 1024;

/// How the header is written; an answer uses the serialization of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// Type 0: JSON text.
    #[default]
    Json,
    /// Type 1: RocketMQ's binary header.
    Binary,
}

/// One frame, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How `header` is written.
    pub serialization: Serialization,
    /// The header's bytes.
    pub header: &'a [u8],
    /// The body's bytes; absent and empty are the same on the wire.
    pub body: &'a [u8],
}

/// Framing that cannot be continued: the connection has to be closed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The announced length is larger than the limit.
    #[error("frame of {len} bytes is larger than the limit of {max} bytes")]
    TooLong {
        /// Announced bytes, length field included.
        len: usize,
        /// The limit in force.
        max: usize,
    },
    /// The header does not fit into the announced length.
    #[error("frame of {len} bytes announces a header of {header_len} bytes")]
    HeaderLength {
        /// Announced bytes, length field included.
        len: usize,
        /// Announced header bytes.
        header_len: usize,
    },
    /// The header's serialization type is neither 0 nor 1.
    #[error("unknown header serialization type {0}; 0 (JSON) and 1 (ROCKETMQ) are known")]
    Serialization(u8),
}

/// Takes the first frame of `buf`: `None` while it is incomplete, otherwise the frame and its length in `buf`.
pub fn parse(buf: &[u8], max: usize) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(len) = word(buf, 0) else { return Ok(None) };
    let len = len as usize + 4;
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    if len < PREFIX_LEN {
        return Err(FrameError::HeaderLength { len, header_len: 0 });
    }
    let Some(head) = word(buf, 4) else { return Ok(None) };
    let header_len = (head & 0x00ff_ffff) as usize;
    if PREFIX_LEN + header_len > len {
        return Err(FrameError::HeaderLength { len, header_len });
    }
    let serialization = match (head >> 24) as u8 {
        0 => Serialization::Json,
        1 => Serialization::Binary,
        other => return Err(FrameError::Serialization(other)),
    };
    let Some(bytes) = buf.get(PREFIX_LEN..len) else { return Ok(None) };
    let (header, body) = bytes.split_at(header_len);
    Ok(Some((Frame { serialization, header, body }, len)))
}

fn word(buf: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(buf.get(at..at + 4)?.try_into().ok()?))
}
