//! One binary that replaces a RocketMQ installation: name server, broker and the tools around them.
//!
//! `src/ARCHITECTURE.md` draws the layers and says which module may use which; `tests/tidy.rs` enforces it.

pub mod admin;
pub mod app;
pub mod base;
pub mod bench;
pub mod broker;
pub mod client;
pub mod example;
pub mod namesrv;
pub mod net;
pub mod store;
pub mod wire;
