//! `rocketmq doctor`: what keeps servers from starting here and clients from reaching a cluster, ranked, each with its fix.
//! Looks only; the first-day problems of RocketMQ are the list of its checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::process::Resource;

use super::cli::{self, NamesrvList};
use super::keys::nearest;
use super::{advertise, preflight};
use crate::base::clock::Clock;
use crate::base::machine;
use crate::client::{Client, ClientError};
use crate::net::limits::Limits;
use crate::wire::body::{ClusterInfo, TopicList};
use crate::wire::codes::{request, response};

/// How long one question to a server may take; Java's clients wait as long for a send.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Descriptors beside the connections: files of the store, listeners, the runtime's own.
const DESCRIPTORS_BESIDE: u64 = 2048;
/// Free bytes that the next commit log file and its queues need.
const DISK_FREE_MIN: u64 = 2 << 30;
/// Share of a used disk, in per cent, from which Java's brokers refuse writes.
const DISK_USED_MAX: u64 = 90;
/// Available memory below which nothing is left for the page cache.
const MEMORY_MIN_KIB: u64 = 256 << 10;
/// No machine with a working clock is older: 2024-01-01.
const CLOCK_MIN_MS: u64 = 1_704_067_200_000;
/// The ports of a machine with a name server and a broker, and who needs them.
const PORTS: [(u16, &str); 6] = [
    (9876, "name server: brokers and all clients"),
    (10911, "broker: all clients"),
    (10909, "broker, VIP channel: clients before 4.5"),
    (10912, "broker, replication: slaves"),
    (5557, "broker, metrics: Prometheus"),
    (5558, "name server, metrics: Prometheus"),
];

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Problem,
    Warning,
    Fine,
}

/// What was looked at, what was found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    rank: Rank,
    about: String,
    found: String,
    fix: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn fine(&mut self, about: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { rank: Rank::Fine, about: about.into(), found: found.into(), fix: None });
    }

    fn bad(&mut self, rank: Rank, about: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { rank, about: about.into(), found: found.into(), fix: Some(fix.into()) });
    }
}

/// Runs all checks and prints what was found, the worst first. The error is the number of problems.
pub fn run(args: &cli::Doctor) -> Result<(), Vec<String>> {
    let mut findings = Findings::default();
    addresses(&mut findings);
    descriptors(&mut findings);
    memory(&mut findings);
    disk(&args.data, &mut findings);
    clock(&mut findings);
    ports(&mut findings);
    let given = args.namesrv.clone().map(Ok).or_else(|| std::env::var("NAMESRV_ADDR").ok().map(|text| text.parse()));
    match given.transpose() {
        Ok(Some(NamesrvList(name_servers))) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| vec![format!("starting the client: {error}")])?;
            runtime.block_on(cluster(&name_servers, args.topic.as_deref(), &mut findings));
        }
        Ok(None) => findings.fine("cluster", "not looked at: give -n or NAMESRV_ADDR"),
        Err(what) => findings.bad(Rank::Problem, "NAMESRV_ADDR", what, "set it to HOST:PORT;HOST:PORT"),
    }
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| finding.rank);
    match args.output {
        cli::DoctorOutput::Text => findings.iter().for_each(|finding| println!("{}", line(finding))),
        cli::DoctorOutput::Json => println!("{}", json(&findings)),
    }
    let problems = findings.iter().filter(|finding| finding.rank == Rank::Problem).count();
    if problems == 0 { Ok(()) } else { Err(vec![format!("{problems} problems found")]) }
}

fn line(finding: &Finding) -> String {
    let rank = match finding.rank {
        Rank::Problem => "PROBLEM",
        Rank::Warning => "warning",
        Rank::Fine => "fine",
    };
    let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!("\n         fix: {fix}"));
    format!("{rank:8} {}: {}{fix}", finding.about, finding.found)
}

fn json(findings: &[Finding]) -> serde_json::Value {
    let object = |finding: &Finding| {
        let rank = format!("{:?}", finding.rank).to_lowercase();
        serde_json::json!({ "rank": rank, "about": finding.about, "found": finding.found, "fix": finding.fix })
    };
    findings.iter().map(object).collect()
}

// === This machine ===

fn addresses(findings: &mut Findings) {
    let candidates = match advertise::candidates() {
        Ok(candidates) => candidates,
        Err(error) => {
            return findings.bad(Rank::Problem, "addresses", error.to_string(), "check the network of this machine");
        }
    };
    let chosen = advertise::choose(None, cli::ANY, &candidates);
    let found = format!("a broker here would tell clients {} ({})", chosen.address, chosen.reason);
    match chosen.warning {
        Some(warning) => findings.bad(
            Rank::Warning,
            "addresses",
            format!("{found}; {warning}"),
            "say which one clients reach: brokerIP1 in the file, or broker.advertise",
        ),
        None => findings.fine("addresses", found),
    }
    let skipped: Vec<_> = candidates.iter().filter(|card| card.skipped.is_some()).map(ToString::to_string).collect();
    if !skipped.is_empty() {
        findings.fine("addresses", format!("not used: {}", skipped.join(", ")));
    }
}

fn descriptors(findings: &mut Findings) {
    let needed = Limits::default().connections_max as u64 + DESCRIPTORS_BESIDE;
    match rustix::process::getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => findings.bad(
            Rank::Warning,
            "open files",
            format!("the limit is {limit}; {needed} are needed for as many connections as are allowed"),
            "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
        ),
        Some(limit) => findings.fine("open files", format!("the limit is {limit}")),
        None => findings.fine("open files", "there is no limit"),
    }
}

fn memory(findings: &mut Findings) {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available: Option<u64> =
        table.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().split(' ').next()?.parse().ok());
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let limit = limit.map_or_else(String::new, |bytes| format!("; the control group allows {} MiB", bytes >> 20));
    match available {
        Some(kib) if kib < MEMORY_MIN_KIB => findings.bad(
            Rank::Warning,
            "memory",
            format!("{} MiB are available{limit}", kib >> 10),
            "leave memory for the page cache, or consumers read from the disk",
        ),
        Some(kib) => findings.fine("memory", format!("{} MiB are available{limit}", kib >> 10)),
        None => findings.fine("memory", format!("the system does not say what is available{limit}")),
    }
}

fn disk(data: &Path, findings: &mut Findings) {
    if let Err(problem) = preflight::folder("data", data) {
        findings.bad(Rank::Problem, "disk", problem, "choose another folder or change its owner");
    }
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let Some(existing) = absolute.ancestors().find(|path| path.exists()) else { return };
    let Some((space, ratio)) = machine::disk_space(existing).and_then(|space| Some((space, space.used_ratio()?)))
    else {
        return;
    };
    let used = (ratio * 100.0).round() as u64;
    let found = format!("{}: {} GiB are free, {used} % are used", existing.display(), space.free >> 30);
    if space.free < DISK_FREE_MIN || used >= DISK_USED_MAX {
        findings.bad(Rank::Problem, "disk", found, "make room; a broker refuses sends when its disk is full");
    } else {
        findings.fine("disk", found);
    }
}

fn clock(findings: &mut Findings) {
    let now = Clock::System.now();
    if now < CLOCK_MIN_MS {
        let found = format!("it shows {now} ms since 1970, which is before 2024");
        findings.bad(Rank::Problem, "clock", found, "set it: search by time, delays and retention go by it");
    } else {
        findings.fine("clock", "it shows a believable time");
    }
}

fn ports(findings: &mut Findings) {
    for (port, who) in PORTS {
        let about = format!("port {port}");
        match preflight::port(who, SocketAddr::new(cli::ANY, port)) {
            Ok(()) => findings.fine(about, format!("free ({who})")),
            Err(held) => findings.fine(about, held),
        }
    }
}

// === A cluster, as its clients see it ===

async fn cluster(name_servers: &[String], topic: Option<&str>, findings: &mut Findings) {
    let client = Client::new();
    let mut told: Vec<(&str, ClusterInfo)> = Vec::new();
    for name_server in name_servers {
        match client.cluster_info(name_server, TIMEOUT).await {
            Ok(info) => {
                let brokers: Vec<_> = info.broker_addr_table.keys().map(String::as_str).collect();
                findings.fine(format!("name server {name_server}"), format!("answers, knows {}", list(&brokers)));
                told.push((name_server, info));
            }
            Err(error) => findings.bad(
                Rank::Problem,
                format!("name server {name_server}"),
                error.to_string(),
                "start it, or open its port in the firewall, or correct the address",
            ),
        }
    }
    let Some((first, info)) = told.first() else { return };
    for (other, different) in told[1..].iter().filter(|(_, other)| addresses_of(other) != addresses_of(info)) {
        let (here, there) = (addresses_of(info), addresses_of(different));
        let differ: Vec<_> = here.symmetric_difference(&there).map(String::as_str).collect();
        findings.bad(
            Rank::Problem,
            "name servers",
            format!("{first} and {other} do not agree about {}", list(&differ)),
            "give every broker the same, complete list of name servers",
        );
    }
    if info.broker_addr_table.is_empty() {
        findings.bad(
            Rank::Problem,
            "brokers",
            format!("no broker is registered at {first}; every send fails with \"No route info of this topic\""),
            "start a broker with -n or namesrvAddr naming this name server",
        );
    }
    for data in info.broker_addr_table.values() {
        for address in data.broker_addrs.values() {
            broker(&client, first, &data.broker_name, address, findings).await;
        }
    }
    if let Some(topic) = topic {
        for (name_server, _) in &told {
            route(&client, name_server, topic, findings).await;
        }
    }
}

/// Whether clients here reach a broker at the address that it tells them.
async fn broker(client: &Client, name_server: &str, name: &str, address: &str, findings: &mut Findings) {
    let about = format!("broker {name}");
    let told: Option<SocketAddr> = address.parse().ok();
    let asked: Option<IpAddr> = name_server.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    if told.is_some_and(|told| told.ip().is_loopback()) && asked.is_none_or(|asked| !asked.is_loopback()) {
        findings.bad(
            Rank::Problem,
            &about,
            format!("it tells clients {address}, which is every client's own machine"),
            "set brokerIP1 (or --advertise of `rocketmq dev`) to the address that clients reach",
        );
    }
    match client.request(address, request::GET_BROKER_RUNTIME_INFO, &[], b"", TIMEOUT).await {
        Ok(_) => findings.fine(&about, format!("answers at {address}, the address that clients are told")),
        Err(error) => findings.bad(
            Rank::Problem,
            &about,
            format!("{error}; clients fail with \"sendDefaultImpl call timeout\" or \"connect to {address} failed\""),
            "set brokerIP1 to an address that clients reach, map and open its port",
        ),
    }
}

async fn route(client: &Client, name_server: &str, topic: &str, findings: &mut Findings) {
    let about = format!("topic {topic}");
    match client.route(name_server, topic, TIMEOUT).await {
        Ok(route) => {
            let brokers: Vec<_> = route.queue_datas.iter().map(|queues| queues.broker_name.as_str()).collect();
            findings.fine(about, format!("{name_server} knows it on {}", list(&brokers)));
        }
        Err(ClientError::Refused { response: response::TOPIC_NOT_EXIST, .. }) => {
            let near = similar(client, name_server, topic).await;
            let near = near.map_or_else(String::new, |name| format!(" Did you mean {name}?"));
            findings.bad(
                Rank::Problem,
                about,
                format!("{name_server} does not know it: clients get \"No route info of this topic\".{near}"),
                format!("rocketmq admin updateTopic -n {name_server} -c DefaultCluster -t {topic}, or autoCreateTopicEnable=true"),
            );
        }
        Err(error) => findings.bad(Rank::Problem, about, error.to_string(), "see the name server's log"),
    }
}

async fn similar(client: &Client, name_server: &str, topic: &str) -> Option<String> {
    let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
    let answer = client.call(name_server, code, &[], b"", TIMEOUT).await.ok()?;
    let topics = TopicList::parse(&answer.body).ok()?;
    nearest(topic, topics.topic_list.iter().map(String::as_str)).map(str::to_owned)
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
