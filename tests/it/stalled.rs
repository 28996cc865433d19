//! Peers that announce much and bring little cost little, and nobody else notices them.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{Folder, Ports, Server, run};

const CONNECTIONS: usize = 1000;
/// 16 MiB with its length field, the largest that is allowed.
const ANNOUNCED: u32 = (16 << 20) - 4;
const RESIDENT_MAX_KIB: u64 = 64 * 1024;

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_thousand_connections_that_announce_sixteen_mebibytes_and_stall_cost_at_most_sixty_four() {
    let folder = Folder::new("stalled");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let data = folder.join("data");
    let server = Server::start(
        folder.path(),
        &["dev", "--data", &data.to_string_lossy(), "--namesrv-port", &namesrv, "--broker-port", &broker],
    );
    let before = resident_kib(server.pid());
    let stalled: Vec<_> = (0..CONNECTIONS)
        .map(|index| {
            let port = [ports.broker, ports.broker - 2, ports.namesrv][index % 3];
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
            stream.write_all(&ANNOUNCED.to_be_bytes()).expect("the server reads");
            stream.write_all(&300_u32.to_be_bytes()).expect("the server reads");
            stream.write_all(&[b' '; 300]).expect("the server reads");
            stream
        })
        .collect();
    let address = format!("127.0.0.1:{broker}");
    let said = run(
        folder.path(),
        &[
            "bench",
            "send",
            "--broker",
            &address,
            "--connections",
            "4",
            "--seconds",
            "1",
            "--size",
            "100",
            "--output",
            "json",
        ],
    );
    assert!(said.stdout.contains("\"refused\":{}"), "{} {}", said.stdout, said.stderr);
    let grown = resident_kib(server.pid()).saturating_sub(before);
    assert!(grown <= RESIDENT_MAX_KIB, "{grown} KiB");
    drop(stalled);
    server.stop();
}
