//! The published peers as processes: where `tests/interop/install` put them, how each starts, what it says (JSON lines),
//! and Java name servers and brokers on a folder of the caller's choice.
//! It must never know what a test proves, nor anything of `rocketmq` but that it is one more process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub use crate::own::Folder;
use crate::own::run_of_free_ports;

/// How long anything a peer is expected to do may take before the test fails. Generous: CI has two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// JDK 17 opened up for the netty of old clients and servers.
const OPENS: [&str; 6] = [
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
];

/// Short runs on few cores: the first compiler tier and the smallest collector.
const QUICK: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/// `target/peers/NAME`, or a panic that says how it gets there.
pub fn peer(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let path = target.join("peers").join(name);
    assert!(path.exists(), "{} is missing: run tests/interop/install", path.display());
    path
}

impl Folder {
    /// A new folder under the system's temporary one.
    pub fn new(name: &str) -> Folder {
        Folder::within(&std::env::temp_dir(), &format!("rocketmq-interop-{name}"))
    }
}

/// A port P that nothing listens on, P-2 (the VIP channel) and P+1 (a Java broker's replication) likewise.
pub fn free_port() -> u16 {
    run_of_free_ports() + 2
}

/// Waits until something accepts on `address`, while `process` lives.
pub fn wait_for_port(address: SocketAddr, process: &mut Process) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        if let Some(code) = process.ended() {
            panic!("{} ended with {code} before it listened on {address}", process.name);
        }
        assert!(Instant::now() < deadline, "{} does not listen on {address}", process.name);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A child whose output goes to a file, killed when it is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its standard output and error in `folder/NAME.out`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.out"));
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let again = file.try_clone().expect("a second handle of the log");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Process { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("the state of a child");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for the end and gives the exit code.
    pub fn wait(&mut self, patience: Duration) -> i32 {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(code) = self.ended() {
                return code;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, then waits for the end: how an operator stops it. Gives the exit code.
    pub fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.wait(PATIENCE)
    }

    /// [`Process::stop`] of one that tells by its exit code that all went well.
    pub fn stops_well(&mut self) {
        let code = self.stop();
        assert_eq!(code, 0, "the exit code of {}", self.name);
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running child can be killed");
        self.child.wait().expect("the end of a child");
    }

    fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status().expect("kill runs");
        assert!(status.success(), "{} cannot be sent SIG{signal}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// One of the published clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The Java remoting client of this version.
    Java(&'static str),
    /// client-go v2.1.2.
    Go,
    /// librocketmq of PyPI's `rocketmq` 0.4.4.
    Cpp,
}

impl Client {
    fn command(self, folder: &Path) -> Command {
        match self {
            Client::Java(version) => {
                let home = peer(&format!("client-{version}"));
                let mut command = java(folder);
                command.arg("-Xmx256m").arg("-cp").arg(format!("{0}/classes:{0}/lib/*", home.display())).arg("Peer");
                command
            }
            Client::Go => {
                let mut command = Command::new(peer("go").join("peer"));
                command.env("ROCKETMQ_GO_LOG_LEVEL", "warn");
                command
            }
            Client::Cpp => {
                let mut command = Command::new("python3");
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/cpp/peer.py"));
                command.env("PYTHONPATH", peer("cpp")).env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder);
                command
            }
        }
    }
}

/// A Java virtual machine whose user home (and so its logs) is in `folder`.
pub fn java(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args(OPENS)
        .args(QUICK)
        .arg(format!("-Duser.home={}", folder.display()))
        .arg("-Dfile.encoding=UTF-8")
        .current_dir(folder);
    command
}

/// One line that a client said.
pub type Event = serde_json::Map<String, serde_json::Value>;

/// A running client program.
pub struct Talk {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Event>,
    /// Everything it has said so far.
    pub heard: Vec<Event>,
}

impl Talk {
    /// Starts `client` with a verb and `name=value` arguments.
    pub fn start(client: Client, folder: &Path, verb: &str, arguments: &[(&str, &str)]) -> Talk {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{client:?}-{verb}-{}", NEXT.fetch_add(1, Ordering::Relaxed)).replace(['"', '(', ')'], "");
        let file = |ending: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            fs::File::create(&path).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()))
        };
        let (errors, mut heard) = (file("err"), file("heard"));
        let mut command = client.command(folder);
        command.arg(verb).args(arguments.iter().map(|(name, value)| format!("{name}={value}")));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("a piped standard output");
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // What is no JSON was printed by the library under the program.
                let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
                writeln!(heard, "{}", brief(&event)).expect("the folder of the test is there while its peers talk");
                if said.send(event).is_err() {
                    break;
                }
            }
        });
        Talk { name, child, stdin, lines, heard: Vec::new() }
    }

    /// Listens until `enough` holds for what was said so far; fails after [`PATIENCE`], or when the program ends before.
    pub fn until(&mut self, what: &str, enough: impl Fn(&[Event]) -> bool) -> &[Event] {
        self.until_within(PATIENCE, what, enough)
    }

    /// [`Talk::until`] with its own patience.
    pub fn until_within(&mut self, patience: Duration, what: &str, enough: impl Fn(&[Event]) -> bool) -> &[Event] {
        let deadline = Instant::now() + patience;
        while !enough(&self.heard) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.heard.push(event),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("waited {} s for {what}", patience.as_secs())),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended before {what}")),
            }
        }
        &self.heard
    }

    /// Takes in what it says during `quiet`: for showing that nothing more comes.
    pub fn listen_for(&mut self, quiet: Duration) -> &[Event] {
        let deadline = Instant::now() + quiet;
        while let Ok(event) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.heard.push(event);
        }
        &self.heard
    }

    /// A line on its standard input, for verbs that wait for one.
    pub fn go_on(&mut self) {
        let stdin = self.stdin.as_mut().expect("it was not told to stop");
        stdin.write_all(b"\n").unwrap_or_else(|error| self.fail(&format!("cannot be told to go on: {error}")));
    }

    /// Ends its standard input (the sign to stop) and waits for its last words; gives all it said.
    pub fn finish(mut self) -> Vec<Event> {
        self.stdin = None;
        let deadline = Instant::now() + PATIENCE;
        while !self.heard.last().is_some_and(|event| matches!(kind(event), "done" | "failed")) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.heard.push(event),
                Err(error) => self.fail(&format!("{error} before its last words")),
            }
        }
        if let Some(failed) = self.heard.iter().find(|event| kind(event) == "failed") {
            self.fail(&format!("failed: {failed:?}"));
        }
        std::mem::take(&mut self.heard)
    }

    /// SIGKILL: gives all it said, and when it was still alive for the last time, milliseconds since the epoch.
    pub fn kill(mut self) -> (Vec<Event>, i64) {
        let alive = now();
        self.child.kill().expect("a running child can be killed");
        self.child.wait().expect("the end of a child");
        while let Ok(event) = self.lines.recv() {
            self.heard.push(event);
        }
        (std::mem::take(&mut self.heard), alive)
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}; it said {} lines", self.name, self.heard.len());
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

/// Milliseconds since the epoch, as clients tell them.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a time after 1970").as_millis() as i64
}

/// An event for a person who looks for what went wrong: without what all messages of a test share.
fn brief(event: &Event) -> String {
    let shown = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Null | serde_json::Value::Object(_) => None,
        _ if matches!(name.as_str(), "event" | "topic" | "crc" | "len" | "msgId" | "offsetMsgId") => None,
        serde_json::Value::String(text) => Some(format!(" {name}={text}")),
        other => Some(format!(" {name}={other}")),
    };
    format!("{}{}", kind(event), event.iter().filter_map(shown).collect::<String>())
}

/// The kind of an event: `sent`, `message`, `queue`, …
pub fn kind(event: &Event) -> &str {
    text(event, "event")
}

/// A text field of an event; empty when absent.
pub fn text<'a>(event: &'a Event, field: &str) -> &'a str {
    event.get(field).and_then(|value| value.as_str()).unwrap_or("")
}

/// A number of an event.
pub fn number(event: &Event, field: &str) -> i64 {
    event.get(field).and_then(|value| value.as_i64()).unwrap_or_else(|| panic!("no number {field} in {event:?}"))
}

/// The events of one kind.
pub fn of_kind<'a>(events: &'a [Event], wanted: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| kind(event) == wanted).collect()
}

/// A Java name server or broker.
pub struct JavaServer {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl JavaServer {
    /// A Java name server of `version`, its state in `folder/NAME`.
    pub fn namesrv(version: &str, folder: &Path, name: &str) -> JavaServer {
        let port = free_port();
        let home = java_home(version, &folder.join(name));
        let configuration = home.join("namesrv.properties");
        fs::write(
            &configuration,
            format!(
                "listenPort={port}\nkvConfigPath={0}/kvConfig.json\nconfigStorePath={0}/namesrv.conf\n",
                home.display()
            ),
        )
        .expect("the name server's configuration");
        let mut command = java(&home);
        command
            .arg("-Xmx256m")
            .env("ROCKETMQ_HOME", &home)
            .arg("-cp")
            .arg(format!("{}/lib/*", peer(&format!("server-{version}")).display()));
        command.arg("org.apache.rocketmq.namesrv.NamesrvStartup").arg("-c").arg(&configuration);
        let process = Process::start(name, &mut command, &home);
        JavaServer::listening(process, port)
    }

    /// A Java broker of `version` on the store in `store_root` (a `storePathRootDir`, new or left by another broker),
    /// registered at `namesrv`. `more` are lines of its configuration: `mappedFileSizeCommitLog=…`, `brokerName=…`.
    pub fn broker(
        version: &str,
        folder: &Path,
        name: &str,
        store_root: &Path,
        namesrv: &str,
        more: &[(&str, &str)],
    ) -> JavaServer {
        let port = free_port();
        let home = java_home(version, &folder.join(name));
        let configuration = home.join("broker.properties");
        let mut lines: Vec<(&str, String)> = vec![
            ("brokerClusterName", "DefaultCluster".to_owned()),
            ("brokerName", "broker-a".to_owned()),
            ("brokerId", "0".to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("listenPort", port.to_string()),
            ("haListenPort", (port + 1).to_string()),
            ("namesrvAddr", namesrv.to_owned()),
            ("storePathRootDir", store_root.display().to_string()),
            ("storePathCommitLog", store_root.join("commitlog").display().to_string()),
            ("autoCreateTopicEnable", "true".to_owned()),
            ("diskMaxUsedSpaceRatio", "99".to_owned()),
            ("timerWheelEnable", "false".to_owned()),
            ("mappedFileSizeConsumeQueue", (20 * 30_000).to_string()),
            ("mappedFileSizeCommitLog", (16 << 20).to_string()),
            ("maxIndexNum", "200000".to_owned()),
            ("maxHashSlotNum", "50000".to_owned()),
        ];
        for (key, value) in more {
            lines.retain(|(name, _)| name != key);
            lines.push((key, (*value).to_owned()));
        }
        let text: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        fs::write(&configuration, text).expect("the broker's configuration");
        let mut command = java(&home);
        command.args(["-Xmx768m", "-XX:MaxDirectMemorySize=512m"]).env("ROCKETMQ_HOME", &home);
        command.arg("-cp").arg(format!("{}/lib/*", peer(&format!("server-{version}")).display()));
        command.arg("org.apache.rocketmq.broker.BrokerStartup").arg("-c").arg(&configuration);
        let process = Process::start(name, &mut command, &home);
        JavaServer::listening(process, port)
    }

    fn listening(mut process: Process, port: u16) -> JavaServer {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for_port(address, &mut process);
        JavaServer { process, address }
    }
}

/// Opens the store in `store_root` with a Java broker of `version` and reads `topic` through it: one `message` event for
/// each message of each queue, with `queue`, `offset`, `key`, `crc`, `len`, `msgId` and `properties`, beside `queue`
/// events with `min` and `max`. `lines` must give the file sizes that the store was written with. The broker is stopped as
/// an operator does, so the store is closed cleanly when this returns.
pub fn java_reads(version: &str, folder: &Path, store_root: &Path, lines: &[(&str, &str)], topic: &str) -> Vec<Event> {
    let namesrv = JavaServer::namesrv(version, folder, "reading-namesrv");
    let address = namesrv.address.to_string();
    let mut broker = JavaServer::broker(version, folder, "reading-broker", store_root, &address, lines);
    wait_for_route(namesrv.address, topic, &["broker-a"]);
    let arguments = [("namesrv", address.as_str()), ("group", "reading_group"), ("topic", topic)];
    let heard = Talk::start(Client::Java("4.9.7"), folder, "pull", &arguments).finish();
    broker.process.stop();
    heard
}

/// A `ROCKETMQ_HOME` with the quiet logging that 4.9 refuses to start without.
pub fn java_home(version: &str, home: &Path) -> PathBuf {
    fs::create_dir_all(home.join("conf")).expect("a home for a Java server");
    if version.starts_with('4') {
        for part in ["namesrv", "broker", "tools"] {
            let log = home.join(format!("{part}.log"));
            let text = format!(
                "<configuration><appender name=\"file\" class=\"ch.qos.logback.core.FileAppender\"><file>{}</file>\
                 <encoder><pattern>%d %p %t - %m%n</pattern></encoder></appender>\
                 <root level=\"INFO\"><appender-ref ref=\"file\"/></root></configuration>\n",
                log.display()
            );
            fs::write(home.join(format!("conf/logback_{part}.xml")), text).expect("a logback configuration");
        }
    }
    home.to_path_buf()
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

/// What a server answered to a bare frame.
#[derive(Debug, Default)]
pub struct Answer {
    /// The header: `code`, `remark`, `extFields`.
    pub header: serde_json::Value,
    /// The body.
    pub body: Vec<u8>,
}

/// One request in a bare frame, so that no client's cache is in between.
pub fn call(server: SocketAddr, code: i32, fields: serde_json::Value) -> std::io::Result<Answer> {
    let header = serde_json::json!({
        "code": code, "flag": 0, "language": "JAVA", "opaque": 1, "serializeTypeCurrentRPC": "JSON", "version": 399,
        "extFields": fields,
    })
    .to_string();
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header.as_bytes());
    stream.write_all(&frame)?;
    let mut word = [0; 4];
    stream.read_exact(&mut word)?;
    let mut rest = vec![0; u32::from_be_bytes(word) as usize];
    stream.read_exact(&mut rest)?;
    // The answer's header is JSON as the question was; the body follows it.
    let body = rest.split_off(4 + u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize);
    Ok(Answer { header: serde_json::from_slice(&rest[4..])?, body })
}

/// The names of the brokers in the route of `topic` at `namesrv`, sorted; empty without a route.
pub fn route(namesrv: SocketAddr, topic: &str) -> Vec<String> {
    let answer = call(namesrv, 105, serde_json::json!({"topic": topic, "acceptStandardJsonOnly": "true"}));
    let body: serde_json::Value = serde_json::from_slice(&answer.unwrap_or_default().body).unwrap_or_default();
    let mut names: Vec<String> = body["brokerDatas"]
        .as_array()
        .map(|brokers| brokers.iter().filter_map(|broker| broker["brokerName"].as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    names.sort();
    names
}
