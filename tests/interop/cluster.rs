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
    _broker: Option<JavaServer>,
    _first: Process,
    folder: Folder,
}

impl Cluster {
    /// `rocketmq dev` on an empty folder; with `INTEROP_REFERENCE` Java's servers instead.
    pub fn start(name: &str) -> Cluster {
        let folder = Folder::new(name);
        match std::env::var("INTEROP_REFERENCE") {
            Ok(version) => Cluster::java(&version, folder),
            Err(_) => Cluster::dev(folder),
        }
    }

    fn dev(folder: Folder) -> Cluster {
        let (namesrv, broker) = (free_port(), free_port());
        let data = folder.path().join("data");
        let mut command = rocketmq();
        command.arg("dev").arg("--data").arg(&data).args([
            "--namesrv-port",
            &namesrv.to_string(),
            "--broker-port",
            &broker.to_string(),
        ]);
        command.args(["--advertise", "127.0.0.1"]);
        let mut process = Process::start("dev", &mut command, folder.path());
        wait_for_port(local(namesrv), &mut process);
        wait_for_port(local(broker), &mut process);
        wait_for_route(local(namesrv), "TBW102", &["broker-a"]);
        Cluster { namesrv: local(namesrv).to_string(), _broker: None, _first: process, folder }
    }

    fn java(version: &str, folder: Folder) -> Cluster {
        let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
        let address = namesrv.address.to_string();
        let broker = JavaServer::broker(version, folder.path(), "broker", &folder.path().join("store"), &address, &[]);
        wait_for_route(namesrv.address, "TBW102", &["broker-a"]);
        Cluster { namesrv: address, _broker: Some(broker), _first: namesrv.process, folder }
    }

    /// Where logs go.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
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
