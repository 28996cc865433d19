//! The commands: ONE table, a row per command with Java's name and flags (5.3.3), its summary, and what it does. Help
//! and the parser walk the table.

use std::io::Write;

use super::arguments::{Arguments, COMMON, Flag, may, need, switch};
use super::output::Output;
use super::session::Session;
use super::{Failure, namesrv, topics};

/// A row of [`COMMANDS`].
pub struct Command {
    /// Java's name.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Its flags, beside the common ones.
    pub flags: &'static [Flag],
    /// Long names of flags of which one has to be given.
    pub one_of: &'static [&'static str],
    /// Does it.
    pub run: fn(&Session, &Arguments, &mut Output<'_>) -> Result<(), Failure>,
}

const TOPIC: Flag = need("t", "topic", "topic name");
const BROKER: Flag = may("b", "brokerAddr", "a broker: its address, or the name of its broker set");
const CLUSTER: Flag = may("c", "clusterName", "a cluster: all of its masters");
const BROKER_OR_CLUSTER: &[&str] = &["brokerAddr", "clusterName"];

/// Every command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "updateTopic",
        summary: "Update or create topic.",
        flags: &[
            BROKER,
            CLUSTER,
            may("a", "attributes", "attributes, such as +message.type=FIFO,-other"),
            TOPIC,
            may("r", "readQueueNums", "queues to read [8]"),
            may("w", "writeQueueNums", "queues to write [8]"),
            may("p", "perm", "permission: 2 write, 4 read, 6 both [6]"),
            may("o", "order", "whether the topic is ordered (true|false)"),
            may("u", "unit", "whether it is a unit topic (true|false)"),
            may("s", "hasUnitSub", "whether units subscribe to it (true|false)"),
        ],
        one_of: BROKER_OR_CLUSTER,
        run: topics::update,
    },
    Command {
        name: "deleteTopic",
        summary: "Delete topic from broker and NameServer.",
        flags: &[TOPIC, need("c", "clusterName", "delete it from this cluster")],
        one_of: &[],
        run: topics::delete,
    },
    Command {
        name: "updateTopicPerm",
        summary: "Update topic perm.",
        flags: &[BROKER, CLUSTER, TOPIC, need("p", "perm", "permission: 2 write, 4 read, 6 both")],
        one_of: BROKER_OR_CLUSTER,
        run: topics::update_perm,
    },
    Command {
        name: "topicRoute",
        summary: "Examine topic route info.",
        flags: &[TOPIC, switch("l", "list", "a table instead of JSON")],
        one_of: &[],
        run: topics::route,
    },
    Command {
        name: "topicStatus",
        summary: "Examine topic Status info.",
        flags: &[TOPIC, may("c", "cluster", "ask the brokers of this cluster, for a topic without a route of its own")],
        one_of: &[],
        run: topics::status,
    },
    Command {
        name: "topicClusterList",
        summary: "Get cluster info for topic.",
        flags: &[TOPIC],
        one_of: &[],
        run: topics::clusters,
    },
    Command {
        name: "topicList",
        summary: "Fetch all topic list from name server.",
        flags: &[switch("c", "clusterModel", "with cluster and consumer groups")],
        one_of: &[],
        run: topics::list,
    },
    Command {
        name: "allocateMQ",
        summary: "Allocate MQ.",
        flags: &[TOPIC, need("i", "ipList", "clients, separated by commas")],
        one_of: &[],
        run: topics::allocate,
    },
    Command {
        name: "updateOrderConf",
        summary: "Create or update or delete order conf.",
        flags: &[
            TOPIC,
            may("v", "orderConf", "queues by broker, such as brokerA:4;brokerB:4"),
            need("m", "method", "put, get or delete"),
        ],
        one_of: &[],
        run: namesrv::order_conf,
    },
    Command {
        name: "updateKvConfig",
        summary: "Create or update KV config.",
        flags: &[need("s", "namespace", "namespace"), need("k", "key", "key"), need("v", "value", "value")],
        one_of: &[],
        run: namesrv::update_kv,
    },
    Command {
        name: "deleteKvConfig",
        summary: "Delete KV config.",
        flags: &[need("s", "namespace", "namespace"), need("k", "key", "key")],
        one_of: &[],
        run: namesrv::delete_kv,
    },
    Command {
        name: "wipeWritePerm",
        summary: "Wipe write perm of broker in all name server you defined in the -n param.",
        flags: &[need("b", "brokerName", "broker name")],
        one_of: &[],
        run: namesrv::wipe_write_perm,
    },
    Command {
        name: "addWritePerm",
        summary: "Add write perm of broker in all name server you defined in the -n param.",
        flags: &[need("b", "brokerName", "broker name")],
        one_of: &[],
        run: namesrv::add_write_perm,
    },
    Command {
        name: "getNamesrvConfig",
        summary: "Get configs of name server.",
        flags: &[],
        one_of: &[],
        run: namesrv::get_config,
    },
    Command {
        name: "updateNamesrvConfig",
        summary: "Update configs of name server.",
        flags: &[need("k", "key", "config key"), need("v", "value", "config value")],
        one_of: &[],
        run: namesrv::update_config,
    },
];

/// The row of a command.
pub(super) fn find(name: &str) -> Result<&'static Command, Failure> {
    COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| {
        let names = COMMANDS.iter().map(|command| command.name);
        let meant = crate::base::keys::nearest(name, names).map(|name| format!("; did you mean {name}?"));
        Failure::Usage(format!("no such command{}", meant.unwrap_or_else(|| "; `help` lists all".to_owned())))
    })
}

/// What can be asked for.
pub(super) fn overview(out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "The commands are:")?;
    for command in COMMANDS {
        writeln!(out, "   {:<35}  {}", command.name, command.summary)?;
    }
    Ok(writeln!(out, "\nSee `help COMMAND` for its flags.")?)
}

/// The flags of a command.
pub(super) fn help(words: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let Some(name) = words.first() else { return overview(out) };
    let command = find(name)?;
    writeln!(out, "usage: {} {}", command.name, usage(command))?;
    writeln!(out, "{}", command.summary)?;
    for flag in command.flags.iter().chain(COMMON) {
        let short = if flag.short.is_empty() { String::new() } else { format!("-{},", flag.short) };
        let value = if flag.value { " <arg>" } else { "" };
        writeln!(out, " {:<35} {}", format!("{short}--{}{value}", flag.long), flag.help)?;
    }
    Ok(())
}

fn usage(command: &Command) -> String {
    let show = |flag: &Flag| {
        let name = if flag.short.is_empty() { format!("--{}", flag.long) } else { format!("-{}", flag.short) };
        let name = if flag.value { format!("{name} <arg>") } else { name };
        if flag.required { name } else { format!("[{name}]") }
    };
    command.flags.iter().chain(COMMON).map(show).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_so_are_the_flags_of_each_command() {
        for (index, command) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[..index].iter().all(|other| other.name != command.name), "{}", command.name);
            let flags: Vec<&Flag> = command.flags.iter().chain(COMMON).collect();
            for (index, flag) in flags.iter().enumerate() {
                let twice =
                    |other: &&Flag| other.long == flag.long || !flag.short.is_empty() && other.short == flag.short;
                assert!(!flags[..index].iter().any(twice), "{} --{}", command.name, flag.long);
                assert!(!flag.long.is_empty() && !flag.help.is_empty(), "{} {flag:?}", command.name);
            }
            for long in command.one_of {
                assert!(command.flags.iter().any(|flag| flag.long == *long), "{} --{long}", command.name);
            }
        }
    }

    #[test]
    fn a_mistyped_command_is_told_what_may_have_been_meant() {
        assert!(find("topicLst").is_err_and(|error| error.to_string().contains("topicList")));
        assert!(find("xyzzyplugh").is_err_and(|error| error.to_string().contains("help")));
    }
}
