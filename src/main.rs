//! The `rocketmq` executable: hands over to the library.

use std::process::ExitCode;

/// What `--version` says. `packaging/build` hands in the version that it takes from git; it is read here and nowhere in
/// the library, so that another version costs a link and no more.
const VERSION: &str = match option_env!("ROCKETMQ_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

fn main() -> ExitCode {
    rocketmq::app::main(VERSION)
}
