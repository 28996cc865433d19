//! L3: the name server: who serves which topic. Brokers register and keep themselves alive, everybody else asks.
//! Knows no store and no broker; routes live in memory only, the key-value table in `kvConfig.json` (INTEROP 05).

pub mod config;
pub mod kv;
pub mod routes;

pub use config::Config;
