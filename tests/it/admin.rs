//! `rocketmq admin` and its other name, `mqadmin`, as a user types them, against `dev`.

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::harness::{Folder, Ports, Said, Server, run};

/// `dev` in a folder of its own.
pub struct Cluster {
    pub home: Folder,
    pub name_server: String,
    pub broker: String,
    pub server: Server,
}

impl Cluster {
    pub fn start(name: &str) -> Cluster {
        let home = Folder::new(name);
        let ports = Ports::free();
        let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
        let flags = ["dev", "--advertise", "127.0.0.1", "--namesrv-port", &namesrv, "--broker-port", &broker];
        let server = Server::start(home.path(), &flags);
        let (name_server, broker) = (format!("127.0.0.1:{namesrv}"), format!("127.0.0.1:{broker}"));
        Cluster { home, name_server, broker, server }
    }

    fn admin(&self, line: &str) -> Said {
        let words: Vec<&str> = line.split(' ').collect();
        run(self.home.path(), &[&["admin"], words.as_slice(), &["-n", &self.name_server]].concat())
    }

    /// Runs a command that has to work, and returns what it printed.
    fn ok(&self, line: &str) -> String {
        let said = self.admin(line);
        assert!(said.code == Some(0) && said.stderr.is_empty(), "{line}: {said:?}");
        said.stdout
    }

    /// The same as JSON.
    fn rows(&self, line: &str) -> Vec<Json> {
        let text = self.ok(&format!("{line} --output json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// Runs a command that has to fail with one line, and returns it.
    fn refused(&self, line: &str, code: i32) -> String {
        let said = self.admin(line);
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        assert_eq!(said.stderr.lines().count(), 1, "{line}: {said:?}");
        said.stderr
    }
}

#[test]
fn topics_messages_and_groups_are_made_found_and_removed() {
    let cluster = Cluster::start("admin-life");
    let made = cluster.ok("updateTopic -c DefaultCluster -t Orders -r 2 -w 2");
    assert!(made.starts_with(&format!("create topic to {} success.\nTopicConfig [topicName=Orders, ", cluster.broker)));
    assert!(cluster.ok("topicList").lines().any(|topic| topic == "Orders"));
    assert_eq!(cluster.ok("topicClusterList -t Orders"), "DefaultCluster\n");
    assert_eq!(cluster.rows("topicRoute -t Orders")[0]["queueDatas"][0]["writeQueueNums"], 2);

    let sent = cluster.rows("sendMessage -t Orders -p hello -k key-1 -c TagA -b broker-a -i 1");
    assert_eq!(sent[0]["sendResult"], "SEND_OK");
    let printed = cluster.ok("printMsgByQueue -t Orders -a broker-a -i 1 -p true -d true");
    let id = sent[0]["msgId"].as_str().unwrap_or_default();
    assert!(printed.starts_with(&format!("MSGID: {id} MessageExt [brokerName=broker-a, queueId=1, ")), "{printed}");
    assert!(printed.ends_with("transactionId='null'}] BODY: hello\n"), "{printed}");
    assert_eq!(cluster.rows("printMsg -t Orders -s TagB").len(), 0);
    assert_eq!(cluster.rows("printMsg -t Orders -s TagA")[0]["body"], "hello");
    let found = cluster.rows("queryMsgByOffset -t Orders -b broker-a -i 1 -o 0");
    assert_eq!((&found[0]["msgId"], &found[0]["properties"]["KEYS"]), (&sent[0]["msgId"], &"key-1".into()));
    let ends = cluster.rows("topicStatus -t Orders");
    assert_eq!((ends.len(), &ends[1]["maxOffset"]), (2, &1.into()));

    cluster.ok("updateSubGroup -c DefaultCluster -g Billing -r 3");
    cluster.ok("deleteSubGroup -c DefaultCluster -g Billing");
    cluster.ok("deleteTopic -c DefaultCluster -t Orders");
    assert!(cluster.refused("topicRoute -t Orders", 1).contains("17 TOPIC_NOT_EXIST"));
    cluster.server.stop();
}

#[test]
fn what_is_typed_wrong_is_one_line_and_changes_nothing() {
    let cluster = Cluster::start("admin-wrong");
    let cases = [
        ("topicLst", 2, "did you mean topicList?"),
        ("topicRoute", 2, "missing -t (topic)"),
        ("topicRoute -t", 2, "-t needs a value"),
        ("updateTopic -t T", 2, "one of --brokerAddr, --clusterName is needed"),
        ("updateTopic -t T -c DefaultCluster -p 9", 2, "2 (write), 4 (read) or 6 (both)"),
        ("updateTopic -t T -c DefaultCluster -r -1", 2, "at least one queue"),
        ("updateTopic -t T -c DefaultCluster -r many", 2, "--readQueueNums many: a whole number"),
        ("updateTopic -t T -c nowhere", 1, "no cluster nowhere at this name server; known are: DefaultCluster"),
        ("updateTopic -t T -b nobody", 1, "no broker named nobody has a master; known are: broker-a"),
        ("updateOrderConf -t T -m put -v broker-a", 2, "is not BROKER:QUEUES"),
        ("topicStatus -t T --output yaml", 2, "text or json is needed"),
        ("queryMsgById -t T -i nonsense", 2, "not an offset message id"),
        ("consumerProgress -g nobody", 1, "no broker knows group nobody"),
        ("printMsg -t TBW102 -b yesterday", 2, "yyyy-MM-dd#HH:mm:ss:SSS"),
    ];
    let topics = cluster.ok("topicList");
    for (line, code, told) in cases {
        let stderr = cluster.refused(line, code);
        assert!(stderr.contains(told), "{line}: {stderr}");
    }
    assert_eq!(cluster.ok("topicList"), topics);
    cluster.server.stop();
}

#[test]
fn mqadmin_is_the_same_program_and_the_environment_names_the_name_server() {
    let cluster = Cluster::start("admin-name");
    let tool = cluster.home.join("mqadmin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rocketmq"), &tool).expect("a link");
    let mut command = Command::new(Path::new(&tool));
    command.args(["clusterList"]).env("NAMESRV_ADDR", &cluster.name_server).current_dir(cluster.home.path());
    let said = command.output().expect("it runs");
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let table = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(table.starts_with("#Cluster Name ") && table.contains(&cluster.broker), "{table}");
    let without = Command::new(Path::new(&tool)).args(["topicList"]).env_remove("NAMESRV_ADDR").output();
    let told = without.map(|said| String::from_utf8_lossy(&said.stderr).into_owned()).unwrap_or_default();
    assert!(told.contains("give -n HOST:PORT, or set NAMESRV_ADDR"), "{told}");
    cluster.server.stop();
}

#[test]
fn a_command_starts_within_twenty_milliseconds() {
    let home = Folder::new("quick");
    // A busy machine makes some starts slow; it makes none fast.
    let took = || {
        let began = std::time::Instant::now();
        assert_eq!(run(home.path(), &["admin", "help"]).code, Some(0));
        began.elapsed()
    };
    let mut times = (0..100).map(|_| took());
    assert!(times.any(|time| time < std::time::Duration::from_millis(20)), "a hundred starts took longer");
}

#[test]
fn help_lists_every_command_and_every_flag() {
    let home = Folder::new("admin-help");
    let all = run(home.path(), &["admin", "help"]);
    for command in rocketmq::admin::COMMANDS {
        assert!(all.stdout.contains(&format!("   {} ", command.name)), "{}", command.name);
        let said = run(home.path(), &["admin", "help", command.name]);
        assert!(said.code == Some(0) && said.stdout.starts_with(&format!("usage: {}", command.name)), "{said:?}");
        for flag in command.flags {
            assert!(said.stdout.contains(&format!("--{}", flag.long)), "{} --{}", command.name, flag.long);
        }
        assert_eq!(run(home.path(), &["admin", command.name, "-h"]).stdout, said.stdout);
    }
}
