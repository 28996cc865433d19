//! Starts and stops: what the report says, and that every stop is a clean one.

use std::net::TcpStream;

use crate::harness::{Folder, Ports, Server};

fn dev(home: &Folder, ports: Ports) -> Server {
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker])
}

#[test]
fn the_start_report_says_what_listens_what_is_advertised_where_the_data_is_and_what_to_do_next() {
    let home = Folder::new("report");
    let ports = Ports::free();
    let server = dev(&home, ports);
    server.wait_for("Ctrl-C");
    let said = server.said();
    for expected in [
        format!("0.0.0.0:{}", ports.namesrv),
        format!("0.0.0.0:{}", ports.broker),
        format!("0.0.0.0:{}", ports.broker - 2),
        format!("127.0.0.1:{}", ports.broker),
        "--advertise".to_owned(),
        home.join("rocketmq-data/store").display().to_string(),
        home.join("rocketmq-data/namesrv").display().to_string(),
        "stderr".to_owned(),
        format!("NAMESRV_ADDR=127.0.0.1:{}", ports.namesrv),
    ] {
        assert!(said.contains(&expected), "the report does not say {expected}:\n{said}");
    }
    for port in [ports.namesrv, ports.broker, ports.broker - 2] {
        TcpStream::connect(("127.0.0.1", port)).expect("it listens when it says so");
    }
    server.stop();
}

#[test]
fn both_signals_stop_cleanly_and_the_folder_can_be_started_again() {
    let home = Folder::new("signals");
    let ports = Ports::free();
    for signal in ["INT", "TERM"] {
        let server = dev(&home, ports);
        assert!(home.join("rocketmq-data/store/abort").exists(), "a running store has its abort file");
        server.signal(signal);
        server.wait_for("stopped");
        server.ends();
        assert!(!home.join("rocketmq-data/store/abort").exists(), "a clean stop removes the abort file");
    }
}

#[test]
fn a_name_server_and_a_broker_start_as_processes_of_their_own() {
    let home = Folder::new("apart");
    let ports = Ports::free();
    let namesrv =
        Server::start(home.path(), &["namesrv", "--listen", &format!("127.0.0.1:{}", ports.namesrv), "--data", "ns"]);
    home.file(
        "broker.conf",
        "brokerClusterName=Here\nbrokerName=there\nmapedFileSizeCommitLog=1048576\nsendMessageThreadPoolNums=8\n",
    );
    let broker = Server::start(
        home.path(),
        &[
            "broker",
            "-n",
            &format!("127.0.0.1:{}", ports.namesrv),
            "-c",
            "broker.conf",
            "--listen",
            &format!("127.0.0.1:{}", ports.broker),
            "--data",
            "store",
        ],
    );
    broker.wait_for("there of Here");
    assert!(home.join("store/commitlog").is_dir());
    broker.stop();
    assert!(home.join("store/config/topics.json").is_file());
    namesrv.stop();
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_name_and_does_not_stop_the_start() {
    let home = Folder::new("unknown");
    let ports = Ports::free();
    home.file("broker.conf", "flushDiskTyp=SYNC_FLUSH\n");
    let listen = format!("127.0.0.1:{}", ports.broker);
    let server = Server::spawn(home.path(), &["broker", "-c", "broker.conf", "--listen", &listen, "--data", "store"])
        .announce("broker.conf:1: flushDiskTyp")
        .announce("no name server");
    server.wait_for(
        "broker.conf:1: flushDiskTyp is no key that is known here, it changes nothing; did you mean flushDiskType?",
    );
    server.wait_for(" is ready");
    server.stop();
}
