//! Every command of `rocketmq admin`, by two tables: one whose answers have to be JSON, one of what is typed wrong. Both
//! are compared with the list of commands, so that none is forgotten.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::admin::Cluster;
use crate::harness::{Said, run};

/// A cluster with a topic, a group and a message.
fn cluster(name: &str) -> Cluster {
    let cluster = Cluster::start(name);
    for line in [
        "updateTopic -c DefaultCluster -t Orders -r 2 -w 2",
        "updateSubGroup -c DefaultCluster -g Billing",
        "sendMessage -t Orders -p hello -k key-1 -c TagA -b broker-a -i 1",
        "resetOffsetByTime -g Billing -t Orders -s -1",
    ] {
        let said = admin(&cluster, line);
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
    }
    cluster
}

/// `~` stands for a blank, `BROKER` for the broker's address, `ID` and `UNIQUE` for the message's ids.
fn admin(cluster: &Cluster, line: &str) -> Said {
    let words: Vec<String> =
        line.split(' ').map(|word| word.replace('~', " ").replace("BROKER", &cluster.broker)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name_server = ["-n", cluster.name_server.as_str()];
    let around: &[&str] = if words.contains(&"-n") { &[] } else { &name_server };
    run(cluster.home.path(), &[&["admin"], words.as_slice(), around].concat())
}

fn rows(cluster: &Cluster, line: &str) -> (Said, Vec<Json>) {
    let said = admin(cluster, &format!("{line} --output json"));
    let rows = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {said:?}"));
    (said, rows)
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Commands with at least one row to tell.
const ASKED: &[&str] = &[
    "topicList",
    "topicList -c",
    "topicClusterList -t Orders",
    "topicRoute -t Orders",
    "topicRoute -l -t Orders",
    "topicStatus -t Orders",
    "allocateMQ -t Orders -i 10.0.0.1,10.0.0.2",
    "statsAll",
    "statsAll -a -t Orders",
    "clusterList",
    "clusterList -m -c DefaultCluster",
    "brokerStatus -b BROKER",
    "brokerStatus -c DefaultCluster",
    "brokerConsumeStats -b broker-a",
    "getBrokerConfig -b broker-a",
    "getBrokerConfig -c DefaultCluster",
    "getNamesrvConfig",
    "consumerProgress -g Billing -t Orders",
    "printMsg -t Orders",
    "printMsg -t Orders -l Orders",
    "printMsgByQueue -t Orders -a broker-a -i 1 -p true -d true",
    "printMsgByQueue -t Orders -a broker-a -i 1 -f true",
    "consumeMessage -t Orders -c 1",
    "queryMsgByOffset -t Orders -b broker-a -i 1 -o 0",
    "queryMsgById -t Orders -i ID",
    "queryMsgById -t Orders -i ID -s true",
    "queryMsgByKey -t Orders -k key-1",
    "queryMsgByUniqueKey -t Orders -i UNIQUE -a",
    "sendMessage -t Orders -p again",
    "checkMsgSendRT -t Orders -a 2 -s 10",
    "resetOffsetByTime -g Billing -t Orders -s now",
    "resetOffsetByTime -g Billing -t Orders -s now -b broker-a -q 1 -o 0",
    "cloneGroupOffset -s Billing -d Accounting -t Orders",
    "updateTopic -b broker-a -t Made -o true",
    "updateTopicPerm -t Made -c DefaultCluster -p 4",
    "updateSubGroup -b BROKER -g MadeGroup",
    "updateBrokerConfig -b broker-a -k traceOn -v false",
    "updateNamesrvConfig -k orderMessageEnable -v true",
    "updateKvConfig -s space -k key -v value",
    "deleteKvConfig -s space -k key",
    "updateOrderConf -t Orders -m put -v broker-a:2",
    "updateOrderConf -t Orders -m get",
    "updateOrderConf -t Orders -m delete",
    "wipeWritePerm -b broker-a",
    "addWritePerm -b broker-a",
    "cleanUnusedTopic",
    "cleanExpiredCQ -b broker-a",
    "deleteExpiredCommitLog -c DefaultCluster",
    "deleteSubGroup -c DefaultCluster -g MadeGroup -r true",
    "deleteTopic -c DefaultCluster -t Made",
];

/// Commands about members that are online, which tests/interop has: nobody is here. And the one that never ends.
const NOBODY: &[&str] = &[
    "consumerProgress",
    "consumerConnection -g Billing",
    "producerConnection -g Nobody -t Orders",
    "consumerStatus -g Billing",
    "clusterRT -c nowhere",
];

#[test]
fn every_command_answers_in_json_when_it_is_asked_to() {
    let cluster = cluster("admin-json");
    let (_, found) = rows(&cluster, "queryMsgByOffset -t Orders -b broker-a -i 1 -o 0");
    let id = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
    for line in ASKED {
        let line = line.replace("ID", &id("offsetMsgId")).replace("UNIQUE", &id("msgId"));
        let (said, rows) = rows(&cluster, &line);
        assert!(said.code == Some(0) && said.stderr.is_empty(), "{line}: {said:?}");
        assert!(!rows.is_empty() && rows.iter().all(Json::is_object), "{line}: {rows:?}");
    }
    for line in NOBODY {
        let (said, rows) = rows(&cluster, line);
        assert!(rows.is_empty() && said.stderr.lines().count() <= 1, "{line}: {said:?}");
    }
    for command in rocketmq::admin::COMMANDS {
        assert!(ASKED.iter().chain(NOBODY).any(|line| name(line) == command.name), "{}", command.name);
    }
    cluster.server.stop();
}

/// What is typed wrong, and what has to be told; the name server and the broker refuse what the tool lets through.
const WRONG: &[(&str, i32, &str)] = &[
    ("updateTopic -t T -c nowhere", 1, "no cluster nowhere"),
    ("updateTopic -t T -b nobody", 1, "no broker named nobody"),
    ("updateTopic -t T -b 127.0.0.1:1", 1, "cannot connect to 127.0.0.1:1"),
    ("updateTopic -t a/b -c DefaultCluster", 1, "illegal"),
    ("updateTopic -t T -c DefaultCluster -r 0", 2, "at least one queue"),
    ("updateTopic -t T -c DefaultCluster -w -4", 2, "at least one queue"),
    ("updateTopic -t T -c DefaultCluster -w 9999999", 1, "writeQueueNums"),
    ("updateTopic -t T -c DefaultCluster -p 8", 2, "2 (write), 4 (read) or 6 (both)"),
    ("updateTopic -t T -c DefaultCluster -o perhaps", 2, "true or false"),
    ("updateTopic -t T -c DefaultCluster -a message.type=FIFO", 2, "+KEY=VALUE or -KEY"),
    ("updateTopicPerm -t Orders -c DefaultCluster -p -1", 2, "2 (write), 4 (read) or 6 (both)"),
    ("updateTopicPerm -t nothere -c DefaultCluster -p 6", 1, "TOPIC_NOT_EXIST"),
    ("updateTopicPerm -t Orders -b nobody -p 4", 1, "no broker named nobody"),
    ("deleteTopic -t Orders -c nowhere", 1, "no cluster nowhere"),
    ("updateSubGroup -g a/b -c DefaultCluster", 1, "a/b"),
    ("updateSubGroup -g G -c DefaultCluster -q -1", 1, "retryQueueNums"),
    ("updateSubGroup -g G -c DefaultCluster -r many", 2, "--retryMaxTimes many: a whole number"),
    ("updateSubGroup -g G -c DefaultCluster -p {bad", 2, "a retry policy in JSON"),
    ("updateSubGroup -g G -b nobody", 1, "no broker named nobody"),
    ("deleteSubGroup -g Billing -c nowhere", 1, "no cluster nowhere"),
    ("deleteSubGroup -g Billing -b broker-a -r perhaps", 2, "true or false"),
    ("consumerProgress -g nobody", 1, "no broker knows group nobody"),
    ("consumerProgress -g Billing -t Orders -s perhaps", 2, "true or false"),
    ("consumerProgress -g Billing -c nowhere", 1, "TOPIC_NOT_EXIST"),
    ("consumerConnection -g nobody", 1, "no broker knows group nobody"),
    ("consumerConnection -g Billing -b nobody", 1, "no broker named nobody"),
    ("producerConnection -g nobody -t Orders", 1, "no member of producer group nobody"),
    ("producerConnection -g nobody -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("consumerStatus -g nobody", 1, "no broker knows group nobody"),
    ("consumerStatus -g Billing -b nobody", 1, "no broker named nobody"),
    ("queryMsgById -t Orders -i nonsense", 2, "not an offset message id"),
    ("queryMsgById -t Orders -i 7F00000100000001000000000000FFFF", 1, "cannot connect to 127.0.0.1:1"),
    ("queryMsgByKey -t Orders -k none", 1, "Orders has none with key none"),
    ("queryMsgByKey -t Orders -k key-1 -m -1", 2, "at least one"),
    ("queryMsgByKey -t Orders -k key-1 -b yesterday", 2, "a whole number"),
    ("queryMsgByKey -t nothere -k key-1", 1, "TOPIC_NOT_EXIST"),
    ("queryMsgByUniqueKey -t Orders -i none", 1, "no message of Orders has the id none"),
    ("queryMsgByOffset -t Orders -b nobody -i 0 -o 0", 1, "topic Orders is not on nobody; it is on: broker-a"),
    ("queryMsgByOffset -t Orders -b broker-a -i 99 -o 0", 1, "99"),
    ("queryMsgByOffset -t Orders -b broker-a -i -1 -o 0", 1, "-1"),
    ("queryMsgByOffset -t Orders -b broker-a -i 1 -o 99", 1, "no message at offset 99; it holds 0 to 1"),
    ("queryMsgByOffset -t Orders -b broker-a -i 1 -o -3", 1, "no message at offset -3"),
    ("printMsg -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("printMsg -t Orders -b yesterday", 2, "yyyy-MM-dd#HH:mm:ss:SSS"),
    ("printMsg -t Orders -e 2026-13-01#00:00:00:000", 2, "yyyy-MM-dd#HH:mm:ss:SSS"),
    ("printMsg -t Orders -c GBK", 2, "UTF-8 only"),
    ("printMsgByQueue -t Orders -a nobody -i 0", 1, "topic Orders is not on nobody"),
    ("printMsgByQueue -t Orders -a broker-a -i x", 2, "a whole number"),
    ("sendMessage -t Orders -p x -b broker-a", 2, "-b and -i together"),
    ("sendMessage -t Orders -p x -b broker-a -i 99", 1, "no such queue"),
    ("sendMessage -t a/b -p x", 1, "illegal characters"),
    ("consumeMessage -t Orders -c 0", 2, "at least one message"),
    ("consumeMessage -t Orders -s 5 -e 4", 2, "before the end"),
    ("consumeMessage -t Orders -i 1", 2, "-b and -i together"),
    ("checkMsgSendRT -t Orders -a 0", 2, "1 or more"),
    ("checkMsgSendRT -t Orders -a -1", 2, "a whole number in range"),
    ("checkMsgSendRT -t Orders -s 99999999", 2, "at most"),
    ("checkMsgSendRT -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("resetOffsetByTime -g Billing -t Orders -s whenever", 2, "now, milliseconds"),
    ("resetOffsetByTime -g nobody -t Orders -s now", 1, "SUBSCRIPTION_GROUP_NOT_EXIST"),
    ("resetOffsetByTime -g Billing -t nothere -s now", 1, "TOPIC_NOT_EXIST"),
    ("resetOffsetByTime -g Billing -t Orders -s now -b broker-a", 2, "-b and -q together"),
    (
        "resetOffsetByTime -g Billing -t Orders -s now -b broker-a -q 1 -o -5",
        2,
        "queue 1 of Orders on broker-a holds 0 to 1",
    ),
    (
        "resetOffsetByTime -g Billing -t Orders -s now -b broker-a -q 1 -o 99",
        2,
        "queue 1 of Orders on broker-a holds 0 to 1",
    ),
    ("resetOffsetByTime -g Billing -t Orders -s now -b broker-a -q 99 -o 0", 2, "topic Orders has queues 0 to 1"),
    ("cloneGroupOffset -s nobody -d Other -t Orders", 1, "nobody"),
    ("statsAll -t nothere", 1, "no topic nothere"),
    ("clusterRT -a 0", 2, "1 or more"),
    ("clusterRT -c nowhere", 1, "no cluster nowhere"),
    ("clusterRT -s -1", 2, "a whole number"),
    ("clusterList -i soon", 2, "a whole number"),
    ("clusterList -c nowhere", 1, "no cluster nowhere"),
    ("brokerStatus -b nobody", 1, "no broker named nobody"),
    ("brokerStatus -b 127.0.0.1:1", 1, "cannot connect to 127.0.0.1:1"),
    ("brokerConsumeStats -b nobody", 1, "no broker named nobody"),
    ("brokerConsumeStats -b broker-a -l low", 2, "a whole number"),
    ("getBrokerConfig -c nowhere", 1, "no cluster nowhere"),
    ("updateBrokerConfig -b broker-a -k maxMessageSize -v -1", 1, "maxMessageSize=-1"),
    ("updateBrokerConfig -b broker-a -k brokerConfigPath -v /tmp/x", 1, "black list"),
    ("updateBrokerConfig -b broker-a -k brokerName -v other", 1, "brokerName"),
    ("updateBrokerConfig -c nowhere -k traceOn -v false", 1, "no cluster nowhere"),
    ("cleanUnusedTopic -b nobody", 1, "no broker named nobody"),
    ("cleanExpiredCQ -c nowhere", 1, "no cluster nowhere"),
    ("deleteExpiredCommitLog -b 127.0.0.1:1", 1, "cannot connect to 127.0.0.1:1"),
    ("topicRoute -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("topicStatus -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("topicClusterList -t nothere", 1, "TOPIC_NOT_EXIST"),
    ("topicList word", 2, "unknown argument word"),
    ("topicList -n", 2, "-n needs a value"),
    ("topicList -n 127.0.0.1:1", 1, "cannot connect to 127.0.0.1:1"),
    ("topicList -n here", 2, "`here` is not HOST:PORT"),
    ("allocateMQ -t nothere -i 1", 1, "TOPIC_NOT_EXIST"),
    ("updateOrderConf -t Orders -m fly", 2, "put, get or delete"),
    ("updateOrderConf -t Orders -m put -v broker-a", 2, "BROKER:QUEUES"),
    ("updateOrderConf -t Orders -m get", 1, "no order configuration"),
    ("updateKvConfig -s space -k key", 2, "missing -v (value)"),
    ("deleteKvConfig -s space", 2, "missing -k (key)"),
    ("wipeWritePerm -b nobody", 1, "no topic is on broker nobody"),
    ("addWritePerm -b nobody", 1, "no topic is on broker nobody"),
    ("getNamesrvConfig -x", 2, "unknown argument -x"),
    ("updateNamesrvConfig -k orderMessageEnable -v perhaps", 1, "orderMessageEnable"),
    ("updateNamesrvConfig -k kvConfigPath -v /tmp/x", 1, "kvConfigPath"),
];

#[test]
fn what_is_wrong_is_told_in_one_line_and_nothing_is_changed() {
    let mut cluster = cluster("admin-bad");
    cluster.server = cluster.server.announce("an update of the settings");
    let state = || -> Vec<String> {
        let lines = [
            "topicList -c",
            "topicRoute -t Orders",
            "topicStatus -t Orders",
            "consumerProgress -g Billing -t Orders",
            "brokerConsumeStats -b broker-a",
            "getBrokerConfig -b broker-a",
            "getNamesrvConfig",
        ];
        lines.map(|line| admin(&cluster, line).stdout).into()
    };
    // The only traces of what was not found: rates, which fall.
    let still = |states: Vec<String>| -> Vec<String> {
        let moves = |line: &&str| !line.starts_with("Topic Put TPS") && !line.starts_with("Consume TPS");
        states.iter().map(|text| text.lines().filter(moves).collect::<Vec<_>>().join("\n")).collect()
    };
    let before = still(state());
    let mut wrong = Vec::new();
    for (line, code, told) in WRONG {
        let said = admin(&cluster, line);
        let fits = said.code == Some(*code) && said.stderr.contains(told) && said.stderr.lines().count() == 1;
        if !fits || !said.stderr.starts_with(name(line)) {
            wrong.push(format!("{line}: {told}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(still(state()), before);
    let asked: BTreeSet<&str> = WRONG.iter().map(|(line, ..)| name(line)).collect();
    for command in rocketmq::admin::COMMANDS {
        assert!(asked.contains(command.name), "{}", command.name);
        let required: Vec<_> = command.flags.iter().filter(|flag| flag.required).collect();
        for flag in &required {
            let said = admin(&cluster, command.name);
            assert!(said.code == Some(2) && said.stderr.contains(flag.long), "{}: {said:?}", command.name);
        }
        let said = admin(&cluster, &format!("{} --no-such-flag", command.name));
        assert!(said.code == Some(2) && said.stderr.lines().count() == 1, "{}: {said:?}", command.name);
        assert!(said.stderr.contains("unknown argument --no-such-flag; `help"), "{}: {said:?}", command.name);
    }
    cluster.server.stop();
}
