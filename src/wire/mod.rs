//! L1: the bytes of RocketMQ. Pure functions over byte slices: no socket, no file, no clock.

pub mod body;
pub mod codes;
pub mod command;
pub mod compress;
pub mod fastjson;
pub mod flags;
pub mod frame;
mod header;
pub mod message;
pub mod request;
