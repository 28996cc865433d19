//! Daemons: how an operator starts, watches, reloads and stops processes in the background, and how they end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rocketmq::wire::codes::{request, response};
use rocketmq::wire::command::Value;

use crate::harness::{Folder, Ports, Said, Server, rocketmq, run};
use crate::session::Session;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Stops a daemon if a test fails before it did.
struct Daemon<'a> {
    home: &'a Folder,
    stopped: bool,
}

impl Daemon<'_> {
    fn stop(mut self) {
        self.stopped = true;
        let said = run(self.home.path(), &["stop", "broker", "--pid-file", "broker.pid"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), "broker: stopped\n"), "{said:?}");
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if !self.stopped {
            run(self.home.path(), &["stop", "broker", "--pid-file", "broker.pid"]);
        }
    }
}

#[test]
fn a_daemon_is_ready_when_its_command_returns_and_can_be_watched_reloaded_and_stopped() {
    let home = Folder::new("daemon");
    let ports = Ports::free();
    home.file("broker.conf", "brokerName=d\n");
    let listen = format!("127.0.0.1:{}", ports.broker);
    let start = ["broker", "-c", "broker.conf", "--listen", &listen, "--data", "store", "--log-dir", "logs"];
    let start = [&start[..], &["--pid-file", "broker.pid", "--daemon"]].concat();
    let said = run(home.path(), &start);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains(" is ready") && said.stdout.contains("in the background as process"), "{said:?}");
    let daemon = Daemon { home: &home, stopped: false };
    std::net::TcpStream::connect(("127.0.0.1", ports.broker)).expect("it listens");

    let pid = fs::read_to_string(home.join("broker.pid")).expect("a pid file").trim().to_owned();
    let said = run(home.path(), &["status", "broker", "--pid-file", "broker.pid"]);
    assert_eq!((said.code, said.stdout), (Some(0), format!("broker: runs as process {pid}\n")));

    let said = run(home.path(), &start);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains(&format!("it runs already as process {pid} (rocketmq)")), "{said:?}");
    assert!(said.stderr.contains("store is in use by process"), "{said:?}");

    fs::rename(home.join("logs/broker.log"), home.join("logs/put-aside.log")).expect("the folder is ours");
    assert_eq!(run(home.path(), &["reload", "broker", "--pid-file", "broker.pid"]).code, Some(0));
    daemon.stop();
    let log = fs::read_to_string(home.join("logs/broker.log")).expect("a log that was opened anew");
    assert!(log.contains("the log was opened anew") && log.contains("stopped"), "{log}");
    let log = fs::read_to_string(home.join("logs/put-aside.log")).expect("a log");
    assert!(log.contains("The broker[d, ") && log.contains("] boot success."), "{log}");
    assert!(!home.join("broker.pid").exists() && !home.join("store/abort").exists());
    let said = run(home.path(), &["status", "broker", "--pid-file", "broker.pid"]);
    assert!(said.code == Some(1) && said.stderr.contains("broker does not run"), "{said:?}");
}

#[test]
fn a_daemon_that_cannot_start_returns_its_error() {
    let home = Folder::new("daemon-error");
    home.file("broker.conf", "brokerRole=SLAVE\n");
    let said = run(home.path(), &["broker", "-c", "broker.conf", "--daemon", "--pid-file", "x.pid"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.starts_with("rocketmq broker: broker.conf:1: brokerRole=SLAVE"), "{said:?}");
    assert_eq!(home.names(), ["broker.conf"]);
}

#[test]
fn a_daemon_works_where_it_was_told_and_keeps_its_files_from_others() {
    let home = Folder::new("daemon-place");
    let ports = Ports::free();
    fs::create_dir(home.join("work")).expect("the folder is ours");
    home.file("work/broker.conf", "brokerName=d\nbindAddress=127.0.0.1\n");
    let work = home.join("work").display().to_string();
    let listen = format!("127.0.0.1:{}", ports.broker);
    let start = ["broker", "-c", "broker.conf", "--listen", &listen, "--data", "store", "--log-dir", "logs"];
    let place = ["--daemon", "--pid-file", "../broker.pid", "--working-directory", &work, "--umask", "077"];
    let said = run(home.path(), &[&start[..], &place].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let daemon = Daemon { home: &home, stopped: false };
    let pid = fs::read_to_string(home.join("broker.pid")).expect("a pid file").trim().to_owned();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs"), home.join("work"));
    for file in ["work/store", "work/logs/broker.log", "broker.pid"] {
        let mode = fs::metadata(home.join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    daemon.stop();
    for (flags, told) in [
        (&["--umask", "8"][..], "octal numbers from 000 to 777"),
        (&["--umask", "022"], "--daemon"),
        (&["--daemon", "--working-directory", "nowhere"], "nowhere"),
    ] {
        let said = run(home.path(), &[&["namesrv", "--data", "ns"], flags].concat());
        assert!(said.code != Some(0) && said.stderr.contains(told), "{said:?}");
    }
}

#[test]
fn a_terminal_that_closes_does_not_end_a_daemon() {
    let home = Folder::new("daemon-terminal");
    let ports = Ports::free();
    let program = rocketmq(home.path()).get_program().to_string_lossy().into_owned();
    // In a terminal of its own, whose end hangs up whoever belongs to it.
    let line = format!(
        "{program} broker --listen 127.0.0.1:{} --data store --log-dir logs --pid-file broker.pid --daemon",
        ports.broker
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(home.path()).env("HOME", home.path());
    terminal.env("ROCKETMQ__METRICS__LISTEN", "off");
    let output = terminal.env_remove("NAMESRV_ADDR").stdin(std::process::Stdio::null()).output().expect("script");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("in the background as process"), "{output:?}");
    let daemon = Daemon { home: &home, stopped: false };
    let said = run(home.path(), &["status", "broker", "--pid-file", "broker.pid"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    std::net::TcpStream::connect(("127.0.0.1", ports.broker)).expect("it listens");
    daemon.stop();
}

#[test]
fn a_process_that_aborts_says_why_on_its_last_line() {
    let home = Folder::new("abort");
    let ports = Ports::free();
    let listen = format!("127.0.0.1:{}", ports.broker);
    let start = ["broker", "--listen", &listen, "--data", "store", "--log-dir", "logs", "--pid-file", "broker.pid"];
    let said = run(home.path(), &[&start[..], &["--daemon"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let daemon = Daemon { home: &home, stopped: false };
    let pid = fs::read_to_string(home.join("broker.pid")).expect("a pid file").trim().to_owned();
    let send = ["bench", "send", "--broker", &listen, "-t", "T", "--size", "4000000", "--warmup", "0"];
    let said = run(home.path(), &[&send[..], &["--connections", "1", "--seconds", "0.1"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("Linux says it");
    let size: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    // No more memory than it has: so many large messages cannot be taken in.
    let limit = Command::new("prlimit").args(["--pid", &pid, &format!("--as={}", size << 10)]).status();
    assert!(limit.expect("prlimit").success());
    let said = run(home.path(), &[&send[..], &["--connections", "64", "--seconds", "5"]].concat());
    assert_ne!(said.code, Some(0), "{said:?}");
    let gone = Instant::now() + TIMEOUT;
    while fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
        assert!(Instant::now() < gone, "it still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = fs::read_to_string(home.join("logs/broker.log")).expect("a log");
    // Rust's runtime may add that it prints no backtrace.
    let last = log.lines().rfind(|line| !line.is_empty() && !line.contains("backtrace")).unwrap_or_default();
    assert!(last.starts_with("memory allocation of ") && last.ends_with(" bytes failed"), "{log}");
    std::mem::forget(daemon);
}

#[test]
fn a_stop_sends_producers_elsewhere_answers_held_pulls_and_leaves_everything_durable() {
    let home = Folder::new("drain");
    let ports = Ports::free();
    let namesrv = format!("127.0.0.1:{}", ports.namesrv);
    let name_server = Server::start(home.path(), &["namesrv", "--listen", &namesrv, "--data", "ns"]);
    let address = format!("127.0.0.1:{}", ports.broker);
    let text = format!(
        "[broker]\nname = \"b\"\nlisten = \"{address}\"\nname_servers = [\"{namesrv}\"]\ndrain_time = \"60s\"\n\
         [broker.store]\ndata = \"store\"\n"
    );
    home.file("b.toml", &text);
    let broker = Server::start(home.path(), &["run", "-c", "b.toml"]);
    let asker = Session::new(ports.broker);
    let topic = |name| {
        let ext = [
            ("topic", Value::Str(name)),
            ("defaultTopic", Value::Str("TBW102")),
            ("readQueueNums", Value::I64(1)),
            ("writeQueueNums", Value::I64(1)),
            ("perm", Value::I64(6)),
            ("topicFilterType", Value::Str("SINGLE_TAG")),
        ];
        assert_eq!(asker.ask(request::UPDATE_AND_CREATE_TOPIC, &ext, b"").code, response::SUCCESS);
    };
    topic("Held");
    topic("Sent");
    let pull = std::thread::spawn(move || Session::new(ports.broker).pull("Held", 0, 32, 60_000));
    let sender = Server::spawn(
        home.path(),
        &[
            "bench",
            "send",
            "-n",
            &namesrv,
            "-t",
            "Sent",
            "--seconds",
            "60",
            "--warmup",
            "0",
            "--rate",
            "200",
            "--marks",
        ],
    );
    sender.wait_for("BEGIN");
    broker.signal("TERM");
    broker.wait_for("stopping, within 120 s: SIGTERM");
    // While somebody sends, the route says that nothing is to be sent here; then the broker is gone from it.
    let permission = || {
        let said: Said = run(home.path(), &["admin", "topicRoute", "-n", &namesrv, "-t", "Sent", "--output", "json"]);
        let routes: serde_json::Value = serde_json::from_str(&said.stdout).ok()?;
        routes[0]["queueDatas"][0]["perm"].as_i64()
    };
    let until = Instant::now() + TIMEOUT;
    while permission() != Some(4) {
        assert!(Instant::now() < until, "the permission stays {:?}", permission());
    }
    sender.kill();
    broker.ends();
    assert_eq!(permission(), None, "it has left the name server");
    let held = pull.join().expect("the puller does not panic");
    assert_eq!(held.code, response::PULL_NOT_FOUND, "{held:?}");
    assert!(!home.join("store/abort").exists());

    let broker = Server::start(home.path(), &["run", "-c", "b.toml"]);
    assert_eq!(permission(), Some(6), "a new start may be written again");
    broker.stop();
    name_server.stop();
}
