//! `rocketmq config lint`: what is wrong between the files of one cluster, which no process can see by itself. Takes
//! Java's files and ours, slaves included, whatever is built here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::config_command::is_toml;
use super::keys::nearest;
use super::layers;
use super::properties;
use super::settings::Role;
use super::{broker_conf, namesrv_conf};
use crate::namesrv;

/// One process of the cluster, by Java's keys.
#[derive(Clone, Debug, Default)]
struct Member {
    file: String,
    is_broker: bool,
    values: BTreeMap<String, String>,
}

/// Looks at all files of a folder. `Ok` says what was looked at, `Err` what was found.
pub fn folder(folder: &Path) -> Result<Vec<String>, Vec<String>> {
    let mut members = Vec::new();
    let mut findings = Vec::new();
    for file in files(folder)? {
        read(&file, &mut members, &mut findings);
    }
    if members.is_empty() && findings.is_empty() {
        findings.push(format!("{}: no file ends with .toml, .properties or .conf", folder.display()));
    }
    findings.extend(compare(&members));
    if findings.is_empty() {
        let brokers = members.iter().filter(|member| member.is_broker).count();
        let name_servers = members.len() - brokers;
        return Ok(vec![format!(
            "{}: {name_servers} name servers and {brokers} brokers fit together",
            folder.display()
        )]);
    }
    Err(findings)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| vec![format!("{}: {error}", folder.display())])?;
    let is_config = |path: &PathBuf| {
        path.extension().is_some_and(|kind| ["toml", "properties", "conf"].iter().any(|known| kind == *known))
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_config).collect();
    files.sort();
    Ok(files)
}

fn read(file: &Path, members: &mut Vec<Member>, findings: &mut Vec<String>) {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return findings.push(format!("{name}: {error}")),
    };
    if !is_toml(file) {
        return match properties::parse(&bytes) {
            Ok(entries) => {
                let values: BTreeMap<_, _> =
                    entries.into_iter().map(|entry| (entry.key, entry.value.trim().to_owned())).collect();
                for key in values.keys().filter(|key| !is_known(key)) {
                    let names = broker_conf::TABLE.names().chain(namesrv::config::TABLE.names());
                    let near = nearest(key, names).map_or_else(String::new, |name| format!("; did you mean {name}?"));
                    findings.push(format!("{name}: {key} is no key of Java's{near}"));
                }
                members.push(Member { is_broker: is_broker(&name, &values), file: name, values });
            }
            Err(bad) => findings.push(format!("{name}: {bad}")),
        };
    }
    let text = String::from_utf8_lossy(&bytes);
    match layers::load(&name, &text, std::iter::empty(), Some(Path::new("~"))) {
        Ok(layers) => {
            for role in layers.roles.iter().filter(|role| **role != Role::Log) {
                let given = layers.given.iter().filter(|given| given.setting.role() == *role);
                let values = given
                    .flat_map(|given| given.setting.keys().map(str::to_owned).zip(given.values.iter().cloned()))
                    .collect();
                members.push(Member { file: name.clone(), is_broker: *role == Role::Broker, values });
            }
        }
        Err(problems) => findings.extend(problems),
    }
}

fn is_known(key: &str) -> bool {
    broker_conf::TABLE.names().any(|name| name == key) || namesrv::config::TABLE.names().any(|name| name == key)
}

/// A file of a name server names nothing that only brokers have.
fn is_broker(file: &str, values: &BTreeMap<String, String>) -> bool {
    let only_broker = |key: &String| {
        broker_conf::TABLE.names().any(|name| name == key)
            && !namesrv::config::TABLE.names().chain(namesrv_conf::TABLE.names()).any(|name| name == key)
    };
    values.keys().any(only_broker) || !(file.contains("namesrv") || file.contains("name-server"))
}

impl Member {
    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn name(&self) -> &str {
        self.get("brokerName").unwrap_or("(the machine's name)")
    }

    fn cluster(&self) -> &str {
        self.get("brokerClusterName").unwrap_or("DefaultCluster")
    }

    fn id(&self) -> &str {
        self.get("brokerId").unwrap_or("0")
    }

    fn role(&self) -> &str {
        self.get("brokerRole").unwrap_or("ASYNC_MASTER")
    }

    fn is_slave(&self) -> bool {
        self.role() == "SLAVE" || self.id() != "0"
    }

    fn port(&self) -> Option<u16> {
        let default = if self.is_broker { "10911" } else { "9876" };
        self.get("listenPort").unwrap_or(default).parse().ok()
    }

    /// Every port that it opens, with what it is for.
    fn ports(&self) -> Vec<(u16, &'static str)> {
        let Some(port) = self.port() else { return Vec::new() };
        if !self.is_broker {
            return vec![(port, "its port")];
        }
        let ha = self.get("haListenPort").and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let ha = ha.unwrap_or(port.saturating_add(1));
        vec![
            (port, "its port"),
            (port.saturating_sub(2), "its VIP port (listenPort - 2)"),
            (ha, "its HA port (listenPort + 1)"),
        ]
    }

    fn store(&self) -> String {
        self.get("storePathRootDir").unwrap_or("~/store").trim_end_matches('/').to_owned()
    }

    fn log(&self) -> String {
        self.get("storePathCommitLog")
            .map_or_else(|| self.store() + "/commitlog", |path| path.trim_end_matches('/').to_owned())
    }

    fn host(&self) -> Option<&str> {
        self.get("brokerIP1").or(self.get("bindAddress").filter(|address| *address != "0.0.0.0"))
    }

    fn name_servers(&self) -> BTreeSet<&str> {
        self.get("namesrvAddr").unwrap_or("").split(';').map(str::trim).filter(|part| !part.is_empty()).collect()
    }
}

fn compare(members: &[Member]) -> Vec<String> {
    let mut findings = Vec::new();
    members.iter().for_each(|member| alone(member, &mut findings));
    let one_machine = members.iter().any(|member| member.is_broker && member.get("listenPort").is_some());
    for (index, one) in members.iter().enumerate() {
        for other in &members[index + 1..] {
            if one.is_broker && other.is_broker {
                identities(one, other, &mut findings);
            }
            let same_machine = match (one.host(), other.host()) {
                (Some(one), Some(other)) => one == other,
                _ => one_machine,
            };
            if same_machine {
                places(one, other, &mut findings);
            }
        }
    }
    let brokers: Vec<&Member> = members.iter().filter(|member| member.is_broker).collect();
    pairs(&brokers, &mut findings);
    name_servers(members, &brokers, &mut findings);
    findings
}

/// What a file says against itself.
fn alone(member: &Member, findings: &mut Vec<String>) {
    let file = &member.file;
    for key in ["listenPort", "haListenPort", "fastListenPort"] {
        let bad = member.get(key).filter(|text| !text.parse::<u16>().is_ok_and(|port| port > 0));
        if let Some(text) = bad {
            findings.push(format!("{file}: {key}={text} is no port; a port is a number from 1 to 65535"));
        }
    }
    if !member.is_broker {
        return;
    }
    match (member.role(), member.id()) {
        ("SLAVE", "0") => findings.push(format!("{file}: brokerRole=SLAVE with brokerId=0, which is a master's id")),
        ("SLAVE", _) => {}
        (role, id) if id != "0" => {
            findings.push(format!("{file}: brokerId={id}, which is a slave's id, with brokerRole={role}"));
        }
        _ => {}
    }
    for address in member.name_servers() {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            findings.push(format!("{file}: namesrvAddr has {address}, which is not HOST:PORT"));
        }
    }
}

fn identities(one: &Member, other: &Member, findings: &mut Vec<String>) {
    if (one.cluster(), one.name(), one.id()) == (other.cluster(), other.name(), other.id()) {
        findings.push(format!(
            "{} and {}: both are {} with id {} in {}; they would take each other's place at the name servers",
            one.file,
            other.file,
            one.name(),
            one.id(),
            one.cluster()
        ));
    }
    if one.name() == other.name() && one.cluster() != other.cluster() {
        findings.push(format!(
            "{} and {}: {} is in cluster {} here and in {} there",
            one.file,
            other.file,
            one.name(),
            one.cluster(),
            other.cluster()
        ));
    }
}

/// Ports and folders of two processes on one machine.
fn places(one: &Member, other: &Member, findings: &mut Vec<String>) {
    for (port, what) in one.ports() {
        for (_, other_what) in other.ports().iter().filter(|(other, _)| *other == port) {
            findings
                .push(format!("{} and {}: port {port} is {what} here and {other_what} there", one.file, other.file));
        }
    }
    if !one.is_broker || !other.is_broker {
        return;
    }
    if one.store() == other.store() {
        findings.push(format!("{} and {}: both keep their store in {}", one.file, other.file, one.store()));
    } else if one.log() == other.log() {
        findings.push(format!("{} and {}: both keep their commit log in {}", one.file, other.file, one.log()));
    }
}

/// Masters and their slaves.
fn pairs(brokers: &[&Member], findings: &mut Vec<String>) {
    let masters: Vec<_> = brokers.iter().filter(|member| !member.is_slave()).collect();
    let slaves_of = |name: &str| brokers.iter().filter(|member| member.is_slave() && member.name() == name).count();
    for slave in brokers.iter().filter(|member| member.is_slave()) {
        if !masters.iter().any(|master| master.name() == slave.name()) {
            findings.push(format!("{}: a slave of {}, which is no master of this folder", slave.file, slave.name()));
        }
    }
    let most = masters.iter().max_by_key(|master| slaves_of(master.name()));
    for master in masters.iter().filter(|master| slaves_of(master.name()) == 0) {
        if let Some(most) = most.filter(|most| slaves_of(most.name()) >= 2) {
            let (count, name) = (slaves_of(most.name()), most.name());
            findings.push(format!(
                "{}: {} has no slave and {name} has {count}; is one of them under the wrong master's name?",
                master.file,
                master.name()
            ));
        }
        if master.role() == "SYNC_MASTER" {
            findings.push(format!(
                "{}: SYNC_MASTER without a slave: every send is answered SLAVE_NOT_AVAILABLE",
                master.file
            ));
        }
    }
}

fn name_servers(members: &[Member], brokers: &[&Member], findings: &mut Vec<String>) {
    let mut lists: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for broker in brokers {
        lists.entry(broker.name_servers()).or_default().push(&broker.file);
    }
    if let Some((usual, _)) = lists.iter().max_by_key(|(_, files)| files.len()) {
        for (list, files) in lists.iter().filter(|(list, _)| *list != usual) {
            let list = if list.is_empty() { "no name server".to_owned() } else { joined(list) };
            findings.push(format!("{}: registers at {list}, the others at {}", files.join(", "), joined(usual)));
        }
    }
    let ports: BTreeSet<u16> = members.iter().filter(|member| !member.is_broker).filter_map(Member::port).collect();
    let known: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let asked: BTreeSet<&str> = brokers.iter().flat_map(|broker| broker.name_servers()).collect();
    for address in asked.iter().filter(|_| !known.is_empty()) {
        let Some((_, port)) = address.rsplit_once(':') else { continue };
        if !known.iter().any(|known| known == port) {
            findings.push(format!(
                "namesrvAddr has {address}, but the name servers of this folder listen on {}: a mistyped port?",
                known.join(", ")
            ));
        }
    }
}

fn joined(list: &BTreeSet<&str>) -> String {
    list.iter().copied().collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two name servers, two masters, two slaves on one machine, without a mistake.
    fn cluster() -> Vec<(&'static str, String)> {
        let namesrv = |port: u16| format!("listenPort={port}\n");
        let broker = |name: &str, id: u8, role: &str, port: u16| {
            format!(
                "brokerClusterName=C\nbrokerName={name}\nbrokerId={id}\nbrokerRole={role}\nlistenPort={port}\n\
                 storePathRootDir=/data/{port}\nnamesrvAddr=127.0.0.1:9876;127.0.0.1:9877\n"
            )
        };
        vec![
            ("namesrv-1.properties", namesrv(9876)),
            ("namesrv-2.properties", namesrv(9877)),
            ("broker-a.properties", broker("broker-a", 0, "SYNC_MASTER", 10911)),
            ("broker-a-s.properties", broker("broker-a", 1, "SLAVE", 11911)),
            ("broker-b.properties", broker("broker-b", 0, "SYNC_MASTER", 12911)),
            ("broker-b-s.properties", broker("broker-b", 1, "SLAVE", 13911)),
        ]
    }

    fn lint(files: &[(&str, String)]) -> Vec<String> {
        let mut members = Vec::new();
        for (name, text) in files {
            let entries = properties::parse(text.as_bytes()).expect("well formed");
            let values: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
            members.push(Member { file: (*name).to_owned(), is_broker: is_broker(name, &values), values });
        }
        compare(&members)
    }

    fn with(file: &str, from: &str, to: &str) -> Vec<String> {
        let mut files = cluster();
        for (name, text) in &mut files {
            if *name == file {
                assert!(text.contains(from), "{from}");
                *text = text.replace(from, to);
            }
        }
        lint(&files)
    }

    #[test]
    fn a_cluster_without_a_mistake_has_no_finding() {
        assert_eq!(lint(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_is_found_and_named() {
        let a_s = "broker-a-s.properties";
        let b_s = "broker-b-s.properties";
        for (file, from, to, expected) in [
            ("broker-b.properties", "brokerName=broker-b", "brokerName=broker-a", "both are broker-a with id 0 in C"),
            (b_s, "brokerName=broker-b", "brokerName=broker-a", "is one of them under the wrong master's name?"),
            (
                b_s,
                "brokerName=broker-b",
                "brokerName=broker-c",
                "a slave of broker-c, which is no master of this folder",
            ),
            (a_s, "listenPort=11911", "listenPort=10911", "port 10911 is its port here and its port there"),
            (a_s, "listenPort=11911", "listenPort=10912", "port 10912 is its HA port"),
            (a_s, "listenPort=11911", "listenPort=10909", "port 10909 is its VIP port"),
            (a_s, "listenPort=11911", "listenPort=9878", "port 9876 is its port here and its VIP port"),
            (
                a_s,
                "storePathRootDir=/data/11911",
                "storePathRootDir=/data/10911/",
                "both keep their store in /data/10911",
            ),
            (a_s, "brokerRole=SLAVE", "brokerRole=ASYNC_MASTER", "brokerId=1, which is a slave's id, with brokerRole"),
            (a_s, "brokerId=1", "brokerId=0", "brokerRole=SLAVE with brokerId=0, which is a master's id"),
            (a_s, ";127.0.0.1:9877", "", "registers at 127.0.0.1:9876, the others at"),
            (a_s, "127.0.0.1:9877", "127.0.0.1:9867", "127.0.0.1:9867, but the name servers of this folder listen on"),
            (a_s, "listenPort=11911", "listenPort=119111", "listenPort=119111 is no port"),
            (a_s, "namesrvAddr=127.0.0.1:9876", "namesrvAddr=127.0.0.1:987x", "127.0.0.1:987x, which is not HOST:PORT"),
            (a_s, "brokerClusterName=C", "brokerClusterName=D", "broker-a is in cluster C here and in D there"),
        ] {
            let findings = with(file, from, to);
            assert!(findings.iter().any(|finding| finding.contains(expected)), "{file}: {to}: {findings:#?}");
        }
        let alone: Vec<_> = cluster().into_iter().filter(|(name, _)| *name != b_s).collect();
        assert!(
            lint(&alone).iter().any(|finding| finding.contains("SYNC_MASTER without a slave")),
            "{:?}",
            lint(&alone)
        );
    }
}
