//! L3: the name server: who serves which topic. Brokers register and keep themselves alive, everybody else asks.
//! Knows no store and no broker; routes live in memory only, the key-value table in `kvConfig.json` (INTEROP 05).

mod body;
pub mod config;
pub mod error;
mod handlers;
pub mod kv;
pub mod metrics;
pub mod routes;
pub mod server;

pub use config::Config;
pub use error::Error;
pub use server::{Bound, NameServer, Settings};
