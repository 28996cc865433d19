//! Writes the manual pages and the completions of bash, zsh and fish, from the tables that the program itself parses with:
//! `cargo run --example pages -- FOLDER [VERSION]`. Run by `packaging/build`; no part of the program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use rocketmq::admin::arguments::{COMMON, Flag};
use rocketmq::admin::{self, COMMANDS};
use rocketmq::app::cli::Cli;

/// What the page of the program itself says beside its commands; the tables do not know it.
const MORE: &str = r#".SH EXIT STATUS
0 when all went well; 1 when something failed or was found; 2 for a command line, or a file of
.BR "rocketmq run" ,
that cannot be understood.
.SH ENVIRONMENT
.TP
.B NAMESRV_ADDR
Name servers, where
.B \-n
is not given: HOST:PORT;HOST:PORT
.TP
.B ROCKETMQ__SECTION__KEY
A setting over the one in the file, such as ROCKETMQ__BROKER__FLUSH__MODE=sync for
.B mode
in the section [broker.flush]
.TP
.B RUST_LOG
Levels of the log, over those of the file: info, debug, or by part: info,store=debug
.SH FILES
.TP
.I /etc/rocketmq/NAME.toml
What
.B rocketmq@NAME.service
runs;
.I NAME.env
beside it may set variables
.TP
.I /usr/lib/rocketmq/conf
All settings with their defaults, and sets for clusters
.TP
.I /usr/lib/rocketmq/bin
Java's commands: mqnamesrv, mqbroker, mqadmin, mqshutdown
.TP
.I /var/lib/rocketmq/NAME
Messages, offsets, topics of an instance
.TP
.I /usr/share/doc/rocketmq
From installation to monitoring, in English and Chinese
.SH EXAMPLES
.nf
systemctl enable \-\-now rocketmq@namesrv rocketmq@broker\-a
rocketmq admin sendMessage \-n 127.0.0.1:9876 \-t FirstTopic \-p Hello
rocketmq doctor \-n 127.0.0.1:9876
rocketmq config explain flushDiskType
.fi
"#;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or_else(|| io::Error::other("usage: pages FOLDER [VERSION]"))?);
    let version = arguments.next().and_then(|version| version.into_string().ok());
    let version: &'static str = version.map_or(env!("CARGO_PKG_VERSION"), |version| version.leak());
    fs::create_dir_all(&folder)?;

    let mut command = Cli::command().mut_subcommand("admin", |command| command.subcommands(COMMANDS.iter().map(admin)));
    command = command.version(version);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), "rocketmq", &folder)?;
    }
    command = command.disable_help_subcommand(true);
    command.build();
    manual(&command, version, &folder)
}

/// The page of a command, and those of the commands below it.
fn manual(command: &Command, version: &str, folder: &Path) -> io::Result<()> {
    let below: Vec<&Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    below.iter().try_for_each(|below| manual(below, version, folder))?;
    let is_root = command.get_name() == "rocketmq";
    let page = Man::new(command.clone()).source(format!("rocketmq {version}"));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if !below.is_empty() {
        page.render_subcommands_section(&mut text)?;
    }
    text.extend(if is_root { MORE.as_bytes() } else { b".SH SEE ALSO\n.BR rocketmq (1)\n" });
    fs::write(folder.join(page.get_filename()), text)
}

/// A row of the table of admin commands, as clap describes one.
fn admin(row: &admin::Command) -> Command {
    let own = |short: &str| row.flags.iter().any(|flag| flag.short == short);
    let common = COMMON.iter().filter(|flag| flag.long != "help").map(|flag| flag_of(flag, !own(flag.short)));
    let flags = row.flags.iter().map(|flag| flag_of(flag, true));
    Command::new(row.name).about(row.summary).args(flags).args(common)
}

fn flag_of(flag: &Flag, with_short: bool) -> Arg {
    let arg = Arg::new(flag.long).long(flag.long).help(flag.help).required(flag.required);
    let arg = if flag.value { arg.action(ArgAction::Set).value_name("ARG") } else { arg.action(ArgAction::SetTrue) };
    // Java's short names may have two letters, which no shell's completion knows.
    let mut letters = flag.short.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if with_short && letter != 'h' => arg.short(letter),
        _ => arg,
    }
}
