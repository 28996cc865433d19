//! Daemons and Java's old commands: how an operator's scripts start, watch and stop processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, Ports, Server, rocketmq, run};

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

/// One of the old commands, under a shell.
fn old_command(shell: &str, name: &str, home: &Folder) -> Command {
    let program = PathBuf::from(rocketmq(home.path()).get_program());
    let mut command = Command::new(shell);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/home/bin").join(name));
    command.env("ROCKETMQ_PROGRAM", program).env("JAVA_OPT", format!("-Xmx8g -Duser.home={}", home.path().display()));
    command.env_remove("NAMESRV_ADDR").env("HOME", "/nonexistent").current_dir(home.path());
    command.env("ROCKETMQ__METRICS__LISTEN", "off");
    command
}

#[test]
fn old_commands_start_the_roles_print_what_scripts_wait_for_and_log_where_java_does() {
    for shell in ["sh", "dash", "bash"] {
        if Command::new(shell).args(["-c", ":"]).status().is_err() {
            continue;
        }
        let home = Folder::new("shims");
        let ports = Ports::free();
        home.file("namesrv.properties", &format!("listenPort={}\nbindAddress=127.0.0.1\n", ports.namesrv));
        home.file("broker.properties", &format!("brokerName=old\nlistenPort={}\nbrokerIP1=127.0.0.1\n", ports.broker));
        let mut command = old_command(shell, "mqnamesrv", &home);
        let namesrv = Server::watch(command.args(["-c", "namesrv.properties"]));
        namesrv.wait_for("The Name Server boot success. serializeType=JSON");
        let mut command = old_command(shell, "runbroker.sh", &home);
        let address = format!("127.0.0.1:{};", ports.namesrv);
        let arguments = ["org.apache.rocketmq.broker.BrokerStartup", "-n", &address, "-c", "broker.properties"];
        let broker = Server::watch(command.args(arguments));
        let expected = format!("The broker[old, 127.0.0.1:{}] boot success. serializeType=JSON", ports.broker);
        broker.wait_for(&expected);
        broker.wait_for("heap and machine flags of JAVA_OPT mean nothing here");

        let mut command = old_command(shell, "mqadmin", &home);
        let output = command.args(["clusterList", "-n", &address]).output().expect("a shell");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && told.contains("old"), "{output:?}");

        broker.stop();
        namesrv.stop();
        let log = fs::read_to_string(home.join("logs/rocketmqlogs/broker.log")).expect("Java's place for logs");
        assert!(log.contains(&expected) && log.contains("stopped"), "{log}");
        assert!(home.join("logs/rocketmqlogs/namesrv.log").is_file() && home.join("store/config").is_dir());
    }
}

#[test]
fn what_old_wrappers_ask_for_by_an_unknown_class_is_refused_by_name() {
    let home = Folder::new("class");
    let output = old_command("sh", "tools.sh", &home).arg("org.example.Nothing").output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("the class 'org.example.Nothing'"), "{told}");
}
