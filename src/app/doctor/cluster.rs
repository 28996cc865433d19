//! A cluster as its clients see it from here: do the name servers answer and agree, is every broker reached at the address
//! that it tells, why would a client say "No route info of this topic" or "sendDefaultImpl call timeout". Asks only what
//! any client may ask, so it works for Java's servers as for ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Findings, Rank};
use crate::app::keys::nearest;
use crate::base::clock::Clock;
use crate::client::{Client, ClientError};
use crate::wire::body::{BrokerData, ClusterInfo, KVTable, TopicList, TopicRouteData};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;

/// How long one question to a server may take; Java's clients wait as long for a send.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Clocks that are further apart than this make delays and searches by time come out wrong.
const CLOCK_APART_MAX_MS: u64 = 5_000;
/// Share of a broker's disk from which Java's brokers refuse sends.
const DISK_RATIO_MAX: f64 = 0.9;
/// The topic that others are made after: it has a route exactly when brokers make topics on demand.
const PATTERN: &str = "TBW102";
/// Bits of a queue's permission.
const READ: i32 = 4;
const WRITE: i32 = 2;
/// How far below its port a broker opens the one for clients before 4.5.
const VIP_BELOW: u16 = 2;

/// What was asked.
pub(super) struct Asked<'a> {
    pub name_servers: &'a [String],
    pub topic: Option<&'a str>,
    pub cluster: Option<&'a str>,
}

/// A name server that answered.
struct Told<'a> {
    name_server: &'a str,
    info: ClusterInfo,
}

pub(super) async fn look(asked: &Asked<'_>, findings: &mut Findings) {
    let client = Client::new();
    let mut told: Vec<Told<'_>> = Vec::new();
    for name_server in asked.name_servers {
        match client.cluster_info(name_server, TIMEOUT).await {
            Ok(info) => {
                let brokers: Vec<_> = info.broker_addr_table.keys().map(String::as_str).collect();
                let found = format!("answers, knows {}", list(&brokers));
                findings.fine("name-server", format!("name server {name_server}"), found);
                told.push(Told { name_server, info });
            }
            Err(error) => findings.bad(
                Rank::Problem,
                "name-server",
                format!("name server {name_server}"),
                error.to_string(),
                unreachable_fix(&error, "start it, or correct the address"),
            ),
        }
    }
    agreement(&told, findings);
    let Some(first) = told.first() else { return };
    let mut brokers: BTreeMap<String, (BrokerData, &str)> = BTreeMap::new();
    for Told { name_server, info } in &told {
        for (name, data) in &info.broker_addr_table {
            let known = brokers.entry(name.clone()).or_insert_with(|| (data.clone(), name_server));
            known.0.broker_addrs.extend(data.broker_addrs.clone());
        }
    }
    if brokers.is_empty() {
        findings.bad(
            Rank::Problem,
            "no-broker",
            "brokers",
            format!(
                "no broker is registered at {}; every send fails with \"No route info of this topic\"",
                first.name_server
            ),
            "start a broker with -n or namesrvAddr naming this name server",
        );
    }
    cluster_name(asked, &told, findings);
    for (data, name_server) in brokers.values() {
        for (id, address) in &data.broker_addrs {
            broker(&client, name_server, &data.broker_name, *id, address, findings).await;
        }
        if !data.broker_addrs.contains_key(&0) {
            findings.bad(
                Rank::Problem,
                "no-master",
                format!("broker {}", data.broker_name),
                "its master is not registered: consumers read from a slave, and nobody can send to it",
                "start the master (brokerId 0) of this brokerName",
            );
        }
    }
    if let Some(topic) = asked.topic {
        Topic { client: &client, told: &told, name: topic, cluster: asked.cluster }.look(findings).await;
    }
}

/// What to do about a server that was not reached, by how it was not.
fn unreachable_fix(error: &ClientError, otherwise: &str) -> String {
    match error {
        ClientError::Timeout { .. } => {
            format!(
                "nothing comes back: a firewall drops it, or nobody has that address; open the port, or {otherwise}"
            )
        }
        ClientError::Connect { found, .. } if found.contains("refused") => {
            format!("the machine is there and nobody listens on that port: {otherwise}")
        }
        ClientError::Connect { found, .. } if found.contains("unreachable") => {
            format!("there is no way from here to that address: {otherwise}")
        }
        _ => otherwise.to_owned(),
    }
}

/// Whether all name servers know the same brokers.
fn agreement(told: &[Told<'_>], findings: &mut Findings) {
    let Some((first, others)) = told.split_first() else { return };
    let mut agree = true;
    for other in others.iter().filter(|other| addresses_of(&other.info) != addresses_of(&first.info)) {
        agree = false;
        let (here, there) = (addresses_of(&first.info), addresses_of(&other.info));
        let differ: Vec<_> = here.symmetric_difference(&there).map(String::as_str).collect();
        findings.bad(
            Rank::Problem,
            "name-servers-differ",
            "name servers",
            format!("{} and {} do not agree about {}", first.name_server, other.name_server, list(&differ)),
            "give every broker the same, complete list of name servers",
        );
    }
    if agree && !others.is_empty() {
        findings.fine("name-servers-differ", "name servers", "they agree about all brokers");
    }
}

/// Whether the cluster that was asked for is there.
fn cluster_name(asked: &Asked<'_>, told: &[Told<'_>], findings: &mut Findings) {
    let there: BTreeSet<&str> =
        told.iter().flat_map(|told| told.info.cluster_addr_table.keys()).map(String::as_str).collect();
    let names: Vec<&str> = there.iter().copied().collect();
    match asked.cluster {
        Some(wanted) if !there.contains(wanted) => findings.bad(
            Rank::Problem,
            "cluster",
            format!("cluster {wanted}"),
            format!(
                "no broker here belongs to it; there are: {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ),
            "ask the name servers of that cluster, or correct brokerClusterName",
        ),
        _ if !names.is_empty() => findings.fine("cluster", "clusters", names.join(", ")),
        _ => {}
    }
}

/// Whether clients here reach a broker at the address that it tells them, and what it says of itself.
async fn broker(client: &Client, name_server: &str, name: &str, id: i64, address: &str, findings: &mut Findings) {
    let about = if id == 0 { format!("broker {name}") } else { format!("broker {name} id {id}") };
    let told: Option<SocketAddr> = address.parse().ok();
    let asked: Option<IpAddr> = name_server.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    if told.is_some_and(|told| told.ip().is_loopback()) && asked.is_none_or(|asked| !asked.is_loopback()) {
        findings.bad(
            Rank::Problem,
            "advertised-loopback",
            &about,
            format!("it tells clients {address}, which is every client's own machine"),
            "set brokerIP1 (or --advertise of `rocketmq dev`) to the address that clients reach",
        );
    }
    let before = Clock::System.now();
    let answer = client.request(address, request::GET_BROKER_RUNTIME_INFO, &[], b"", TIMEOUT).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return findings.bad(
                Rank::Problem,
                "advertised-unreachable",
                &about,
                format!(
                    "{error}; clients fail with \"sendDefaultImpl call timeout\" or \"connect to {address} failed\""
                ),
                unreachable_fix(&error, "set brokerIP1 to an address that clients reach, and open or map its port"),
            );
        }
    };
    findings.fine("advertised", &about, format!("answers at {address}, the address that clients are told"));
    if let Ok(info) = KVTable::parse(&answer.body) {
        let between = (before + Clock::System.now()) / 2;
        clock(&about, &info.table, between, findings);
        broker_disk(&about, &info.table, findings);
    }
    let vip = told.and_then(|told| Some(SocketAddr::new(told.ip(), told.port().checked_sub(VIP_BELOW)?)));
    if let Some(vip) = vip.map(|vip| vip.to_string())
        && let Err(error) = client.request(&vip, request::GET_BROKER_RUNTIME_INFO, &[], b"", TIMEOUT).await
    {
        findings.bad(
            Rank::Warning,
            "vip-channel",
            &about,
            format!("clients before 4.5, and those with vipChannelEnabled, use {vip}: {error}"),
            unreachable_fix(&error, "open or map that port too, or set -Dcom.rocketmq.sendMessageWithVIPChannel=false"),
        );
    }
}

/// A broker tells when it started and how long it runs, by its own clock: together they are its present time.
fn clock(about: &str, info: &BTreeMap<String, String>, here: u64, findings: &mut Findings) {
    let started = info.get("bootTimestamp").and_then(|text| text.parse::<u64>().ok());
    let runs_ms = info.get("runtime").and_then(|text| uptime(text));
    let Some(there) = started.zip(runs_ms).map(|(started, runs_ms)| started + runs_ms) else { return };
    let apart = there.abs_diff(here);
    if apart <= CLOCK_APART_MAX_MS {
        return findings.fine("clock", about, "its clock agrees with the one here");
    }
    let way = if there > here { "ahead of" } else { "behind" };
    findings.bad(
        Rank::Problem,
        "clock",
        about,
        format!(
            "its clock is {} s {way} the one here: delays, retention and searches by time come out wrong",
            apart / 1000
        ),
        "let all machines follow one clock (chrony, systemd-timesyncd)",
    );
}

/// `[ 1 days, 2 hours, 3 minutes, 4 seconds ]` in milliseconds.
fn uptime(text: &str) -> Option<u64> {
    let numbers: Vec<u64> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let &[days, hours, minutes, seconds] = numbers.as_slice() else { return None };
    Some((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
}

fn broker_disk(about: &str, info: &BTreeMap<String, String>, findings: &mut Findings) {
    let ratio = info.get("commitLogDiskRatio").and_then(|text| text.parse::<f64>().ok());
    if let Some(ratio) = ratio.filter(|ratio| *ratio >= DISK_RATIO_MAX) {
        findings.bad(
            Rank::Problem,
            "broker-disk",
            about,
            format!("its disk is {:.0} % full: sends fail with \"service not available now\"", ratio * 100.0),
            "make room on the disk of its store, or keep messages for a shorter time (fileReservedTime)",
        );
    }
}

/// A topic that a client has trouble with.
struct Topic<'a> {
    client: &'a Client,
    told: &'a [Told<'a>],
    name: &'a str,
    cluster: Option<&'a str>,
}

impl Topic<'_> {
    async fn look(&self, findings: &mut Findings) {
        let about = format!("topic {}", self.name);
        let mut known: Vec<(&str, TopicRouteData)> = Vec::new();
        let mut missing: Vec<&str> = Vec::new();
        for Told { name_server, .. } in self.told {
            match self.client.route(name_server, self.name, TIMEOUT).await {
                Ok(route) => known.push((name_server, route)),
                Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) => missing.push(name_server),
                Err(error) => {
                    findings.bad(Rank::Problem, "route", &about, error.to_string(), "see the name server's log");
                }
            }
        }
        for (name_server, route) in &known {
            self.usable(&about, name_server, route, findings);
        }
        match (known.first(), missing.as_slice()) {
            (_, []) => {}
            (None, [first, ..]) => self.nowhere(&about, first, findings).await,
            (Some((knows, _)), missing) => findings.bad(
                Rank::Problem,
                "topic-at-some",
                &about,
                format!(
                    "{knows} knows it and {} does not: clients that ask there get \"No route info of this topic\"",
                    missing.join(", ")
                ),
                "its brokers are not registered at every name server: give them the complete list (namesrvAddr, -n)",
            ),
        }
    }

    /// Whether clients can do something with a route.
    fn usable(&self, about: &str, name_server: &str, route: &TopicRouteData, findings: &mut Findings) {
        let broker = |name: &str| route.broker_datas.iter().find(|broker| broker.broker_name == name);
        let has_master = |name: &str| broker(name).is_some_and(|broker| broker.broker_addrs.contains_key(&0));
        let places: Vec<String> = route
            .queue_datas
            .iter()
            .map(|data| {
                let cluster = broker(&data.broker_name).map_or("?", |broker| broker.cluster.as_str());
                format!("{} ({cluster}, {} queues)", data.broker_name, data.write_queue_nums)
            })
            .collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let can_write = route
            .queue_datas
            .iter()
            .any(|data| data.perm & WRITE != 0 && data.write_queue_nums > 0 && has_master(&data.broker_name));
        let can_read = route.queue_datas.iter().any(|data| data.perm & READ != 0 && data.read_queue_nums > 0);
        let found = format!("{name_server} knows it on {}", list(&places));
        match self.cluster {
            Some(wanted) if !route.broker_datas.iter().any(|broker| broker.cluster == wanted) => {
                return findings.bad(
                    Rank::Problem,
                    "topic-cluster",
                    about,
                    format!("{found}, and not in cluster {wanted}"),
                    format!("rocketmq admin updateTopic -n {name_server} -c {wanted} -t {}", self.name),
                );
            }
            _ => {}
        }
        if can_write && can_read {
            return findings.fine("route", about, found);
        }
        if !can_write {
            findings.bad(
                Rank::Problem,
                "no-writable-queue",
                about,
                format!(
                    "{found}, but there is no queue that can be written on a master: producers get \"No route info of this topic\""
                ),
                format!(
                    "rocketmq admin addWritePerm -n {name_server} -b BROKER, or updateTopicPerm -t {} -p 6; or start the master",
                    self.name
                ),
            );
        }
        if !can_read {
            findings.bad(
                Rank::Problem,
                "no-readable-queue",
                about,
                format!("{found}, but there is no queue that can be read: consumers get nothing"),
                format!("rocketmq admin updateTopicPerm -n {name_server} -c CLUSTER -t {} -p 6", self.name),
            );
        }
    }

    /// No name server knows it: who should?
    async fn nowhere(&self, about: &str, name_server: &str, findings: &mut Findings) {
        let clusters: BTreeSet<&str> =
            self.told.iter().flat_map(|told| told.info.cluster_addr_table.keys()).map(String::as_str).collect();
        let Some(cluster) = clusters.first() else {
            return findings.bad(
                Rank::Problem,
                "topic-missing",
                about,
                "no name server knows it, and none knows a broker: clients get \"No route info of this topic\"",
                "start a broker with -n or namesrvAddr naming these name servers",
            );
        };
        for data in self.told.iter().flat_map(|told| told.info.broker_addr_table.values()) {
            let Some(addr) = data.broker_addrs.get(&0) else { continue };
            let ext = [("topic", Value::Str(self.name))];
            let has_it = self.client.call(addr, request::GET_TOPIC_CONFIG, &ext, b"", TIMEOUT).await.is_ok();
            if has_it {
                return findings.bad(
                    Rank::Problem,
                    "topic-not-registered",
                    about,
                    format!(
                        "broker {} has it and no name server knows that: clients get \"No route info of this topic\"",
                        data.broker_name
                    ),
                    "wait for its next registration (30 s); if that changes nothing, see the broker's log",
                );
            }
        }
        let near = self.similar(name_server).await;
        let near = near.map_or_else(String::new, |name| format!(" Did you mean {name}?"));
        let made_on_demand = self.client.route(name_server, PATTERN, TIMEOUT).await.is_ok();
        let (how, more) = if made_on_demand {
            ("the first send makes it (autoCreateTopicEnable=true), until then consumers get", "send to it, or make it")
        } else {
            ("topics are not made on demand (autoCreateTopicEnable=false): clients get", "make it")
        };
        let cluster = self.cluster.unwrap_or(cluster);
        findings.bad(
            Rank::Problem,
            "topic-missing",
            about,
            format!("no name server knows it; {how} \"No route info of this topic\".{near}"),
            format!("{more}: rocketmq admin updateTopic -n {name_server} -c {cluster} -t {}", self.name),
        );
    }

    async fn similar(&self, name_server: &str) -> Option<String> {
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let answer = self.client.call(name_server, code, &[], b"", TIMEOUT).await.ok()?;
        let topics = TopicList::parse(&answer.body).ok()?;
        nearest(self.name, topics.topic_list.iter().map(String::as_str)).map(str::to_owned)
    }
}

fn addresses_of(info: &ClusterInfo) -> BTreeSet<String> {
    let brokers: &BTreeMap<_, _> = &info.broker_addr_table;
    let addresses =
        brokers.values().flat_map(|data| data.broker_addrs.iter().map(|(id, addr)| (&data.broker_name, id, addr)));
    addresses.map(|(name, id, address)| format!("{name} id {id} at {address}")).collect()
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no broker".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_uptime_is_read() {
        assert_eq!(uptime("[ 1 days, 1 hours, 1 minutes, 1 seconds ]"), Some(90_061_000));
        assert_eq!(uptime("soon"), None);
    }
}
