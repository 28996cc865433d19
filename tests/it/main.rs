//! THE integration binary: drives the built `rocketmq` as a user would, one module per theme. Nothing here reaches into
//! the program but through its command line, its files and its sockets.

mod admin;
mod admin_table;
mod background;
mod changes;
mod command_line;
mod configuration;
mod doctor;
mod documentation;
mod full_disk;
mod harness;
mod kill;
mod monitor;
mod old_commands;
mod own;
mod round_trip;
mod session;
mod stalled;
mod start_stop;
