//! The tutorials' quickstart, `org.apache.rocketmq.example.quickstart` 4.7.0, unchanged.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::peers::{PATIENCE, Process, java, peer};

fn example(cluster: &Cluster, class: &str) -> Process {
    let mut command = java(cluster.folder());
    command.arg("-Xmx256m").env("NAMESRV_ADDR", &cluster.namesrv);
    command
        .arg("-cp")
        .arg(format!("{}/lib/*", peer("example-4.7.0").display()))
        .arg(format!("org.apache.rocketmq.example.quickstart.{class}"));
    Process::start(class, &mut command, cluster.folder())
}

/// The values after `name=` in what a process printed.
fn values(output: &str, name: &str) -> Vec<String> {
    output
        .split(name)
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn the_quickstart_sends_1000_messages_and_receives_the_same_1000_ids() {
    let cluster = Cluster::start("quickstart");
    let mut producer = example(&cluster, "Producer");
    assert_eq!(producer.wait(PATIENCE), 0);
    let output = producer.output();
    let statuses = values(&output, "sendStatus=");
    assert_eq!(statuses.len(), 1000);
    assert!(statuses.iter().all(|status| status == "SEND_OK"), "{statuses:?}");
    // The producer prints the id it gave and the id of the place; the consumer's text shows the place as msgId, and the
    // id among the properties.
    let ids = distinct(values(&output, ", msgId="));
    let places = distinct(values(&output, "offsetMsgId="));
    assert_eq!((ids.len(), places.len()), (1000, 1000), "each id once");

    let consumer = example(&cluster, "Consumer");
    let deadline = Instant::now() + PATIENCE;
    while lines(&consumer.output()) < 1000 {
        assert!(Instant::now() < deadline, "{} of 1000 received", lines(&consumer.output()));
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = consumer.output();
    assert_eq!(values(&output, "UNIQ_KEY=").len(), 1000, "nothing twice");
    assert!(distinct(values(&output, "UNIQ_KEY=")) == ids, "the ids received are the ids sent");
    assert!(distinct(values(&output, ", msgId=")) == places, "the places received are the places answered");
}

fn distinct(values: Vec<String>) -> BTreeSet<String> {
    values.into_iter().collect()
}

/// Whole lines that tell of a received message.
fn lines(output: &str) -> usize {
    output.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains("Receive New Messages")).count()
}
