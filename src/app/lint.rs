//! `rocketmq config lint`: what is wrong between the files of one cluster, which no process can see by itself. Takes
//! Java's files and ours, slaves included, whatever is built here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::file::{self, is_toml, plain};
use super::keys::nearest;
use super::layers::{self, Layers};
use super::monitor_conf::{self, Place};
use super::settings::{Role, Setting};
use super::{broker_conf, namesrv_conf};
use crate::namesrv;

/// Name under which a file's port for metrics is kept; no key of Java's.
const METRICS_PORT: &str = "(metrics port)";

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
    let fail = |error| {
        let (folder, error) = (folder.display(), plain(&error));
        vec![format!("cannot read the folder {folder}: {error}; give the folder with the files of one cluster")]
    };
    let entries = fs::read_dir(folder).map_err(fail)?;
    let is_config = |path: &PathBuf| {
        path.extension().is_some_and(|kind| ["toml", "properties", "conf"].iter().any(|known| kind == *known))
    };
    let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files.map_err(fail)?;
    files.retain(is_config);
    files.sort();
    Ok(files)
}

fn read(file: &Path, members: &mut Vec<Member>, findings: &mut Vec<String>) {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_toml(file) {
        return match file::entries(file) {
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
            Err(problem) => findings.push(problem),
        };
    }
    let text = match file::text(file) {
        Ok(text) => text,
        Err(problem) => return findings.push(problem),
    };
    match layers::parse(&name, &text, std::iter::empty(), Some(Path::new("~"))) {
        Ok(layers) => {
            // A cluster has slaves, whatever is built here.
            let of_slave =
                |problem: &String| [": broker.id = ", ": broker.role = "].iter().any(|part| problem.contains(part));
            findings.extend(layers.problems().into_iter().filter(|problem| !of_slave(problem)));
            for role in layers.roles.iter().filter(|role| role.starts()) {
                let given = layers.given.iter().filter(|given| given.setting.role() == *role);
                let mut values: BTreeMap<_, _> = given
                    .flat_map(|given| given.setting.keys().map(str::to_owned).zip(given.values.iter().cloned()))
                    .collect();
                // One process has one port for metrics, however many roles.
                if layers.roles.iter().rfind(|role| role.starts()) == Some(role) {
                    values.extend(metrics_port(&layers).map(|port| (METRICS_PORT.to_owned(), port.to_string())));
                }
                members.push(Member { file: name.clone(), is_broker: *role == Role::Broker, values });
            }
        }
        Err(problems) => findings.extend(problems),
    }
}

fn is_known(key: &str) -> bool {
    broker_conf::TABLE.names().any(|name| name == key) || namesrv::config::TABLE.names().any(|name| name == key)
}

/// Where a file's process serves its metrics.
fn metrics_port(layers: &Layers) -> Option<u16> {
    let given = Setting::find("metrics.listen").and_then(|setting| layers.effective(setting));
    let place = given.and_then(|given| given.values.first()?.parse().ok()).unwrap_or(Place::Default);
    let is_broker = layers.roles.contains(&Role::Broker);
    let default = if is_broker { monitor_conf::BROKER_PORT } else { monitor_conf::NAMESRV_PORT };
    place.address(default).map(|address| address.port())
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
        let metrics = self.get(METRICS_PORT).and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let mut ports: Vec<_> = metrics.map(|port| (port, "its metrics port ([metrics] listen)")).into_iter().collect();
        ports.push((port, "its port"));
        if !self.is_broker {
            return ports;
        }
        let ha = self.get("haListenPort").and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let ha = ha.unwrap_or(port.saturating_add(1));
        if self.get("vipChannel") != Some("false") {
            ports.push((port.saturating_sub(2), "its VIP port (listenPort - 2)"));
        }
        ports.push((ha, "its HA port (listenPort + 1)"));
        ports
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

    /// A process of the local cluster, to be written in either form.
    #[derive(Clone)]
    struct Process {
        file: &'static str,
        cluster: &'static str,
        name: &'static str,
        id: u8,
        role: &'static str,
        port: &'static str,
        store: &'static str,
        servers: &'static [&'static str],
        /// In TOML only.
        metrics: usize,
    }

    const SERVERS: &[&str] = &["127.0.0.1:9876", "127.0.0.1:9877"];

    /// Two name servers, two masters, two slaves on one machine, without a mistake.
    fn cluster() -> Vec<Process> {
        let namesrv = |file, port| Process {
            file,
            cluster: "",
            name: "",
            id: 0,
            role: "",
            port,
            store: "",
            servers: &[],
            metrics: 0,
        };
        let broker = |file, name, id, role, port, store| Process {
            file,
            cluster: "C",
            name,
            id,
            role,
            port,
            store,
            servers: SERVERS,
            metrics: 0,
        };
        let mut cluster = vec![
            namesrv("namesrv-1", "9876"),
            namesrv("namesrv-2", "9877"),
            broker("broker-a", "broker-a", 0, "SYNC_MASTER", "10911", "/data/a"),
            broker("broker-a-s", "broker-a", 1, "SLAVE", "11911", "/data/a-s"),
            broker("broker-b", "broker-b", 0, "SYNC_MASTER", "12911", "/data/b"),
            broker("broker-b-s", "broker-b", 1, "SLAVE", "13911", "/data/b-s"),
        ];
        cluster.iter_mut().enumerate().for_each(|(index, process)| process.metrics = 5560 + index);
        cluster
    }

    impl Process {
        fn properties(&self) -> String {
            let Process { cluster, name, id, role, port, store, servers, .. } = self;
            if name.is_empty() {
                return format!("listenPort={port}\n");
            }
            format!(
                "brokerClusterName={cluster}\nbrokerName={name}\nbrokerId={id}\nbrokerRole={role}\nlistenPort={port}\n\
                 storePathRootDir={store}\nnamesrvAddr={}\n",
                servers.join(";")
            )
        }

        fn toml(&self) -> String {
            let Process { cluster, name, id, role, port, store, servers, .. } = self;
            if name.is_empty() {
                return format!("[metrics]\nlisten = \":{}\"\n[namesrv]\nlisten = \"0.0.0.0:{port}\"\n", self.metrics);
            }
            format!(
                "[metrics]\nlisten = \":{}\"\n[broker]\ncluster = \"{cluster}\"\nname = \"{name}\"\nid = {id}\nrole = \"{}\"\n\
                 listen = \"0.0.0.0:{port}\"\nname_servers = {servers:?}\n[broker.store]\ndata = \"{store}\"\n",
                self.metrics,
                role.to_lowercase()
            )
        }
    }

    /// Writes the files of a cluster and looks at them.
    fn lint(processes: &[Process], toml: bool) -> Result<Vec<String>, Vec<String>> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rocketmq-lint-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        for process in processes {
            let (kind, text) = if toml { ("toml", process.toml()) } else { ("properties", process.properties()) };
            fs::write(path.join(format!("{}.{kind}", process.file)), text).expect("ours");
        }
        let found = folder(&path);
        fs::remove_dir_all(&path).expect("ours");
        found
    }

    #[test]
    fn a_cluster_without_a_mistake_has_no_finding() {
        for toml in [false, true] {
            let told = lint(&cluster(), toml).expect("no mistake");
            assert!(told[0].ends_with("2 name servers and 4 brokers fit together"), "{told:?}");
        }
    }

    /// A mistake in the files of one process, and what has to be found.
    type Mistake = (&'static str, fn(&mut Process), &'static str);

    const MISTAKES: &[Mistake] = &[
        // Two brokers with one name and id.
        ("broker-b", |p| p.name = "broker-a", "both are broker-a with id 0 in C"),
        ("broker-b-s", |p| p.name = "broker-a", "both are broker-a with id 1 in C"),
        // A slave under another master's name.
        ("broker-b-s", |p| (p.name, p.id) = ("broker-a", 2), "is one of them under the wrong master's name?"),
        ("broker-b-s", |p| p.name = "broker-c", "a slave of broker-c, which is no master of this folder"),
        // Colliding ports, HA and VIP counted.
        ("namesrv-2", |p| p.port = "9876", "port 9876 is its port here and its port there"),
        ("broker-a-s", |p| p.port = "10911", "port 10911 is its port here and its port there"),
        ("broker-a-s", |p| p.port = "10912", "port 10912 is its port here and its HA port"),
        ("broker-a-s", |p| p.port = "10909", "port 10909 is its port here and its VIP port"),
        ("broker-a-s", |p| p.port = "10913", "port 10911 is its VIP port (listenPort - 2) here and its port there"),
        ("broker-a-s", |p| p.port = "9878", "and namesrv-1"),
        // Shared store folders.
        ("broker-a-s", |p| p.store = "/data/a/", "both keep their store in /data/a"),
        ("broker-b", |p| p.store = "/data/a", "both keep their store in /data/a"),
        // A slave id with a master's role and the reverse.
        ("broker-a-s", |p| p.role = "ASYNC_MASTER", "brokerId=1, which is a slave's id, with brokerRole=ASYNC_MASTER"),
        ("broker-a", |p| p.role = "SLAVE", "brokerRole=SLAVE with brokerId=0, which is a master's id"),
        // Different name-server lists.
        ("broker-a-s", |p| p.servers = &["127.0.0.1:9876"], "registers at 127.0.0.1:9876, the others at"),
        ("broker-a", |p| p.servers = &[], "registers at no name server, the others at"),
        // Mistyped ports.
        (
            "broker-a-s",
            |p| p.servers = &["127.0.0.1:9876", "127.0.0.1:9867"],
            "the name servers of this folder listen on",
        ),
        ("broker-a-s", |p| p.port = "119111", "119111"),
        ("broker-a-s", |p| p.port = "1191l", "1191l"),
        ("broker-a-s", |p| p.servers = &["127.0.0.1:987x", "127.0.0.1:9877"], "127.0.0.1:987x"),
        // One name in two clusters.
        ("broker-a-s", |p| p.cluster = "D", "broker-a is in cluster D here and in C there"),
    ];

    #[test]
    fn each_mistake_is_found_and_named_in_java_files_and_in_toml() {
        for toml in [false, true] {
            for (file, mistake, expected) in MISTAKES {
                let mut processes = cluster();
                processes.iter_mut().filter(|process| process.file == *file).for_each(mistake);
                let findings = lint(&processes, toml).expect_err(expected);
                assert!(findings.iter().any(|finding| finding.contains(expected)), "{file}, {expected}: {findings:#?}");
            }
            let alone: Vec<_> = cluster().into_iter().filter(|process| process.file != "broker-b-s").collect();
            let findings = lint(&alone, toml).expect_err("no slave");
            assert!(findings.iter().any(|finding| finding.contains("SYNC_MASTER without a slave")), "{findings:?}");
        }
    }

    #[test]
    fn files_of_ours_on_one_machine_need_ports_for_metrics_of_their_own() {
        let mut processes = cluster();
        processes[3].metrics = 5562;
        let findings = lint(&processes, true).expect_err("broker-a has it");
        let expected = "port 5562 is its metrics port ([metrics] listen) here and its metrics port";
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{findings:?}");
        assert!(lint(&processes, false).is_ok(), "Java's files say nothing of it, and a start by them goes on without");
    }
}
