//! `docs/migrate.md`, followed with a real Java broker and a real Java name server: every command of the page, in its
//! order, and between them that no message is lost on the way there or back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::clients::{consume_at, messages, same_messages, send_at};
use crate::cluster::local;
use crate::peers::{Client, Event, Folder, Process, free_port, java, java_home, peer, wait_for_port, wait_for_route};

const CLIENT: Client = Client::Java("4.9.7");
const TOPIC: &str = "migrated";

/// What the page has its reader type: in an `sh` block here, in a `text` block at Java's installation.
enum Typed {
    Here(String),
    Java(String),
}

fn commands() -> Vec<Typed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrate.md");
    let text = fs::read_to_string(page).expect("the page");
    let mut inside = "";
    let mut typed = Vec::new();
    for line in text.lines() {
        match line {
            "```sh" | "```text" => inside = line,
            "```" => inside = "",
            _ if inside == "```sh" => typed.push(Typed::Here(line.to_owned())),
            _ if inside == "```text" => typed.push(Typed::Java(line.to_owned())),
            _ => {}
        }
    }
    typed
}

struct Machine {
    version: &'static str,
    namesrv_port: u16,
    broker_port: u16,
    namesrv: Option<Process>,
    broker: Option<Process>,
    // Dropped last.
    folder: Folder,
}

impl Machine {
    fn start(version: &'static str) -> Machine {
        let folder = Folder::new("migrate");
        let (namesrv_port, broker_port) = (free_port(), free_port());
        let text = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nbrokerRole=ASYNC_MASTER\n\
             flushDiskType=ASYNC_FLUSH\ndeleteWhen=04\nfileReservedTime=48\nbrokerIP1=127.0.0.1\nlistenPort={broker_port}\n\
             storePathRootDir=store\nregisterNameServerPeriod=10000\ndiskMaxUsedSpaceRatio=99\n\
             mappedFileSizeCommitLog=16777216\nmappedFileSizeConsumeQueue=600000\nmaxIndexNum=200000\n\
             maxHashSlotNum=50000\ntimerWheelEnable=false\n"
        );
        fs::write(folder.path().join("broker.conf"), text).expect("the folder is ours");
        fs::write(folder.path().join("namesrv.conf"), format!("listenPort={namesrv_port}\n")).expect("ours");
        let mut machine = Machine { version, namesrv_port, broker_port, namesrv: None, broker: None, folder };
        machine.asks_java("nohup sh bin/mqnamesrv &");
        machine.asks_java("nohup sh bin/mqbroker -n 127.0.0.1:9876 -c broker.conf &");
        wait_for_route(local(namesrv_port), "TBW102", &["broker-a"]);
        machine
    }

    fn namesrv(&self) -> String {
        local(self.namesrv_port).to_string()
    }

    fn asks_java(&mut self, line: &str) {
        match line.split_whitespace().nth(2) {
            Some("namesrv") => drop(self.namesrv.take().map(|mut process| process.stop())),
            Some("broker") => drop(self.broker.take().map(|mut process| process.stop())),
            Some("bin/mqnamesrv") => {
                let arguments = ["org.apache.rocketmq.namesrv.NamesrvStartup", "-c", "namesrv.conf"];
                self.namesrv = Some(self.java("java-namesrv", &arguments, self.namesrv_port));
            }
            Some("bin/mqbroker") => {
                let namesrv = self.namesrv();
                let arguments = ["org.apache.rocketmq.broker.BrokerStartup", "-n", &namesrv, "-c", "broker.conf"];
                self.broker = Some(self.java("java-broker", &arguments, self.broker_port));
            }
            _ => panic!("`{line}` is no command of Java's that is known here"),
        }
    }

    fn java(&self, name: &str, arguments: &[&str], port: u16) -> Process {
        let home = java_home(self.version, &self.folder.path().join(name));
        let mut command = java(self.folder.path());
        command.args(["-Xmx768m", "-XX:MaxDirectMemorySize=512m"]).env("ROCKETMQ_HOME", &home);
        command.arg("-cp").arg(format!("{}/lib/*", peer(&format!("server-{}", self.version)).display()));
        let mut process = Process::start(name, command.args(arguments), self.folder.path());
        wait_for_port(local(port), &mut process);
        process
    }

    /// A command of the page, in a shell that finds `rocketmq`.
    fn types(&self, line: &str) {
        let program =
            Path::new(env!("CARGO_BIN_EXE_rocketmq")).parent().expect("it is in a folder").display().to_string();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
        let line = line.replace(":9876", &format!(":{}", self.namesrv_port));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("PATH", path).env("HOME", self.folder.path()).env_remove("NAMESRV_ADDR");
        shell.env("ROCKETMQ__METRICS__LISTEN", "off");
        shell.env("RUNTIME_DIRECTORY", self.folder.path().join("run")).stdin(Stdio::null());
        let output = shell.current_dir(self.folder.path()).output().expect("a shell");
        assert!(output.status.success(), "`{line}`: {output:?}");
    }

    fn send(&self, more: &[(&str, &str)]) -> Vec<Event> {
        send_at(&self.namesrv(), self.folder.path(), CLIENT, TOPIC, more)
    }

    fn has_exactly(&self, sent: &[Event]) {
        wait_for_route(local(self.namesrv_port), TOPIC, &["broker-a"]);
        let reader = [("group", "reading_group"), ("topic", TOPIC)];
        let heard = consume_at(&self.namesrv(), self.folder.path(), CLIENT, "pull", &reader).finish();
        same_messages(CLIENT, sent, &messages(&heard));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What the page would have stopped, if it was not followed to its end.
        for file in fs::read_dir(self.folder.path().join("run")).into_iter().flatten().flatten() {
            let pid = fs::read_to_string(file.path()).unwrap_or_default();
            drop(Command::new("kill").args(["-9", pid.trim()]).status());
        }
    }
}

fn the_page_takes_over_a_broker_and_gives_it_back(version: &'static str) {
    let mut machine = Machine::start(version);
    let mut sent = machine.send(&[("sync", "100"), ("batch", "8"), ("big", "4")]);
    machine.has_exactly(&sent);
    let mut runs_of_ours = 0;
    for typed in commands() {
        match typed {
            Typed::Java(line) => {
                machine.asks_java(&line);
                if line.contains("mqbroker") {
                    machine.has_exactly(&sent);
                }
            }
            Typed::Here(line) => {
                machine.types(&line);
                if line.contains("broker") && line.contains(" --daemon") {
                    runs_of_ours += 1;
                    machine.has_exactly(&sent);
                    sent.extend(machine.send(&[("sync", "20"), ("from", &(runs_of_ours * 1000).to_string())]));
                }
            }
        }
    }
    assert_eq!(runs_of_ours, 2, "with Java's file and with one of its own");
    wait_for_route(local(machine.namesrv_port), TOPIC, &["broker-a"]);
    sent.extend(machine.send(&[("sync", "20"), ("from", "9000")]));
    machine.has_exactly(&sent);
}

#[test]
fn a_java_4_9_7_broker_is_taken_over_and_given_back_as_the_page_says() {
    the_page_takes_over_a_broker_and_gives_it_back("4.9.7");
}

#[test]
fn a_java_5_3_3_broker_is_taken_over_and_given_back_as_the_page_says() {
    the_page_takes_over_a_broker_and_gives_it_back("5.3.3");
}
