//! Where log lines go: stderr, one line each, coloured only on a terminal. `RUST_LOG` changes levels by module.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Environment variable that sets levels, for example `info,rocketmq::store=debug`.
pub const LEVELS: &str = "RUST_LOG";

/// Starts logging. Called once, before anything that might log.
pub fn start() -> Result<(), String> {
    let levels = std::env::var(LEVELS).unwrap_or_default();
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(&levels).map_err(|error| {
            format!("{LEVELS}={levels}: {error}; accepted is LEVEL or MODULE=LEVEL, separated by commas")
        })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| format!("starting the log: {error}"))
}
