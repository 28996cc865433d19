//! The published clients and servers, run against ours: each test is named by the sentence it proves, and each module by
//! the client or theme. The peers come from `tests/interop/install`; a missing one fails. `cargo test --test interop`.
//!
//! `INTEROP_REFERENCE=4.9.7` (or 5.3.3) puts a Java name server and broker of that version where ours would be: a test
//! that fails there is wrong about RocketMQ, not about us.

mod changes;
mod clients;
mod cluster;
mod delays;
mod everyday;
mod full_disk;
mod items;
mod killed;
mod matrix;
mod migrate;
mod monitor;
mod operator;
mod orderly;
#[path = "../it/own.rs"]
mod own;
mod peers;
mod quickstart;
mod servers;
mod stores;
mod tools;
