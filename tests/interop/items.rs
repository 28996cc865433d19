//! `mqbroker -p` and `-m`, `mqnamesrv -p` beside Java 4.9.7's: the same items in the same order and form; values differ
//! only where ours are in force.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cluster::rocketmq;
use crate::peers::{Folder, java, peer};

/// The loggers of Java's distribution: its console logger writes to stdout in this form.
const LOGGING: &str = "<configuration><appender name=\"STDOUT\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
    <pattern>%d{yyyy-MM-dd HH:mm:ss} %p %t - %m%n</pattern></encoder></appender>\
    <logger name=\"RocketmqConsole\" additivity=\"false\"><level value=\"INFO\"/><appender-ref ref=\"STDOUT\"/></logger>\
    </configuration>\n";

/// Items whose value is another here, and why.
const OTHERS: &[(&str, &str)] = &[("brokerIP1", "the first usable address"), ("brokerIP2", "the same")];

fn javas(folder: &Path, class: &str, arguments: &[&str]) -> Vec<String> {
    let mut command = java(folder);
    command.env("ROCKETMQ_HOME", folder).env("TZ", "UTC").env_remove("NAMESRV_ADDR");
    command.arg("-cp").arg(format!("{}/lib/*", peer("server-4.9.7").display())).arg(class);
    lines(command.args(arguments))
}

fn ours(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = rocketmq();
    command.env("HOME", folder).env("ROCKETMQ_HOME", folder).env("TZ", "UTC").env_remove("NAMESRV_ADDR");
    lines(command.args(arguments).current_dir(folder))
}

/// The lines, each digit of the time a 9, and the values of `OTHERS` away.
fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let still = |line: &str| -> String {
        let (time, item) = line.split_once(" - ").unwrap_or(("", line));
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let value = if OTHERS.iter().any(|(other, _)| *other == name) { "#" } else { value };
        let time: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        format!("{time} - {name}={value}")
    };
    text.lines().map(still).collect()
}

#[test]
fn configuration_items_are_printed_as_java_4_9_7_prints_them() {
    let folder = Folder::new("items");
    let folder = folder.path();
    fs::create_dir_all(folder.join("conf")).expect("the folder is ours");
    for part in ["broker", "namesrv"] {
        fs::write(folder.join(format!("conf/logback_{part}.xml")), LOGGING).expect("the folder is ours");
    }
    let file = folder.join("broker.conf");
    fs::write(&file, "brokerName=items\nlistenPort=20911\nflushDiskType=SYNC_FLUSH\nfileReservedTime=48\n")
        .expect("ours");
    let file = file.display().to_string();
    const BROKER: &str = "org.apache.rocketmq.broker.BrokerStartup";
    for arguments in [&["-p"][..], &["-m"], &["-c", &file, "-n", "a:1;b:2", "-p"], &["-c", &file, "-m"]] {
        let java: Vec<String> =
            javas(folder, BROKER, arguments).into_iter().filter(|line| line.contains(" INFO main - ")).collect();
        let own = ours(folder, &[&["broker"], arguments].concat());
        assert!(!java.is_empty());
        assert_eq!(own, java, "{arguments:?}");
    }
    let java = javas(folder, "org.apache.rocketmq.namesrv.NamesrvStartup", &["-p"]);
    assert_eq!(ours(folder, &["namesrv", "-p"]), java);
}
