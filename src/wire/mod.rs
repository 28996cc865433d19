//! L1: the bytes of RocketMQ. Pure functions over byte slices: no socket, no file, no clock.

pub mod command;
pub mod frame;
mod header;
