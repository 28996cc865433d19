//! L0: what every layer stands on. Knows nothing of RocketMQ beyond the three positions' types.

pub mod changes;
pub mod clock;
pub mod crash_safe;
pub mod disk;
pub mod keys;
pub mod local_time;
pub mod machine;
pub mod metrics;
pub mod position;
pub mod progress;
pub mod properties;
pub mod pulse;
pub mod shutdown;
pub mod watermark;
