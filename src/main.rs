//! The `rocketmq` executable: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rocketmq::app::main()
}
