//! Writes the manual pages and the completions of bash, zsh and fish, from the tables that the program itself parses with:
//! `cargo run --example pages -- FOLDER [VERSION]`. Run by `packaging/build`; no part of the program.

use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::Shell;
use rocketmq::admin::arguments::{COMMON, Flag};
use rocketmq::admin::{self, COMMANDS};
use rocketmq::app::cli::Cli;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or_else(|| io::Error::other("usage: pages FOLDER [VERSION]"))?);
    let version = arguments.next().and_then(|version| version.into_string().ok());
    std::fs::create_dir_all(&folder)?;

    let mut command = Cli::command().mut_subcommand("admin", |command| command.subcommands(COMMANDS.iter().map(admin)));
    if let Some(version) = version {
        command = command.version(&*version.leak());
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), "rocketmq", &folder)?;
    }
    clap_mangen::generate_to(command, &folder)
}

/// A row of the table of admin commands, as clap describes one.
fn admin(row: &admin::Command) -> Command {
    let own = |short: &str| row.flags.iter().any(|flag| flag.short == short);
    let common = COMMON.iter().filter(|flag| flag.long != "help").map(|flag| flag_of(flag, !own(flag.short)));
    let flags = row.flags.iter().map(|flag| flag_of(flag, true));
    Command::new(row.name).about(row.summary).args(flags).args(common)
}

fn flag_of(flag: &Flag, with_short: bool) -> Arg {
    let action = if flag.value { ArgAction::Set } else { ArgAction::SetTrue };
    let arg = Arg::new(flag.long).long(flag.long).help(flag.help).required(flag.required).action(action);
    // Java's short names may have two letters, which no shell's completion knows.
    let mut letters = flag.short.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if with_short && letter != 'h' => arg.short(letter),
        _ => arg,
    }
}
