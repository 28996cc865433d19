//! Sockets: event loops, connections, mailboxes, the client side. Knows frames and commands; knows no store and no broker.

pub mod service;
