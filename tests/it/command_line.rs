//! The command line and configuration files: what is refused, and that a refusal is one clear line per problem and
//! touches nothing.

use std::net::TcpListener;

use crate::harness::{Folder, Ports, Said, Server, run};

fn refused(said: &Said, code: i32, lines: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    let told: Vec<_> = said.stderr.lines().collect();
    assert_eq!(told.len(), lines.len(), "one line per problem: {said:?}");
    for (told, expected) in told.iter().zip(lines) {
        assert!(told.starts_with("rocketmq") && told.contains(expected), "`{told}` does not say `{expected}`");
    }
    assert_eq!(said.stdout, "");
}

#[test]
fn help_and_version_are_printed_and_every_command_has_help() {
    let home = Folder::new("help");
    let help = run(home.path(), &["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in ["dev", "namesrv", "broker"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        let own = run(home.path(), &[command, "--help"]);
        assert!(own.code == Some(0) && own.stdout.contains("--data"), "{own:?}");
    }
    assert_eq!(run(home.path(), &["--version"]).stdout, format!("rocketmq {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run(home.path(), &[]).code, Some(2));
}

#[test]
fn bad_flags_and_values_are_one_line_each() {
    let home = Folder::new("flags");
    let check = |args: &[&str], line: &str| refused(&run(home.path(), args), 2, &[line]);
    check(&["dev", "--dta", "x"], "'--data'");
    check(&["brokr"], "'broker'");
    check(&["dev", "--broker-port", "2"], "2 is not in 3..=65535");
    check(&["dev", "--broker-port", "x"], "x");
    check(&["dev", "--advertise", "0.0.0.0"], "clients cannot connect to it");
    check(&["dev", "--advertise", "host"], "an IPv4 address");
    check(&["broker", "-n", "host"], "`host` is not HOST:PORT");
    check(&["namesrv", "--listen", "9876"], "accepted are IP:PORT, IP and :PORT");
    assert!(home.names().is_empty(), "nothing is touched");
}

#[test]
fn ports_in_use_are_all_told_at_once_with_their_holder_and_nothing_is_touched() {
    let home = Folder::new("ports");
    let ports = Ports::free();
    let _namesrv = TcpListener::bind(("0.0.0.0", ports.namesrv)).expect("free");
    let _broker = TcpListener::bind(("0.0.0.0", ports.broker)).expect("free");
    let said = run(
        home.path(),
        &["dev", "--namesrv-port", &ports.namesrv.to_string(), "--broker-port", &ports.broker.to_string()],
    );
    let holder = format!("in use by process {}", std::process::id());
    let line = |port: u16| format!("port {port} is {holder}");
    refused(&said, 1, &[&line(ports.namesrv), &line(ports.broker)]);
    assert!(home.names().is_empty(), "nothing is touched: {:?}", home.names());
}

#[test]
fn a_data_folder_that_cannot_be_used_is_refused() {
    let home = Folder::new("folder");
    let ports = Ports::free();
    home.file("file", "not a folder");
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let said = run(home.path(), &["dev", "--data", "file", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.lines().all(|line| line.contains("Not a directory") || line.contains("is a file")), "{said:?}");
    assert_eq!(home.names(), ["file"]);
}

#[test]
fn a_store_in_use_is_refused_with_the_pid_of_its_holder() {
    let home = Folder::new("locked");
    let (first, second) = (Ports::free(), Ports::free());
    let start = |ports: Ports| {
        ["dev", "--namesrv-port", &ports.namesrv.to_string(), "--broker-port", &ports.broker.to_string()]
            .map(str::to_owned)
    };
    let args = start(first);
    let server = Server::start(home.path(), &args.each_ref().map(String::as_str));
    let said = run(home.path(), &start(second).each_ref().map(String::as_str));
    refused(&said, 1, &[&format!("rocketmq-data/store is in use by process {} (rocketmq)", server.pid())]);
    server.stop();
}

#[test]
fn a_configuration_is_refused_with_all_its_problems_by_line_and_touches_nothing() {
    let home = Folder::new("refused");
    home.file(
        "broker.conf",
        "brokerName=broker-x\nbrokerRole=SLAVE\nflushDiskType=SOMETIMES\naclEnable=true\nenableDLegerCommitLog=true\n\
         enableControllerMode=true\ntls.server.mode=enforcing\nlistenPort=70000\nautoCreateTopicEnable=flase\n",
    );
    let said = run(home.path(), &["broker", "-n", "127.0.0.1:9876", "-c", "broker.conf", "--data", "store"]);
    refused(
        &said,
        1,
        &[
            "broker.conf:2: brokerRole=SLAVE: accepted: ASYNC_MASTER and SYNC_MASTER; replication (SLAVE) is not",
            "broker.conf:3: flushDiskType=SOMETIMES: accepted: ASYNC_FLUSH and SYNC_FLUSH",
            "broker.conf:4: aclEnable=true: access control is not built yet",
            "broker.conf:5: enableDLegerCommitLog=true: DLedger",
            "broker.conf:6: enableControllerMode=true: controller mode",
            "broker.conf:7: tls.server.mode=enforcing: TLS",
            "broker.conf:8: listenPort=70000: accepted is a whole number from 3 to 65535",
            "broker.conf:9: autoCreateTopicEnable=flase: accepted are true and false",
        ],
    );
    assert_eq!(home.names(), ["broker.conf"]);
    let said = run(home.path(), &["broker", "-c", "missing.conf"]);
    refused(&said, 1, &["missing.conf: No such file"]);
}
