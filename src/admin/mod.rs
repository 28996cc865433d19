//! L4: `rocketmq admin`, also known as `mqadmin`: one command, one question or change, an exit code. Java's names, flags
//! and text, or JSON. Knows a cluster only through `client`, like any outsider; works against Java's as well.

pub mod arguments;
mod brokers;
mod commands;
mod consumers;
mod messages;
mod namesrv;
mod offsets;
pub mod output;
mod running;
pub mod session;
mod stats;
mod topics;

use std::io::Write;
use std::process::ExitCode;

use thiserror::Error;

use crate::base::clock::Clock;
use crate::base::local_time::Zone;
use crate::client::ClientError;
use arguments::Arguments;
pub use commands::{COMMANDS, Command};
use output::Output;
use session::Session;

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
pub enum Failure {
    /// It was asked in a way that means nothing.
    #[error("{0}")]
    Usage(String),
    /// A server could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was found is not what was asked for.
    #[error("{0}")]
    Other(String),
    /// The answer could not be printed.
    #[error("cannot print: {0}")]
    Output(std::io::Error),
}

impl Failure {
    /// The response code of a refusal.
    pub fn response(&self) -> Option<i32> {
        match self {
            Failure::Client(error) => error.response(),
            _ => None,
        }
    }
}

/// Exit code of a command that failed.
const FAILED: u8 = 1;
/// Exit code of a command line that means nothing.
const USAGE: u8 = 2;

/// What a command takes from its environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Value of `NAMESRV_ADDR`.
    pub name_servers: Option<String>,
    /// The zone in which times are shown.
    pub zone: Zone,
}

/// Runs one command: `words` is its name and what follows.
pub fn run(words: &[String], around: &Environment, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let done = match words.split_first() {
        None => commands::overview(out),
        Some((name, words)) if name == "help" => commands::help(words, out),
        Some((name, words)) => execute(name, words, around, out),
    };
    let failure = match done {
        Ok(()) => return ExitCode::SUCCESS,
        // Whoever reads us has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let name = words.first().map(String::as_str).unwrap_or_default();
    // Remarks of servers have several lines; a failure is one.
    let told =
        failure.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let hint = match failure {
        Failure::Usage(_) if COMMANDS.iter().any(|command| command.name == name) => {
            format!("; `help {name}` lists its flags")
        }
        _ => String::new(),
    };
    match writeln!(errors, "{name}: {told}{hint}") {
        Ok(()) if !matches!(failure, Failure::Usage(_)) => ExitCode::from(FAILED),
        _ => ExitCode::from(USAGE),
    }
}

fn execute(name: &str, words: &[String], around: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    let command = commands::find(name)?;
    let arguments = Arguments::parse(words, command.flags)?;
    if arguments.has("help") {
        return commands::help(&[name.to_owned()], out);
    }
    arguments.check(command.flags, command.one_of)?;
    let json = match arguments.get("output") {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => return Err(Failure::Usage(format!("--output {other}: text or json is needed"))),
    };
    let (name_servers, given_by) = match arguments.get("namesrvAddr") {
        Some(list) => (list, "-n"),
        None => (around.name_servers.as_deref().unwrap_or_default(), "NAMESRV_ADDR"),
    };
    let session = Session::new(name_servers, given_by, Clock::System, around.zone.clone())?;
    let mut out = Output::new(out, json);
    // What was printed before a failure is shown, as an array that ends.
    let done = (command.run)(&session, &arguments, &mut out);
    let finished = out.finish();
    done.and(finished)
}
