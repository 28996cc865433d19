//! Settings that Java's own mqadmin changes at a broker of ours: told back to it, kept over a kill, shown with who, when and
//! what was before, and folded into one file.

use std::process::Command;

use super::Machine;
use crate::cluster::{our_broker, our_namesrv, rocketmq};
use crate::peers::{Folder, wait_for_route};

/// Version, key, new value, value before, and what `config fold` makes of it.
const CHANGES: [(&str, &str, &str, &str, &str); 2] = [
    ("4.9.7", "maxMessageSize", "65536", "4194304", "max_message_size = \"64KiB\""),
    ("5.3.3", "flushIntervalCommitLog", "250", "500", "log_interval = \"250ms\""),
];

/// The value that the tool's getBrokerConfig prints of a key.
fn told(machine: &mut Machine, broker: &str, key: &str) -> Option<String> {
    let said = machine.ask(&["getBrokerConfig", "-b", broker].map(str::to_owned), 0);
    let line = said.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| name.trim() == key);
    line.map(|(_, value)| value.trim().to_owned())
}

fn config(folder: &Folder, words: &[&str]) -> String {
    let mut command: Command = rocketmq();
    command.arg("config").args(words).args(["--data", "store"]).current_dir(folder.path());
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_javas_mqadmin_changes_is_kept_over_a_kill_shown_with_its_origin_and_folded() {
    let folder = Folder::new("overlay");
    let (_namesrv, namesrv) = our_namesrv(&folder);
    let store = folder.path().join("store");
    let start = || our_broker(&folder, &namesrv.to_string(), &store, &[]);
    let (mut broker, address) = start();
    wait_for_route(namesrv, "TBW102", &["broker-a"]);
    let file = folder.path().join("our-broker-a.conf");
    let before = std::fs::read(&file).expect("the broker's file");
    let mut machines = CHANGES.map(|(version, ..)| Machine::start(version, folder.path()));
    for (machine, (version, key, value, was, _)) in machines.iter_mut().zip(CHANGES) {
        let broker = address.to_string();
        assert_eq!(told(machine, &broker, key).as_deref(), Some(was), "{version} before the change");
        let words = ["updateBrokerConfig", "-b", &broker, "-k", key, "-v", value].map(str::to_owned);
        let said = machine.ask(&words, 0);
        assert!(said.contains(&format!("update broker config success, {broker}")), "{version}: {said}");
        assert_eq!(told(machine, &broker, key).as_deref(), Some(value), "{version} after the change");
    }
    broker.kill();
    let shown = config(&folder, &["show", "our-broker-a.conf"]);
    let folded = config(&folder, &["fold", "-c", "our-broker-a.conf"]);
    for (version, key, value, was, in_toml) in CHANGES {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} = {value}  # "))).unwrap_or_else(|| {
            panic!("{version}: {key} in {shown}");
        });
        let origin = line.split_once("overlay.properties: changed by 127.0.0.1:").map(|(_, origin)| origin);
        let (port, rest) = origin.and_then(|origin| origin.split_once(" on ")).unwrap_or_else(|| panic!("{line}"));
        assert!(port.parse::<u16>().is_ok(), "who: {line}");
        assert!(rest.starts_with("20") && rest.ends_with(&format!(" UTC, was {was}")), "when and what was: {line}");
        assert!(folded.contains(&format!("\n{in_toml}  # {key}={value}, changed while it ran\n")), "{folded}");
    }
    let (_broker, address) = start();
    for (machine, (version, key, value, ..)) in machines.iter_mut().zip(CHANGES) {
        assert_eq!(told(machine, &address.to_string(), key).as_deref(), Some(value), "{version} after the restart");
    }
    assert_eq!(std::fs::read(&file).expect("the broker's file"), before, "the operator's file is never touched");
}
