//! Bits of topics and of pull requests (INTEROP 03 §3). The bits of a record are in `message::sys_flag`.

/// Topic permissions; 6 is read and write, 7 is what TBW102 has.
pub mod perm {
    /// Queues may be read.
    pub const READ: i32 = 4;
    /// Queues may be written.
    pub const WRITE: i32 = 2;
    /// Topics made on demand inherit from this one.
    pub const INHERIT: i32 = 1;
    /// Legacy priority bit.
    pub const PRIORITY: i32 = 8;

    /// Whether the read bit is set.
    pub fn is_readable(perm: i32) -> bool {
        perm & READ != 0
    }

    /// Whether the write bit is set.
    pub fn is_writable(perm: i32) -> bool {
        perm & WRITE != 0
    }

    /// Whether the inherit bit is set.
    pub fn is_inherited(perm: i32) -> bool {
        perm & INHERIT != 0
    }
}

/// Bits of a pull request's sysFlag.
pub mod pull {
    /// `commitOffset` is to be stored.
    pub const COMMIT_OFFSET: i32 = 1;
    /// Hold the request when there is nothing.
    pub const SUSPEND: i32 = 2;
    /// The subscription comes with the request.
    pub const SUBSCRIPTION: i32 = 4;
    /// Legacy filter class.
    pub const CLASS_FILTER: i32 = 8;
    /// A lite pull consumer.
    pub const LITE_PULL: i32 = 16;
}

/// Bits of a topic's topicSysFlag.
pub mod topic {
    /// Belongs to a unit.
    pub const UNIT: i32 = 1;
    /// Has a unit's subscription.
    pub const UNIT_SUB: i32 = 2;
}
