//! `/metrics`, `/livez` and `/readyz`, as an operator's probes see them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::{Duration, Instant};

use rocketmq::wire::message::{self, NewRecord};

use crate::harness::{Folder, Ports, Server, rocketmq, run};

/// Status and body of `GET path`.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    if path == "/metrics" {
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    }
    (status, body.to_owned())
}

/// The port that the start report names.
fn reported(server: &Server) -> u16 {
    let line = server.wait_for("/metrics, and /livez, /readyz");
    let (_, rest) = line.split_once("http://").expect("an address");
    rest.split(['/', ':']).nth(1).and_then(|port| port.parse().ok()).expect("a port")
}

fn dev(ports: Ports, metrics: &str) -> Vec<String> {
    [
        "dev",
        "--namesrv-port",
        &ports.namesrv.to_string(),
        "--broker-port",
        &ports.broker.to_string(),
        "--metrics",
        metrics,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn start(home: &Folder, args: &[String]) -> Server {
    Server::start(home.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn dev_serves_metrics_of_both_roles_where_its_report_says_and_is_live_and_ready() {
    let home = Folder::new("metrics");
    let server = start(&home, &dev(Ports::free(), "127.0.0.1:0"));
    let port = reported(&server);
    assert_eq!(get(port, "/livez"), (200, "ok\n".to_owned()));
    let (status, body) = get(port, "/readyz");
    let expected = "ok   recovery: done\nok   registered: at every name server\nok   disk: can be written\nready\n";
    assert_eq!((status, body.as_str()), (200, expected));
    let (status, text) = get(port, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "rocketmq_ready 1",
        "rocketmq_recovery_done_ratio 1",
        "rocketmq_namesrv_brokers{cluster=\"DefaultCluster\",broker=\"broker-a\"} 1",
        "rocketmq_store_writable{cluster=\"DefaultCluster\",broker=\"broker-a\"} 1",
        "rocketmq_held_pulls{cluster=\"DefaultCluster\",broker=\"broker-a\"} 0",
        "# TYPE rocketmq_store_flush_seconds histogram",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), distinct.len(), "each metric once");
    assert_eq!(get(port, "/nothing").0, 404);
    server.stop();
}

#[test]
fn a_taken_port_is_a_warning_in_dev_and_an_error_that_names_the_holder_where_it_was_asked_for() {
    let home = Folder::new("metrics-taken");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let place = format!("127.0.0.1:{port}");
    let warning = format!("no metrics are served: cannot listen on {place}");
    let args = dev(Ports::free(), &place);
    let server = Server::spawn(home.path(), &args.iter().map(String::as_str).collect::<Vec<_>>()).announce(&warning);
    server.wait_for(&warning);
    server.wait_for(" is ready");
    server.stop();

    let ports = Ports::free();
    home.file(
        "n.toml",
        &format!(
            "[namesrv]\nlisten = \"127.0.0.1:{}\"\ndata = \"ns\"\n[metrics]\nlisten = \"{place}\"\n",
            ports.namesrv
        ),
    );
    let mut command = crate::harness::rocketmq(home.path());
    command.env_remove("ROCKETMQ__METRICS__LISTEN").args(["run", "-c", "n.toml"]);
    let output = command.output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{told}");
    let expected = format!("rocketmq n: metrics: port {port} is in use by process {} ", std::process::id());
    assert!(told.starts_with(&expected) && told.contains("[metrics] listen"), "{told}");
    let listen = format!("127.0.0.1:{}", ports.namesrv);
    let said = run(home.path(), &["namesrv", "--listen", &listen, "--data", "ns", "--metrics", &place]);
    assert!(said.code == Some(1) && said.stderr.contains(&format!("metrics: port {port} is in use")), "{said:?}");
}

#[test]
fn a_broker_without_its_name_server_is_live_and_not_ready_until_it_is_there() {
    let home = Folder::new("metrics-alone");
    let ports = Ports::free();
    let (namesrv, listen) = (format!("127.0.0.1:{}", ports.namesrv), format!("127.0.0.1:{}", ports.broker));
    let place = format!("127.0.0.1:{}", ports.metrics());
    let args = ["broker", "-n", &namesrv, "--listen", &listen, "--data", "store", "--metrics", &place];
    let broker = Server::spawn(home.path(), &args).announce("not registered").announce("not every name server");
    broker.wait_for(" is ready");
    assert_eq!(get(ports.metrics(), "/livez").0, 200);
    let (status, body) = get(ports.metrics(), "/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains(&format!("FAIL registered: no name server has this broker: {namesrv}\n")), "{body}");
    assert!(body.contains("ok   recovery: done\n") && body.ends_with("not ready\n"), "{body}");
    assert!(get(ports.metrics(), "/metrics").1.contains("rocketmq_ready 0\n"));
    let server = Server::start(home.path(), &["namesrv", "--listen", &namesrv, "--data", "ns"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while get(ports.metrics(), "/readyz").0 != 200 {
        assert!(Instant::now() < deadline, "{}", get(ports.metrics(), "/readyz").1);
        std::thread::sleep(Duration::from_millis(100));
    }
    broker.stop();
    server.stop();
}

#[test]
fn a_name_server_alone_tells_the_signs_of_life_of_its_loop_and_needs_no_broker_to_be_ready() {
    let home = Folder::new("metrics-stuck");
    let ports = Ports::free();
    let (listen, place) = (format!("127.0.0.1:{}", ports.namesrv), format!("127.0.0.1:{}", ports.metrics()));
    let server = Server::start(home.path(), &["namesrv", "--listen", &listen, "--data", "ns", "--metrics", &place]);
    // A sign of life is less than a second old, unless the machine lets the server wait.
    let part = format!("rocketmq_silent_seconds{{part=\"event loop 0 of port {}\"}} 0.", ports.namesrv);
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = loop {
        let text = get(ports.metrics(), "/metrics").1;
        if text.contains(&part) {
            break text;
        }
        assert!(Instant::now() < deadline, "no {part}: {text}");
    };
    assert!(!text.contains("rocketmq_recovery_done_ratio"), "a name server recovers nothing");
    assert_eq!(get(ports.metrics(), "/readyz"), (200, "ready\n".to_owned()));
    server.stop();
}

/// A commit log of a broker that was killed, large for reading and small on the disk: the bodies are holes.
fn sparse_log(dir: &Path, files: u64) {
    const FILE_LEN: u64 = 1 << 30;
    const BODY_LEN: usize = (4 << 20) - 4096;
    const BODY_AT: usize = 88;
    let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
    let record = NewRecord {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &vec![0; BODY_LEN],
        properties: b"",
    };
    let mut bytes = Vec::new();
    let len = message::encode(&mut bytes, &record).expect("a sound record") as u64;
    std::fs::create_dir_all(dir.join("commitlog")).expect("a folder");
    let mut number = 0;
    for start in (0..files).map(|file| file * FILE_LEN) {
        let file = File::create(dir.join(format!("commitlog/{start:020}"))).expect("a file");
        file.set_len(FILE_LEN).expect("a hole");
        let mut at = 0;
        while at + len + 8 <= FILE_LEN {
            message::patch(&mut bytes, number, start + at, 1_700_000_000_000);
            file.write_all_at(&bytes[..BODY_AT], at).expect("room");
            file.write_all_at(&bytes[BODY_AT + BODY_LEN..], at + (BODY_AT + BODY_LEN) as u64).expect("room");
            at += len;
            number += 1;
        }
        let blank = [(FILE_LEN - at) as u32, message::MAGIC_BLANK].map(u32::to_be_bytes).concat();
        file.write_all_at(&blank, at).expect("room");
    }
    std::fs::write(dir.join("abort"), "4711").expect("room");
}

#[test]
fn while_a_large_store_recovers_the_service_manager_the_log_the_probes_and_the_metrics_say_how_far_it_is() {
    const GIBIBYTES: u64 = 64;
    let home = Folder::new("metrics-recovery");
    sparse_log(&home.join("store"), GIBIBYTES);
    let percent = |text: &str| -> u64 {
        let (_, rest) = text.split_once("checking the commit log, ").unwrap_or_else(|| panic!("{text}"));
        rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    // Killed in the middle of it, it begins again.
    for round in 0..2 {
        let name = format!("rocketmq-recovery-{}-{round}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let manager = UnixDatagram::bind_addr(&address).expect("nobody has it");
        manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let ports = Ports::free();
        let (namesrv, listen) = (format!("127.0.0.1:{}", ports.namesrv), format!("127.0.0.1:{}", ports.broker));
        let place = format!("127.0.0.1:{}", ports.metrics());
        let mut command = rocketmq(home.path());
        command.args(["broker", "-n", &namesrv, "--listen", &listen, "--data", "store", "--metrics", &place]);
        let broker = Server::watch(command.env("NOTIFY_SOCKET", format!("@{name}")));
        let heard = || {
            let mut buf = [0; 1024];
            let len = manager.recv(&mut buf).expect("the manager is told");
            String::from_utf8_lossy(&buf[..len]).into_owned()
        };
        let status = heard();
        assert!(status.starts_with("STATUS=recovery: ") && status.contains(" % of 65536 MiB"), "{status}");
        let (code, body) = get(ports.metrics(), "/readyz");
        assert!(code == 503 && body.starts_with("FAIL recovery: checking the commit log, "), "{code} {body}");
        assert!((percent(&status)..100).contains(&percent(&body)), "{status}, then {body}");
        let text = get(ports.metrics(), "/metrics").1;
        let figure = |name: &str| -> f64 {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            line.trim().parse().expect("a number")
        };
        assert_eq!(figure("rocketmq_ready "), 0.0);
        let done = figure("rocketmq_recovery_done_ratio ");
        assert!(done > 0.0 && done < 1.0, "{done}");
        assert_eq!(get(ports.metrics(), "/livez").0, 200, "a recovery is no reason to be restarted");
        broker.wait_for("store: recovery: checking the commit log, ");
        let next = heard();
        assert!(percent(&next) >= percent(&status), "{status}, then {next}");
        // It gets on, and is given the time.
        assert!(next.ends_with("\nEXTEND_TIMEOUT_USEC=300000000"), "{next}");
        broker.kill();
    }
}
