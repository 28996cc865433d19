//! Sockets: event loops, connections, mailboxes, the control runtime. Knows frames and commands; knows no store and no broker.

mod connection;
pub mod control;
mod event_loop;
pub mod http;
pub mod limits;
pub mod mailbox;
pub mod request;
pub mod server;
pub mod service;
mod table;

#[cfg(test)]
mod tests;
