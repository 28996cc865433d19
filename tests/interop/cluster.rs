//! The cluster under test: `rocketmq dev`, or Java's servers when a test is to be proved itself.
//! It must never know which client talks to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peers::{Folder, JavaServer, PATIENCE, Process, free_port, wait_for_port};

/// A name server and a broker of ours or of Java's, stopped when dropped.
pub struct Cluster {
    /// The name server's address as clients take it.
    pub namesrv: String,
    // Dropped in this order: processes before their folder.
    _processes: Vec<Process>,
    folder: Folder,
}

/// The Java version that stands in for ours, if one does.
fn reference() -> Option<String> {
    std::env::var("INTEROP_REFERENCE").ok()
}

impl Cluster {
    /// `rocketmq dev` on an empty folder.
    pub fn start(name: &str) -> Cluster {
        let folder = Folder::new(name);
        if let Some(version) = reference() {
            return Cluster::java(&version, folder, &[]);
        }
        let (namesrv, broker) = (free_port(), free_port());
        let mut command = rocketmq();
        command.arg("dev").arg("--data").arg(folder.path().join("data")).args(["--advertise", "127.0.0.1"]);
        command.args(["--namesrv-port", &namesrv.to_string(), "--broker-port", &broker.to_string()]);
        let mut process = Process::start("dev", &mut command, folder.path());
        wait_for_port(local(namesrv), &mut process);
        wait_for_port(local(broker), &mut process);
        wait_for_route(local(namesrv), "TBW102", &["broker-a"]);
        Cluster { namesrv: local(namesrv).to_string(), _processes: vec![process], folder }
    }

    /// `rocketmq namesrv` and `rocketmq broker` with these lines in its `broker.conf`.
    pub fn configured(name: &str, lines: &[(&str, &str)]) -> Cluster {
        let folder = Folder::new(name);
        if let Some(version) = reference() {
            return Cluster::java(&version, folder, lines);
        }
        let (namesrv, address) = our_namesrv(&folder);
        let (broker, _) = our_broker(&folder, &address.to_string(), &folder.path().join("store"), lines);
        wait_for_route(address, "TBW102", &["broker-a"]);
        Cluster { namesrv: address.to_string(), _processes: vec![broker, namesrv], folder }
    }

    fn java(version: &str, folder: Folder, lines: &[(&str, &str)]) -> Cluster {
        let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
        let address = namesrv.address.to_string();
        let broker =
            JavaServer::broker(version, folder.path(), "broker", &folder.path().join("store"), &address, lines);
        wait_for_route(namesrv.address, "TBW102", &["broker-a"]);
        Cluster { namesrv: address, _processes: vec![broker.process, namesrv.process], folder }
    }

    /// Where logs go.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// `rocketmq namesrv` on a free port.
pub fn our_namesrv(folder: &Folder) -> (Process, SocketAddr) {
    let address = local(free_port());
    let mut command = rocketmq();
    command
        .arg("namesrv")
        .args(["--listen", &address.to_string()])
        .arg("--data")
        .arg(folder.path().join("namesrv-data"));
    let mut process = Process::start("our-namesrv", &mut command, folder.path());
    wait_for_port(address, &mut process);
    (process, address)
}

/// `rocketmq broker` on a free port, named broker-a, its store in `store_root`.
pub fn our_broker(folder: &Folder, namesrv: &str, store_root: &Path, lines: &[(&str, &str)]) -> (Process, SocketAddr) {
    let address = local(free_port());
    let configuration = folder.path().join("our-broker.conf");
    let mut text = "brokerName=broker-a\nbrokerIP1=127.0.0.1\n".to_owned();
    text.extend(lines.iter().map(|(key, value)| format!("{key}={value}\n")));
    std::fs::write(&configuration, text).expect("a broker.conf");
    let mut command = rocketmq();
    command.args(["broker", "-n", namesrv, "--listen", &address.to_string()]).arg("-c").arg(&configuration);
    command.arg("--data").arg(store_root);
    let mut process = Process::start("our-broker", &mut command, folder.path());
    wait_for_port(address, &mut process);
    (process, address)
}

/// The binary under test.
pub fn rocketmq() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rocketmq"))
}

/// `127.0.0.1:port`.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Waits until the name server's route of `topic` lists exactly these brokers.
pub fn wait_for_route(namesrv: SocketAddr, topic: &str, brokers: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = route(namesrv, topic);
        if listed == brokers {
            return;
        }
        assert!(Instant::now() < deadline, "the name server {namesrv} lists {listed:?} for {topic}, not {brokers:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of the brokers in the route of `topic` at `namesrv`, sorted; empty without a route. A bare frame, so that
/// no client's cache is in between.
pub fn route(namesrv: SocketAddr, topic: &str) -> Vec<String> {
    let header = serde_json::json!({
        "code": 105, "flag": 0, "language": "JAVA", "opaque": 1, "serializeTypeCurrentRPC": "JSON", "version": 399,
        "extFields": {"topic": topic, "acceptStandardJsonOnly": "true"},
    })
    .to_string();
    let ask = || -> std::io::Result<serde_json::Value> {
        let mut stream = TcpStream::connect_timeout(&namesrv, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
        frame.extend((header.len() as u32).to_be_bytes());
        frame.extend(header.as_bytes());
        stream.write_all(&frame)?;
        let mut word = [0; 4];
        stream.read_exact(&mut word)?;
        let mut rest = vec![0; u32::from_be_bytes(word) as usize];
        stream.read_exact(&mut rest)?;
        // The answer's header is JSON as the question was; the body follows it.
        let length = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        Ok(serde_json::from_slice(&rest[4 + length..]).unwrap_or_default())
    };
    let body = ask().unwrap_or_default();
    let mut names: Vec<String> = body["brokerDatas"]
        .as_array()
        .map(|brokers| brokers.iter().filter_map(|broker| broker["brokerName"].as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    names.sort();
    names
}
