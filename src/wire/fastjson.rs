//! The JSON dialect of fastjson 1.x, in which RocketMQ writes its bodies and state files (INTEROP 04 §1, §2): read with
//! its tolerance into a tree, written compact with sorted keys. Knows no body; `body` holds their shapes.

mod de;
mod ser;
mod tree;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use ser::Form;
pub(crate) use ser::write_escaped;
pub use tree::{Json, Key, parse, parse_bounded, parse_literally};

/// Deepest nesting that is read, in containers; fastjson bodies need less than ten.
pub const DEPTH_MAX: usize = 64;

/// Most values that one document may hold, resolved references counted each time; bounds the tree's memory. A
/// registration of 200,000 topics needs about as many.
pub const NODES_MAX: usize = 2 << 20;

/// Text that fastjson would not read either, or that does not have the shape that was asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON, not even by fastjson's rules.
    #[error("expected {expected} at byte {at}")]
    Syntax {
        /// What would have been right.
        expected: &'static str,
        /// Where, in bytes from the start.
        at: usize,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// More values than the bound.
    #[error("more values than this kind of document may hold")]
    Size,
    /// A value of the wrong kind or range.
    #[error("{0}")]
    Shape(String),
}

/// Reads a value by fastjson's rules: any order, unknown and null members ignored, numbers as text and text as numbers.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    from_json(&parse(json)?)
}

/// Reads a value from a tree, see [`from_slice`].
pub fn from_json<T: DeserializeOwned>(json: &Json) -> Result<T, JsonError> {
    T::deserialize(de::De(json))
}

/// Writes a value in the given form: sorted keys, null members left out.
pub fn to_vec<T: Serialize + ?Sized>(value: &T, form: Form) -> Vec<u8> {
    ser::to_vec(value, form)
}
