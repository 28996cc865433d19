//! L5: the program. Reads arguments and configuration, checks that a start can succeed before anything is touched,
//! starts the roles in order, waits for a signal and stops them in the reverse order. Knows everything; nothing knows it.

pub mod advertise;
pub mod broker_conf;
pub mod cli;
pub mod logging;
pub mod plan;
pub mod preflight;
pub mod report;
pub mod signals;
pub mod unused_keys;

// The names that the tables of keys are written with.
pub use crate::base::{keys, properties};
