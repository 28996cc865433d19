//! L3: what a broker means. Topics, groups and offsets with their state files; sends, pulls and held pulls; clients
//! and their heartbeats; admin requests. Knows the store and the loops, never a command line or a configuration file.
//!
//! The hot path (`service`, `send`, `pull`, `hold`, `flush_wait`) runs on the loops and never waits; the rest
//! (`topics`, `groups`, `offsets`, `clients`, `admin`, `registration`) is reached through the narrow handles in
//! `Handles`. Requests that the table of codes calls slow become an `OwnedRequest` and run on the control runtime.

pub mod admin;
pub mod answer;
pub mod appender;
pub mod clients;
pub mod cold_read;
pub mod config;
pub mod delay;
pub mod figures;
pub mod filter;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flush_wait;
pub mod groups;
pub mod handles;
pub mod hold;
pub mod keys;
pub mod live;
pub mod locks;
mod losses;
pub mod metrics;
pub mod offsets;
pub mod open;
pub mod pull;
pub mod put_times;
pub mod registration;
pub mod relays;
pub mod saver;
pub mod send;
pub mod send_back;
pub mod server;
pub mod service;
pub mod state_file;
pub mod stats;
pub mod stored_properties;
#[cfg(test)]
mod tests;
pub mod topics;
pub mod unconsumed;
pub mod unique_id;
pub mod unused_keys;

pub use config::Config;
