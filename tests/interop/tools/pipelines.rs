//! What people's scripts do with `mqadmin`: cut its lines to pieces. The same words with ours under that name and with
//! Java's; and the numbers that Java's tools show of our broker.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Scene, Tool};
use crate::clients::{GROUP, TOPIC, consume_at, keys, messages, send, send_at};
use crate::cluster::Cluster;
use crate::peers::{Client, PATIENCE, java_home, peer};
use crate::tools::table;

/// A folder with nothing but an `mqadmin`.
fn folder_of_tool(cluster: &Cluster, version: Option<&str>) -> PathBuf {
    let folder = cluster.folder().join(format!("bin-{}", version.unwrap_or("ours")));
    let tool = folder.join("mqadmin");
    if tool.exists() {
        return folder;
    }
    std::fs::create_dir_all(&folder).expect("a folder for a tool");
    match version {
        None => std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rocketmq"), &tool).expect("a link"),
        Some(version) => {
            let home = java_home(version, &cluster.folder().join(format!("script-{version}")));
            let script = format!(
                "#!/bin/sh\nexport ROCKETMQ_HOME={home}\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m \
                 --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED \
                 --add-opens=java.base/sun.nio.ch=ALL-UNNAMED -Duser.home={home} -cp '{lib}/lib/*' \
                 org.apache.rocketmq.tools.command.MQAdminStartup \"$@\" 2>/dev/null\n",
                home = home.display(),
                lib = peer(&format!("server-{version}")).display(),
            );
            std::fs::write(&tool, script).expect("a script");
            std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        }
    }
    folder
}

fn shell(folder: &Path, line: &str) -> Vec<String> {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash").args(["-o", "pipefail", "-c", line]).env("PATH", path).output().expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn pipelines_around_mqadmin_give_the_same_with_ours_and_with_javas() {
    let cluster = Cluster::start("pipelines");
    for (topic, count) in [("TopicTest", "3"), ("OtherTopic", "2")] {
        send_at(&cluster.namesrv, cluster.folder(), Client::Java("5.3.3"), topic, &[("sync", count)]);
    }
    // Everything fails, and nothing comes back more than no times.
    let asked = [("topic", "TopicTest,OtherTopic"), ("fail", "1000"), ("max_reconsume", "0")];
    let mut failing = consume_at(&cluster.namesrv, cluster.folder(), Client::Java("5.3.3"), "push", &asked);
    failing.until("every message", |heard| messages(heard).len() >= 5);
    let dead = format!("%DLQ%{GROUP}");
    let folder = folder_of_tool(&cluster, None);
    let deadline = Instant::now() + PATIENCE;
    let print = format!("mqadmin printMsg -n {} -t {dead}", cluster.namesrv);
    while shell(&folder, &format!("{print} 2>/dev/null | grep -c MSGID: || true")) != ["5"] {
        assert!(Instant::now() < deadline, "no five dead letters");
        std::thread::sleep(Duration::from_millis(50));
    }
    // One that is stopped earlier gives its messages back in another way, and twice.
    failing.finish();
    let expected: [(String, &[&str]); 4] = [
        (format!("mqadmin topicList -n {} | grep DLQ", cluster.namesrv), &["%DLQ%interop_group"]),
        (format!("{print} | grep MSGID: | wc -l"), &["5"]),
        (
            format!(
                r#"{print} | grep -P "RETRY_TOPIC=(.+?)\," -o | awk '{{count[$1]++}} END {{for (topic in count) print topic, count[topic]}}'"#
            ),
            &["RETRY_TOPIC=OtherTopic, 2", "RETRY_TOPIC=TopicTest, 3"],
        ),
        (
            format!(r#"{print} | grep "RETRY_TOPIC=TopicTest" | grep -P -o "BODY:(.*$)""#),
            &["BODY: sync-0 消息 ✓", "BODY: sync-1 消息 ✓", "BODY: sync-2 消息 ✓"],
        ),
    ];
    for version in [None, Some("5.3.3"), Some("4.9.7")] {
        let folder = folder_of_tool(&cluster, version);
        for (line, lines) in &expected {
            assert_eq!(shell(&folder, line), *lines, "{version:?}: {line}");
        }
    }
}

/// The numbers of the first line that begins with a text, whatever stands between them.
fn numbers(text: &[String], beginning: &str) -> Vec<i64> {
    let line = text.iter().find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("no line begins with {beginning} in {text:#?}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn javas_tools_show_the_numbers_of_what_was_sent_and_received() {
    let mut scene = Scene::new(Cluster::start("numbers"));
    let ask = |scene: &Scene, tool: &mut Tool, line: &'static str| scene.ask(tool, "A", &table::row(line));
    let tools = scene.tools();
    // The broker looks at all its queues once a second at the most: its figures may be so old.
    let shows = |scene: &Scene, tool: &mut Tool, line: &'static str, beginning: &str, wanted: &[i64]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = ask(scene, tool, line);
            if numbers(&told, beginning) == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{line} does not come to {wanted:?}: {told:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let check = |scene: &Scene, tool: &mut Tool, sent: i64, received: i64| {
        // Lag, and what came in and went out in a day.
        shows(scene, tool, "statsAll -t {T}", TOPIC, &[sent - received, sent, received]);
        // The scene has one message more, which was sent and looked at once.
        let (all_sent, all_received) = (sent + 1, received + 1);
        shows(scene, tool, "clusterList -m", "DefaultCluster", &[0, 0, all_sent, all_received]);
        let figures = ask(scene, tool, "brokerStatus -b {B}");
        for (name, expected) in [
            ("msgPutTotalTodayNow", all_sent),
            ("msgGetTotalTodayNow", all_received),
            ("msgPutTotalTodayMorning", 0),
            ("msgGetTotalYesterdayMorning", 0),
            ("putMessageTimesTotal", all_sent),
            ("putMessageFailedTimes", 0),
        ] {
            assert_eq!(numbers(&figures, name), [expected], "{name}: {figures:#?}");
        }
        let size = numbers(&figures, "putMessageSizeTotal")[0];
        assert!((sent * 100..sent * 1000).contains(&size), "{size} bytes for {sent} messages");
        let groups = ask(scene, tool, "brokerConsumeStats -b {B}");
        assert_eq!(numbers(&groups, "Diff Total:"), [sent - received], "{groups:#?}");
        let of_topic: Vec<Vec<i64>> = groups
            .iter()
            .filter(|line| line.starts_with(&format!("{TOPIC} ")))
            .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
            .collect();
        let sum = |column: usize| of_topic.iter().map(|row| row[column]).sum::<i64>();
        // Queue, the broker's end, the group's place, what is in between.
        assert_eq!((of_topic.len(), sum(1), sum(2), sum(3)), (4, sent, received, sent - received), "{groups:#?}");
    };
    let mut tools = tools;
    for tool in &mut tools {
        check(&scene, tool, 24, 24);
    }
    scene.leave();
    let more = send(&scene.cluster, Client::Java("5.3.3"), &[("selector", "8")]);
    assert_eq!(keys(&more).len(), 8);
    for tool in &mut tools {
        check(&scene, tool, 32, 24);
    }
}
