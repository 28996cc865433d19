//! `rocketmq doctor`: first-day problems are provoked on real processes, found and named with their fix. Where ours
//! cannot be made to misbehave, a peer stands in that registers at a real name server and says what it should.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use rocketmq::client::{BrokerName, Client};
use rocketmq::wire::body::{KVTable, RegisterBrokerBody};
use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::{self, write_response};
use rocketmq::wire::frame;

use crate::harness::{Folder, Ports, Said, Server, rocketmq, run};

const TIMEOUT: Duration = Duration::from_secs(20);
/// TEST-NET-2: nobody has it.
const NOBODY: &str = "198.51.100.7";

fn doctor(home: &Folder, args: &[&str]) -> Said {
    run(home.path(), &[&["doctor", "--output", "json"], args].concat())
}

fn findings(said: &Said) -> Vec<serde_json::Value> {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Whether there is a finding of this rank and check that says this; a problem or a warning has a fix.
fn says(said: &Said, rank: &str, check: &str, found: &str) -> bool {
    findings(said).iter().any(|finding| {
        finding["rank"] == rank
            && finding["check"] == check
            && finding["found"].as_str().is_some_and(|text| text.contains(found))
            && (rank == "fine" || finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()))
    })
}

fn is_problem(said: &Said, check: &str, found: &str) {
    assert!(said.code == Some(1) && says(said, "problem", check, found), "{check} `{found}`: {said:?}");
}

fn namesrv(home: &Folder, port: u16) -> (Server, String) {
    let address = format!("127.0.0.1:{port}");
    let server = Server::start(home.path(), &["namesrv", "--listen", &address, "--data", &format!("ns-{port}")]);
    (server, address)
}

fn broker(home: &Folder, port: u16, namesrv: &str, lines: &str) -> Server {
    let file = format!("broker-{port}.conf");
    home.file(&file, &format!("brokerName=b\nlistenPort={port}\nbindAddress=127.0.0.1\n{lines}"));
    let server = Server::spawn(home.path(), &["broker", "-n", namesrv, "-c", &file, "--data", &format!("data-{port}")])
        .announce("is no address of this machine");
    server.wait_for(" is ready");
    server
}

#[test]
fn a_cluster_that_works_is_called_fine_and_a_missing_topic_a_problem() {
    let home = Folder::new("doctor");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let server = Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    let address = format!("127.0.0.1:{namesrv}");
    let said = doctor(&home, &["-n", &address, "-t", "TBW102"]);
    assert!(says(&said, "fine", "name-server", "answers, knows broker-a"), "{said:?}");
    assert!(says(&said, "fine", "advertised", &format!("answers at 127.0.0.1:{broker}")), "{said:?}");
    assert!(says(&said, "fine", "clock", "agrees with the one here"), "{said:?}");
    assert!(says(&said, "fine", "route", "knows it on broker-a (DefaultCluster, 8 queues)"), "{said:?}");
    assert!(says(&said, "fine", "firewall", "ufw allow 9876,10911,10909,10912,5557,5558/tcp"), "{said:?}");
    for check in ["addresses", "nofile", "max_map_count", "memory", "disk", "port"] {
        assert!(findings(&said).iter().any(|finding| finding["check"] == check), "{check}: {said:?}");
    }
    let said = doctor(&home, &["-n", &address, "-t", "TBW103"]);
    is_problem(&said, "topic-missing", "Did you mean TBW102?");
    is_problem(&said, "topic-missing", "the first send makes it (autoCreateTopicEnable=true)");
    let said = doctor(&home, &["-n", &address, "-t", "TBW102", "-c", "Elsewhere"]);
    is_problem(&said, "cluster", "there are: DefaultCluster");
    is_problem(&said, "topic-cluster", "and not in cluster Elsewhere");
    let said = run(home.path(), &["doctor", "-n", &address]);
    assert!(said.stdout.contains("fine     name server") && said.stdout.contains("port "), "{said:?}");
    server.stop();
}

#[test]
fn a_name_server_that_is_not_there_and_one_without_brokers_are_problems() {
    let home = Folder::new("doctor-bad");
    let ports = Ports::free();
    let address = format!("127.0.0.1:{}", ports.namesrv);
    is_problem(&doctor(&home, &["-n", &address]), "name-server", "cannot connect");
    let (server, _) = namesrv(&home, ports.namesrv);
    is_problem(&doctor(&home, &["-n", &address, "-t", "T"]), "no-broker", "No route info of this topic");
    is_problem(&doctor(&home, &["-n", &address, "-t", "T"]), "topic-missing", "none knows a broker");
    server.stop();
}

#[test]
fn an_address_that_clients_cannot_reach_is_a_problem() {
    let home = Folder::new("doctor-address");
    let ports = Ports::free();
    let (name_server, address) = namesrv(&home, ports.namesrv);
    let unreachable = broker(&home, ports.broker, &address, &format!("brokerIP1={NOBODY}\n"));
    let said = doctor(&home, &["-n", &address]);
    is_problem(&said, "advertised-unreachable", "sendDefaultImpl call timeout");
    is_problem(&said, "advertised-unreachable", NOBODY);
    unreachable.stop();
    let loopback = broker(&home, ports.broker, &address, "brokerIP1=127.0.0.1\n");
    let said = doctor(&home, &["-n", &address.replace("127.0.0.1", "localhost")]);
    is_problem(&said, "advertised-loopback", "which is every client's own machine");
    loopback.stop();
    name_server.stop();
}

#[test]
fn name_servers_that_know_different_brokers_and_so_different_topics_are_a_problem() {
    let home = Folder::new("doctor-differ");
    let (ports, others) = (Ports::free(), Ports::free());
    let (first, first_address) = namesrv(&home, ports.namesrv);
    let (second, second_address) = namesrv(&home, others.namesrv);
    let broker = broker(&home, ports.broker, &first_address, "brokerIP1=127.0.0.1\n");
    let both = format!("{first_address};{second_address}");
    let said = doctor(&home, &["-n", &both, "-t", "TBW102"]);
    is_problem(&said, "name-servers-differ", "do not agree about b id 0");
    is_problem(&said, "topic-at-some", &format!("{second_address} does not"));
    broker.stop();
    second.stop();
    first.stop();
}

#[test]
fn topics_that_are_not_made_on_demand_or_cannot_be_written_or_read_are_problems() {
    let home = Folder::new("doctor-topics");
    let ports = Ports::free();
    let (name_server, address) = namesrv(&home, ports.namesrv);
    let broker = broker(&home, ports.broker, &address, "brokerIP1=127.0.0.1\nautoCreateTopicEnable=false\n");
    let said = doctor(&home, &["-n", &address, "-t", "Orders"]);
    is_problem(&said, "topic-missing", "not made on demand (autoCreateTopicEnable=false)");
    let admin = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let said = run(home.path(), &[&["admin"], words.as_slice(), &["-n", &address]].concat());
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
    };
    admin("updateTopic -c DefaultCluster -t Orders -p 4");
    is_problem(&doctor(&home, &["-n", &address, "-t", "Orders"]), "no-writable-queue", "No route info of this topic");
    admin("updateTopic -c DefaultCluster -t Orders -p 2");
    is_problem(&doctor(&home, &["-n", &address, "-t", "Orders"]), "no-readable-queue", "consumers get nothing");
    admin("updateTopic -c DefaultCluster -t Orders -p 6");
    assert!(says(&doctor(&home, &["-n", &address, "-t", "Orders"]), "fine", "route", "knows it on b"));
    broker.stop();
    name_server.stop();
}

/// A peer that registers as a broker and answers what the doctor asks a broker; nobody listens two ports below it.
struct StandIn {
    address: String,
    // Its registration lasts as long as its connection.
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl StandIn {
    fn start(ports: Ports, info: &[(&str, String)], has_topic: bool) -> StandIn {
        let address = format!("127.0.0.1:{}", ports.broker);
        let listener = TcpListener::bind(&address).expect("a free port");
        let table = info.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let body = KVTable { table }.to_json();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
                let mut buf = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buf) {
                    read.extend_from_slice(&buf[..count]);
                    let Ok(Some((frame, _))) = frame::parse(&read, 1 << 20) else { continue };
                    let asked = command::Command::parse(&frame).expect("a request");
                    let code = match asked.code {
                        request::GET_TOPIC_CONFIG if !has_topic => response::TOPIC_NOT_EXIST,
                        _ => response::SUCCESS,
                    };
                    write_response(&mut out, asked.reply_to(), code, None, &[], &body);
                    drop(asked);
                    read.clear();
                    stream.write_all(&out.split()).expect("the doctor reads");
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        StandIn { address, runtime, client: Client::new() }
    }

    fn registers(&self, namesrv: &str, id: i64) {
        let name =
            BrokerName { cluster: "C".to_owned(), broker: "stand-in".to_owned(), id, addr: self.address.clone() };
        let body = RegisterBrokerBody::default().to_json();
        let call = self.client.register_broker(namesrv, &name, "127.0.0.1:1", &body, TIMEOUT);
        self.runtime.block_on(call).expect("registered");
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

#[test]
fn a_clock_apart_a_full_disk_a_closed_vip_port_a_missing_master_and_an_unregistered_topic_are_found() {
    let home = Folder::new("doctor-stand-in");
    let ports = Ports::free();
    let (name_server, address) = namesrv(&home, ports.namesrv);
    let info = [
        ("bootTimestamp", (now_ms() - 3_600_000).to_string()),
        ("runtime", "[ 0 days, 0 hours, 10 minutes, 0 seconds ]".to_owned()),
        ("commitLogDiskRatio", "0.93".to_owned()),
    ];
    let peer = StandIn::start(ports, &info, true);
    peer.registers(&address, 1);
    is_problem(&doctor(&home, &["-n", &address]), "no-master", "its master is not registered");
    peer.registers(&address, 0);
    let said = doctor(&home, &["-n", &address, "-t", "Orders"]);
    is_problem(&said, "clock", "s behind the one here");
    is_problem(&said, "broker-disk", "93 % full");
    is_problem(&said, "topic-not-registered", "broker stand-in has it and no name server knows that");
    assert!(says(&said, "warning", "vip-channel", &format!("127.0.0.1:{}", ports.broker - 2)), "{said:?}");
    let ranks: Vec<_> = findings(&said).iter().map(|finding| finding["rank"].to_string()).collect();
    let mut sorted = ranks.clone();
    sorted.sort_by_key(|rank| ["\"problem\"", "\"warning\"", "\"fine\""].iter().position(|known| known == rank));
    assert_eq!(ranks, sorted, "the worst first");
    name_server.stop();
}

#[test]
fn limits_folders_ports_and_the_environment_are_judged() {
    let home = Folder::new("doctor-machine");
    let program = rocketmq(home.path()).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec \"$0\" doctor --output json"]).arg(&program).current_dir(home.path());
    let output = shell.env_remove("NAMESRV_ADDR").output().expect("a shell");
    let said = Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(says(&said, "warning", "nofile", "the limit is 256"), "{said:?}");
    home.file("file", "");
    is_problem(&doctor(&home, &["--data", "file"]), "folder", "is a file, a folder is needed");
    let mut command = rocketmq(home.path());
    let output = command.args(["doctor", "--output", "json"]).env("NAMESRV_ADDR", "host").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("`host` is not HOST:PORT"), "{said}");
}
