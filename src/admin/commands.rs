//! The commands: ONE table, a row per command with Java's name and flags (5.3.3), its summary, and what it does. Help
//! and the parser walk the table.

use std::io::Write;

use super::arguments::{Arguments, COMMON, Flag, may, need, switch};
use super::output::Output;
use super::session::Session;
use super::{Failure, brokers, consumers, messages, namesrv, offsets, running, stats, topics};

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
const SPAN_BEGIN: Flag = may("b", "beginTimestamp", "from a time: milliseconds, or yyyy-MM-dd#HH:mm:ss:SSS");
const SPAN_END: Flag = may("e", "endTimestamp", "up to a time: milliseconds, or yyyy-MM-dd#HH:mm:ss:SSS");
const CHARSET: Flag = may("c", "charsetName", "UTF-8, the only one");
const TAGS: Flag = may("s", "subExpression", "tags, such as TagA || TagB [*]");
const CONSUME_NOW: Flag = may("g", "consumerGroup", "have this group consume it now");
const ONLY_MEMBER: Flag = may("d", "clientId", "this member of the group only");
const VIA_CLUSTER: Flag =
    may("c", "cluster", "ask the brokers of this cluster, for a topic without a route of its own");
const BODY_FORMAT: Flag = may("f", "bodyFormat", "UTF-8: show the body as well");
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
        name: "updateSubGroup",
        summary: "Update or create subscription group.",
        flags: &[
            BROKER,
            CLUSTER,
            need("g", "groupName", "consumer group"),
            may("s", "consumeEnable", "whether the group may consume (true|false) [true]"),
            may("m", "consumeFromMinEnable", "whether it may start at the oldest message (true|false) [false]"),
            may("d", "consumeBroadcastEnable", "whether it may broadcast (true|false) [false]"),
            may("o", "consumeMessageOrderly", "POP: in order (true|false) [false]"),
            may("q", "retryQueueNums", "queues of its retry topic [1]"),
            may("r", "retryMaxTimes", "redeliveries before a message is given up [16]"),
            may("p", "groupRetryPolicy", "how redeliveries are spaced, in JSON"),
            may("i", "brokerId", "broker id to read from [0]"),
            may("w", "whichBrokerWhenConsumeSlowly", "broker id to read from when it is slow [1]"),
            may("a", "notifyConsumerIdsChanged", "whether members are told of changes (true|false) [true]"),
            may("", "attributes", "attributes, such as +key=value,-other"),
        ],
        one_of: BROKER_OR_CLUSTER,
        run: consumers::update_group,
    },
    Command {
        name: "deleteSubGroup",
        summary: "Delete subscription group from broker.",
        flags: &[
            BROKER,
            CLUSTER,
            need("g", "groupName", "consumer group"),
            may("r", "removeOffset", "whether its offsets are removed as well (true|false) [false]"),
        ],
        one_of: BROKER_OR_CLUSTER,
        run: consumers::delete_group,
    },
    Command {
        name: "consumerProgress",
        summary: "Query consumer's progress, speed.",
        flags: &[
            may("g", "groupName", "one group, by queue; all groups without it"),
            may("t", "topicName", "of one topic"),
            may("s", "showClientIP", "which client holds each queue (true|false) [false]"),
            may("c", "cluster", "ask the brokers of this cluster, for a group without a retry topic"),
        ],
        one_of: &[],
        run: consumers::progress,
    },
    Command {
        name: "consumerConnection",
        summary: "Query consumer's socket connection, client version and subscription.",
        flags: &[need("g", "consumerGroup", "consumer group"), may("b", "brokerAddr", "ask this broker")],
        one_of: &[],
        run: consumers::consumer_connection,
    },
    Command {
        name: "producerConnection",
        summary: "Query producer's socket connection and client version.",
        flags: &[need("g", "producerGroup", "producer group"), need("t", "topic", "a topic that it sends to")],
        one_of: &[],
        run: consumers::producer_connection,
    },
    Command {
        name: "queryMsgById",
        summary: "Query Message by Id.",
        flags: &[
            TOPIC,
            need("i", "msgId", "offset message id, the one that a broker gave; several separated by commas"),
            CONSUME_NOW,
            ONLY_MEMBER,
            may("s", "sendMessage", "send it once more (true|false)"),
            may("u", "unitName", "changes nothing"),
            BODY_FORMAT,
            VIA_CLUSTER,
        ],
        one_of: &[],
        run: messages::by_id,
    },
    Command {
        name: "queryMsgByKey",
        summary: "Query Message by Key.",
        flags: &[
            TOPIC,
            need("k", "msgKey", "key"),
            may("b", "beginTimestamp", "stored from, milliseconds"),
            may("e", "endTimestamp", "stored up to, milliseconds"),
            may("m", "maxNum", "most messages of each broker [64]"),
            VIA_CLUSTER,
        ],
        one_of: &[],
        run: messages::by_key,
    },
    Command {
        name: "queryMsgByUniqueKey",
        summary: "Query Message by Unique key.",
        flags: &[
            need("i", "msgId", "the id that the client gave"),
            CONSUME_NOW,
            ONLY_MEMBER,
            TOPIC,
            switch("a", "showAll", "every message with that id"),
            VIA_CLUSTER,
        ],
        one_of: &[],
        run: messages::by_unique_key,
    },
    Command {
        name: "queryMsgByOffset",
        summary: "Query Message by offset.",
        flags: &[
            TOPIC,
            need("b", "brokerName", "broker name"),
            need("i", "queueId", "queue"),
            need("o", "offset", "queue offset"),
            BODY_FORMAT,
        ],
        one_of: &[],
        run: messages::by_offset,
    },
    Command {
        name: "printMsg",
        summary: "Print Message Detail.",
        flags: &[
            TOPIC,
            CHARSET,
            TAGS,
            SPAN_BEGIN,
            SPAN_END,
            may("d", "printBody", "with bodies (true|false) [true]"),
            may("l", "lmqParentTopic", "the topic whose route leads to a light topic"),
        ],
        one_of: &[],
        run: messages::print,
    },
    Command {
        name: "printMsgByQueue",
        summary: "Print Message Detail by queueId.",
        flags: &[
            TOPIC,
            need("a", "brokerName", "broker name"),
            need("i", "queueId", "queue"),
            CHARSET,
            TAGS,
            SPAN_BEGIN,
            SPAN_END,
            may("p", "print", "print the messages (true|false) [false]"),
            may("d", "printBody", "with bodies (true|false) [false]"),
            may("f", "calculate", "count messages by tag (true|false) [false]"),
        ],
        one_of: &[],
        run: messages::print_queue,
    },
    Command {
        name: "sendMessage",
        summary: "Send a message.",
        flags: &[
            TOPIC,
            need("p", "body", "body, as UTF-8"),
            may("k", "key", "keys"),
            may("c", "tags", "tags"),
            may("b", "broker", "to this broker name, with -i"),
            may("i", "qid", "to this queue, with -b"),
            may("m", "msgTraceEnable", "changes nothing: nothing is traced"),
        ],
        one_of: &[],
        run: messages::send,
    },
    Command {
        name: "consumeMessage",
        summary: "Consume message.",
        flags: &[
            TOPIC,
            may("b", "brokerName", "from this broker name, with -i"),
            may("i", "queueId", "from this queue, with -b"),
            may("o", "offset", "from this queue offset, with -b and -i"),
            may("g", "consumerGroup", "changes nothing: no offset is committed"),
            may("s", "beginTimestamp", "from a time: milliseconds, or yyyy-MM-dd#HH:mm:ss:SSS"),
            may("e", "endTimestamp", "up to a time: milliseconds, or yyyy-MM-dd#HH:mm:ss:SSS"),
            may("c", "MessageNumber", "most messages [128]"),
        ],
        one_of: &[],
        run: messages::consume,
    },
    Command {
        name: "checkMsgSendRT",
        summary: "Check message send response time.",
        flags: &[TOPIC, may("a", "amount", "messages [100]"), may("s", "size", "bytes of a body [128]")],
        one_of: &[],
        run: messages::check_send_time,
    },
    Command {
        name: "consumerStatus",
        summary: "Query consumer's internal data structure.",
        flags: &[
            need("g", "consumerGroup", "consumer group"),
            may("i", "clientId", "this member only, printed here"),
            may("b", "brokerAddr", "ask this broker"),
            switch("s", "jstack", "with the stacks of its threads"),
        ],
        one_of: &[],
        run: running::status,
    },
    Command {
        name: "resetOffsetByTime",
        summary: "Reset consumer offset by timestamp(without client restart).",
        flags: &[
            need("g", "group", "consumer group"),
            TOPIC,
            need("s", "timestamp", "now, milliseconds, or yyyy-MM-dd#HH:mm:ss:SSS; -1 is the end"),
            may("f", "force", "forward as well as back (true|false) [true]"),
            switch("", "cplus", "tell the members in the form of C++ clients"),
            may("b", "broker", "one queue: its broker, with -q"),
            may("q", "queue", "one queue: its number, with -b"),
            may("o", "offset", "one queue: this offset instead of the time"),
            may("c", "cluster", "ask the brokers of this cluster, for a topic without a route of its own"),
        ],
        one_of: &[],
        run: offsets::reset,
    },
    Command {
        name: "cloneGroupOffset",
        summary: "Clone offset from other group.",
        flags: &[
            need("s", "srcGroup", "the group to copy from"),
            need("d", "destGroup", "the group to copy to"),
            TOPIC,
            may("o", "offline", "changes nothing"),
        ],
        one_of: &[],
        run: offsets::clone,
    },
    Command {
        name: "statsAll",
        summary: "Topic and Consumer tps stats.",
        flags: &[switch("a", "activeTopic", "topics with messages today only"), may("t", "topic", "this topic only")],
        one_of: &[],
        run: stats::all,
    },
    Command {
        name: "clusterRT",
        summary: "List All clusters Message Send RT.",
        flags: &[
            may("a", "amount", "messages to each broker [100]"),
            may("s", "size", "bytes of a body [128]"),
            may("c", "cluster", "this cluster only"),
            may("p", "printLog", "lines with | between fields (true|false) [false]"),
            may("m", "machineRoom", "a name for these lines"),
            may("i", "interval", "seconds between rounds [10]"),
        ],
        one_of: &[],
        run: stats::cluster_send_time,
    },
    Command {
        name: "clusterList",
        summary: "List cluster infos.",
        flags: &[
            switch("m", "moreStats", "messages of yesterday and today"),
            may("i", "interval", "again every so many seconds"),
            may("c", "clusterName", "this cluster only"),
        ],
        one_of: &[],
        run: brokers::cluster_list,
    },
    Command {
        name: "brokerStatus",
        summary: "Fetch broker runtime status data.",
        flags: &[BROKER, CLUSTER],
        one_of: BROKER_OR_CLUSTER,
        run: brokers::status,
    },
    Command {
        name: "brokerConsumeStats",
        summary: "Fetch broker consume stats data.",
        flags: &[
            need("b", "brokerAddr", "a broker: its address, or the name of its broker set"),
            may("t", "timeoutMillis", "how long to wait [50000]"),
            may("l", "level", "least lag that is shown [0]"),
            may("o", "order", "orderly groups (true|false) [false]"),
        ],
        one_of: &[],
        run: brokers::consume_stats,
    },
    Command {
        name: "getBrokerConfig",
        summary: "Get broker config by cluster or special broker.",
        flags: &[BROKER, CLUSTER],
        one_of: BROKER_OR_CLUSTER,
        run: brokers::get_config,
    },
    Command {
        name: "updateBrokerConfig",
        summary: "Update broker's config.",
        flags: &[
            BROKER,
            CLUSTER,
            may("a", "updateAllBroker", "slaves of the cluster as well (true|false) [false]"),
            need("k", "key", "config key"),
            need("v", "value", "config value"),
        ],
        one_of: BROKER_OR_CLUSTER,
        run: brokers::update_config,
    },
    Command {
        name: "cleanUnusedTopic",
        summary: "Clean unused topic on broker.",
        flags: &[BROKER, may("c", "cluster", "a cluster: all of its masters")],
        one_of: &[],
        run: brokers::clean_unused_topic,
    },
    Command {
        name: "cleanExpiredCQ",
        summary: "Clean expired ConsumeQueue on broker.",
        flags: &[BROKER, may("c", "cluster", "a cluster: all of its masters")],
        one_of: &[],
        run: brokers::clean_expired_queues,
    },
    Command {
        name: "deleteExpiredCommitLog",
        summary: "Delete expired CommitLog files.",
        flags: &[BROKER, may("c", "cluster", "a cluster: all of its masters")],
        one_of: &[],
        run: brokers::delete_expired_log,
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
        if name.starts_with('-') {
            return Failure::Usage(
                "the command comes first, its flags behind it; `help` lists all commands".to_owned(),
            );
        }
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
