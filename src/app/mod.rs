//! L5: the program. Reads arguments and configuration, checks that a start can succeed before anything is touched,
//! starts the roles in order, waits for a signal and stops them in the reverse order. Knows everything; nothing knows it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use crate::bench;

pub mod admin;
pub mod advertise;
pub mod cli;
pub mod config_command;
pub mod crash;
pub mod daemon;
pub mod doctor;
pub mod example;
pub mod explain;
pub mod file;
pub mod fold;
pub mod java_items;
pub mod layers;
pub mod lint;
pub mod logging;
pub mod memory;
pub mod migrate;
pub mod monitor;
pub mod monitor_conf;
pub mod namesrv_conf;
pub mod overlays;
pub mod plan;
pub mod preflight;
pub mod reload;
pub mod repeats;
pub mod report;
pub mod run;
pub mod settings;
pub mod signals;
pub mod systemd;

// The names that the tables of keys are written with.
pub use crate::base::{keys, properties};
pub use crate::broker::keys as broker_conf;

/// Exit code of a start that was refused or failed.
const FAILED: u8 = 1;
/// Exit code of a command line, or a file of `rocketmq run`, that cannot be understood.
const USAGE: u8 = 2;

static VERSION: OnceLock<&'static str> = OnceLock::new();

/// The version of this program, as it was built.
pub fn version() -> &'static str {
    VERSION.get().copied().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Runs the command that the arguments ask for, as a program of version `version`.
pub fn main(version: &'static str) -> ExitCode {
    VERSION.get_or_init(|| version);
    // Java's flags are not clap's: `-cf x` is one flag of two letters.
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(words) = admin::words(&arguments) {
        return admin::run(&words);
    }
    if arguments.get(1).is_some_and(|command| command == "bench") {
        arguments
            .iter_mut()
            .filter_map(|word| Some((bench::java::long_flag(word.to_str()?)?, word)))
            .for_each(|(long, word)| *word = long.into());
    }
    let parsed = cli::Cli::command().version(version).try_get_matches_from(&arguments);
    match parsed.and_then(|found| cli::Cli::from_arg_matches(&found)) {
        Ok(arguments) => run(arguments),
        Err(told) => usage(&told, &arguments),
    }
}

fn run(arguments: cli::Cli) -> ExitCode {
    let (name, ended) = match arguments.command {
        cli::Command::Dev(args) => return serve("dev", &args.process, || plan::dev(&args)),
        cli::Command::Broker(args) if args.print_config_items || args.print_important_items => {
            ("broker", java_items::print_broker(&args).map(done))
        }
        cli::Command::Namesrv(args) if args.print_config_items => {
            ("namesrv", java_items::print_namesrv(&args).map(done))
        }
        cli::Command::Namesrv(args) => return serve("namesrv", &args.process, || plan::namesrv(&args)),
        cli::Command::Broker(args) => return serve("broker", &args.process, || plan::broker(&args)),
        cli::Command::Admin => return admin::run(&[]),
        cli::Command::Run(args) => {
            let code = serve(&instance(&args.config), &args.process, || plan::run(&args));
            // Another try helps against all else; the unit does not try again after this code.
            let hopeless = code != ExitCode::SUCCESS && !plan::understands(&args.config);
            return if hopeless { ExitCode::from(USAGE) } else { code };
        }
        cli::Command::Doctor(args) => ("doctor", doctor::run(&args).map(done)),
        cli::Command::Config(command) => ("config", config_command::run(&command).map(done)),
        cli::Command::Stop(args) => ("stop", daemon::stop(&args).map(done)),
        cli::Command::Status(args) => ("status", daemon::status(&args).map(done)),
        cli::Command::Reload(args) => ("reload", daemon::reload(&args).map(done)),
        cli::Command::Shutdown { role } => ("shutdown", daemon::shutdown(role).map(done)),
        cli::Command::Example(args) => ("example", example::run(&args).map(done)),
        cli::Command::Bench(args) => ("bench", example::bench(args).map(done)),
    };
    outcome(name, ended)
}

fn done(_: ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn outcome(name: &str, ended: Result<ExitCode, Vec<String>>) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("rocketmq {name}: {problem}"));
            ExitCode::from(FAILED)
        }
    }
}

/// An instance is named by its file.
fn instance(file: &Path) -> String {
    file.file_stem().map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Runs a server, here or in the background.
fn serve(name: &str, process: &cli::Process, plan: impl Fn() -> Result<plan::Plan, Vec<String>>) -> ExitCode {
    let notice = match process.daemon.then(|| daemon::detach(process)).transpose() {
        Ok(Some(daemon::Side::Command(code))) => return code,
        Ok(Some(daemon::Side::Daemon(notice))) => Some(notice),
        Ok(None) => None,
        Err(problems) => return outcome(name, Err(problems)),
    };
    let ended = start(name, process, plan, notice.clone());
    // The command that started us waits until the last clone is gone; by then it is told what went wrong.
    let code = outcome(name, ended.map(done));
    drop(notice);
    code
}

fn start(
    name: &str,
    process: &cli::Process,
    plan: impl Fn() -> Result<plan::Plan, Vec<String>>,
    notice: Option<daemon::Notice>,
) -> Result<(), Vec<String>> {
    let again = || {
        let mut plan = plan()?;
        plan.process(name, process, notice.clone())?;
        Ok(plan)
    };
    let plan = again()?;
    plan.preflight()?;
    run::run(name, &plan, &again)
}

fn usage(told: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match told.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{told}");
            ExitCode::from(USAGE)
        }
        _ => {
            eprintln!("rocketmq: {}{}", cli::one_line(told), cli::remedy(told, arguments));
            ExitCode::from(USAGE)
        }
    }
}
