//! The cluster under test: `rocketmq dev`, or Java's servers when a test is to be proved itself.
//! It must never know which client talks to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::peers::{Folder, JavaServer, Process, free_port, wait_for_port, wait_for_route};

/// A name server and a broker of ours or of Java's, stopped when dropped.
pub struct Cluster {
    /// The name server's address as clients take it.
    pub namesrv: String,
    /// Where the broker listens.
    pub broker: SocketAddr,
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
        Cluster { namesrv: local(namesrv).to_string(), broker: local(broker), _processes: vec![process], folder }
    }

    /// `rocketmq namesrv` and `rocketmq broker` with these lines in its `broker.conf`.
    pub fn configured(name: &str, lines: &[(&str, &str)]) -> Cluster {
        let folder = Folder::new(name);
        if let Some(version) = reference() {
            return Cluster::java(&version, folder, lines);
        }
        let (namesrv, address) = our_namesrv(&folder);
        let (process, broker) = our_broker(&folder, &address.to_string(), &folder.path().join("store"), lines);
        wait_for_route(address, "TBW102", &["broker-a"]);
        Cluster { namesrv: address.to_string(), broker, _processes: vec![process, namesrv], folder }
    }

    /// Java's servers of a version.
    pub fn of_java(version: &str, name: &str) -> Cluster {
        Cluster::java(version, Folder::new(name), &[])
    }

    fn java(version: &str, folder: Folder, lines: &[(&str, &str)]) -> Cluster {
        let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
        let address = namesrv.address.to_string();
        let broker =
            JavaServer::broker(version, folder.path(), "broker", &folder.path().join("store"), &address, lines);
        wait_for_route(namesrv.address, "TBW102", &["broker-a"]);
        let processes = vec![broker.process, namesrv.process];
        Cluster { namesrv: address, broker: broker.address, _processes: processes, folder }
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

/// What a command of `rocketmq admin` prints at the cluster behind `namesrv`; fails when the command does.
pub fn admin(namesrv: &str, folder: &Path, words: &[&str]) -> String {
    let output =
        rocketmq().arg("admin").args(words).args(["-n", namesrv]).current_dir(folder).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {out}{err}");
    out.into_owned()
}

/// `rocketmq broker` on a free port, named broker-a unless `lines` say otherwise, its store in `store_root`.
pub fn our_broker(folder: &Folder, namesrv: &str, store_root: &Path, lines: &[(&str, &str)]) -> (Process, SocketAddr) {
    let address = local(free_port());
    let name = lines.iter().find(|(key, _)| *key == "brokerName").map_or("broker-a", |(_, name)| name);
    let configuration = folder.path().join(format!("our-{name}.conf"));
    let mut text = format!("brokerName={name}\nbrokerIP1=127.0.0.1\n");
    let others = lines.iter().filter(|(key, _)| *key != "brokerName");
    text.extend(others.map(|(key, value)| format!("{key}={value}\n")));
    std::fs::write(&configuration, text).expect("a broker.conf");
    let mut command = rocketmq();
    command.args(["broker", "-n", namesrv, "--listen", &address.to_string()]).arg("-c").arg(&configuration);
    command.arg("--data").arg(store_root);
    let mut process = Process::start(&format!("our-{name}"), &mut command, folder.path());
    wait_for_port(address, &mut process);
    (process, address)
}

/// The binary under test. Many run at once; a test of metrics asks for a port of its own.
pub fn rocketmq() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketmq"));
    command.env("ROCKETMQ__METRICS__LISTEN", "off");
    command
}

/// `127.0.0.1:port`.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
