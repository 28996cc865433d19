//! The offset types. A byte position in the commit log and a logical index in a queue never meet as bare integers.

use std::fmt;

/// Byte position in the commit log; global over all its files, 0-based.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhyOffset(pub u64);

/// Logical index of a message in its queue: 0, 1, 2, … (one step per message, 20 bytes of consume queue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueOffset(pub u64);

/// Number of a queue within its topic on one broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u32);

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display!(PhyOffset, QueueOffset, QueueId);
