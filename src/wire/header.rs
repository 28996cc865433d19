//! The two ways to write a header. `command` is the door; nothing else calls these.

pub(super) mod binary;
pub(super) mod json;
