//! `rocketmq admin` beside Java's `mqadmin` 5.3.3 on the same cluster: the same lines.

use std::process::Command;

use crate::clients::{TOPIC, send};
use crate::cluster::{Cluster, rocketmq};
use crate::peers::{Client, java, peer};

/// Commands that change nothing, in the order in which they are asked.
const QUESTIONS: &[&str] = &[
    "topicList",
    "topicList -c",
    "topicClusterList -t TOPIC",
    "topicRoute -t TOPIC",
    "topicRoute -l -t TOPIC",
    "topicStatus -t TOPIC",
    "clusterList",
    "clusterList -m",
    "brokerStatus -c DefaultCluster",
    "getNamesrvConfig",
    "consumerProgress",
    "printMsg -t TOPIC",
    "printMsgByQueue -t TOPIC -a broker-a -i 0 -p true -d true -f true",
    "queryMsgByOffset -t TOPIC -b broker-a -i 0 -o 0 -f UTF-8",
    "consumeMessage -t TOPIC -b broker-a -i 0 -o 0 -c 1",
];

/// Commands that answer the same when they are given twice.
const CHANGES: &[&str] = &[
    "updateTopic -c DefaultCluster -t Made -r 3 -w 2 -p 6",
    "updateTopicPerm -c DefaultCluster -t Made -p 6",
    "updateSubGroup -c DefaultCluster -g MadeGroup -r 3",
    "updateKvConfig -s namespace -k key -v value",
    "updateOrderConf -t Made -m put -v broker-a:2",
    "updateOrderConf -t Made -m get",
    "wipeWritePerm -b broker-a",
    "addWritePerm -b broker-a",
    "deleteKvConfig -s namespace -k key",
    "deleteTopic -c DefaultCluster -t Made",
];

fn ours(cluster: &Cluster, words: &[&str]) -> Vec<String> {
    let mut command = rocketmq();
    command.arg("admin").current_dir(cluster.folder());
    lines(command.args(words).args(["-n", &cluster.namesrv]))
}

fn javas(cluster: &Cluster, words: &[&str]) -> Vec<String> {
    let mut command = java(cluster.folder());
    command.arg("-Xmx256m").arg("-cp").arg(format!("{}/lib/*", peer("server-5.3.3").display()));
    command.arg("org.apache.rocketmq.tools.command.MQAdminStartup");
    lines(command.args(words).args(["-n", &cluster.namesrv]))
}

/// What a command printed, in the order of lines (Java's come in that of its hash maps), without what moves: times of
/// day, rates, ratios, and what its logging says of itself.
fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let moves = |word: &str| word.contains('.') && word.trim_end_matches(['.', ',']).parse::<f64>().is_ok();
    let still = |line: &str| -> String {
        let words = line.split(' ').map(|word| if moves(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    let said = |line: &&str| {
        !line.is_empty() && !line.contains(" |-") && !line.starts_with("runtime") && !line.contains(" runtime ")
    };
    let mut lines: Vec<String> = text.lines().filter(said).map(still).collect();
    lines.sort();
    lines
}

#[test]
fn the_admin_commands_print_what_javas_mqadmin_prints() {
    let cluster = Cluster::start("tools");
    let sent = send(&cluster, Client::Java("5.3.3"), &[("sync", "20")]);
    assert!(!sent.is_empty());
    let mut differences = Vec::new();
    for line in QUESTIONS.iter().chain(CHANGES) {
        let line = line.replace("TOPIC", TOPIC);
        let words: Vec<&str> = line.split(' ').collect();
        // Java's first, so that what a change makes is there for both.
        let (java, own) = (javas(&cluster, &words), ours(&cluster, &words));
        if java != own {
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                these.iter().filter(|line| !those.contains(line)).cloned().collect()
            };
            differences.push(format!(
                "{line}\n  only Java: {:#?}\n  only ours: {:#?}",
                only(&java, &own),
                only(&own, &java)
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
