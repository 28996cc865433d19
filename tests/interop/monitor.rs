//! Debian's Prometheus against ours: it scrapes live servers, the shipped alerts fire and clear as things happen to a
//! broker, and every query of the shipped dashboard returns something. Needs root, for a small file system and strace.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::{GROUP, TOPIC, consume_at, hears_all, keys, send_at};
use crate::cluster::{local, rocketmq};
use crate::peers::{Client, Folder, PATIENCE, Process, free_port, peer, wait_for_port, wait_for_route};

/// The client that makes the traffic.
const CLIENT: Client = Client::Go;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn promtool() -> Command {
    Command::new(peer("prometheus/usr/bin/promtool"))
}

fn well(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The body of a 200 to `GET path`.
fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error| format!("{address}{path}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(format!("{address}{path}: {answer}")),
    }
}

/// The header of the answer to a bare request.
fn ask(address: SocketAddr, code: i32) -> String {
    let header = format!("{{\"code\":{code},\"flag\":0,\"language\":\"JAVA\",\"opaque\":1,\"version\":399}}");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header.as_bytes());
    stream.write_all(&frame).expect("it reads");
    let mut word = [0; 4];
    stream.read_exact(&mut word).expect("an answer");
    let mut rest = vec![0; u32::from_be_bytes(word) as usize];
    stream.read_exact(&mut rest).expect("a whole one");
    String::from_utf8_lossy(&rest[4..]).into_owned()
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(told) => assert!(Instant::now() < deadline, "{what}: {told}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A file system of its own for a store.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, mebibytes: u32) -> SmallDisk {
        fs::create_dir_all(path).expect("a folder");
        let size = format!("size={mebibytes}m");
        well(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path));
        SmallDisk(path.to_owned())
    }
}

impl SmallDisk {
    /// A file that makes it so many per cent full.
    fn fill(&self, per_cent: u64) -> PathBuf {
        let output = Command::new("df").args(["-k", "--output=size,used"]).arg(&self.0).output().expect("df");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [size, used] = numbers[..] else { panic!("{text}") };
        let filler = self.0.join("filler");
        let len = format!("{}KiB", (size * per_cent / 100).checked_sub(used).expect("room"));
        well(Command::new("fallocate").args(["-l", &len]).arg(&filler));
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg("--lazy").arg(&self.0).status() {
            eprintln!("cannot unmount {}: {error}", self.0.display());
        }
    }
}

/// A name server, a broker on a small disk, and a Prometheus with the shipped rules that looks twice a second.
struct Watched {
    namesrv: SocketAddr,
    namesrv_metrics: SocketAddr,
    broker: SocketAddr,
    metrics: SocketAddr,
    prometheus: SocketAddr,
    // Dropped in this order: processes, then the disk, then the folder.
    namesrv_process: Option<Process>,
    broker_process: Option<Process>,
    prometheus_process: Option<Process>,
    disk: SmallDisk,
    folder: Folder,
}

impl Watched {
    fn start() -> Watched {
        let folder = Folder::new("prometheus");
        let disk = SmallDisk::mount(&folder.path().join("disk"), 256);
        let mut watched = Watched {
            namesrv: local(free_port()),
            namesrv_metrics: local(free_port()),
            broker: local(free_port()),
            metrics: local(free_port()),
            prometheus: local(free_port()),
            namesrv_process: None,
            broker_process: None,
            prometheus_process: None,
            disk,
            folder,
        };
        watched.start_namesrv();
        watched.start_broker();
        watched.start_prometheus();
        // It takes some seconds to its first look, and an alert on an increase has to have seen what was before.
        wait_until("the first look of Prometheus", || match watched.query("sum(up) == 2")?.is_empty() {
            true => Err("not yet".to_owned()),
            false => Ok(()),
        });
        watched
    }

    fn start_namesrv(&mut self) {
        let mut command = rocketmq();
        command.args(["namesrv", "--listen", &self.namesrv.to_string()]);
        command.args(["--metrics", &self.namesrv_metrics.to_string()]);
        command.arg("--data").arg(self.folder.path().join("namesrv-data"));
        let mut process = Process::start("namesrv", &mut command, self.folder.path());
        wait_for_port(self.namesrv, &mut process);
        self.namesrv_process = Some(process);
    }

    fn start_broker(&mut self) {
        let folder = self.folder.path();
        let configuration = folder.join("broker.conf");
        let text = "brokerName=broker-a\nbrokerIP1=127.0.0.1\nmappedFileSizeCommitLog=4194304\nmaxIndexNum=1000\n\
                    maxHashSlotNum=1000\nmessageDelayLevel=1s 1s 1s 1s 1s\ncleanResourceInterval=1000\n\
                    registerNameServerPeriod=10000\n";
        fs::write(&configuration, text).expect("a broker.conf");
        let mut command = rocketmq();
        command.args(["broker", "-n", &self.namesrv.to_string(), "--listen", &self.broker.to_string()]);
        command.args(["--metrics", &self.metrics.to_string()]).arg("-c").arg(&configuration);
        command.arg("--data").arg(self.disk.0.join("store"));
        let mut process = Process::start("broker", &mut command, folder);
        wait_for_port(self.broker, &mut process);
        wait_for_route(self.namesrv, "TBW102", &["broker-a"]);
        self.broker_process = Some(process);
    }

    /// The shipped rules word for word, but for spans of time; the limits are those of a test.
    fn start_prometheus(&mut self) {
        let folder = self.folder.path().join("prometheus");
        fs::create_dir_all(&folder).expect("a folder");
        let alerts = fs::read_to_string(packaging("prometheus/alerts.yml")).expect("the alerts");
        let lines = alerts.lines().map(|line| match line.trim_start().starts_with("for: ") {
            true => "        for: 1s".to_owned(),
            false => line.replace("[10m]", "[1m]").replace("[5m]", "[20s]").replace("seconds) > 30", "seconds) > 3"),
        });
        fs::write(folder.join("alerts.yml"), lines.collect::<Vec<_>>().join("\n") + "\n").expect("a file");
        let limits = fs::read_to_string(packaging("prometheus/limits.yml")).expect("the limits");
        let limits = limits.replace("vector(100000)", "vector(50)").replace("vector(600)", "vector(4)");
        let limits = limits.replace("vector(3)", "vector(1)").replace("vector(0.9)", "vector(0.015)");
        fs::write(folder.join("limits.yml"), limits).expect("a file");
        let config = fs::read_to_string(packaging("prometheus/prometheus.yml")).expect("the configuration");
        let config = config.replace("15s", "500ms").replace("127.0.0.1:5557", &self.metrics.to_string());
        let config = config.replace("127.0.0.1:5558", &self.namesrv_metrics.to_string());
        fs::write(folder.join("prometheus.yml"), config).expect("a file");
        let mut command = Command::new(peer("prometheus/usr/bin/prometheus"));
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={}", self.prometheus));
        let mut process = Process::start("prometheus", &mut command, &folder);
        wait_for_port(self.prometheus, &mut process);
        self.prometheus_process = Some(process);
    }

    /// The samples of an instant query.
    fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expression
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        let body = get(self.prometheus, &format!("/api/v1/query?query={encoded}"))?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{expression}: {error}: {body}"))?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| format!("{expression}: {body}"))
    }

    fn fires(&self, alert: &str) {
        let expression = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        wait_until(&format!("{alert} fires"), || match self.query(&expression)?.is_empty() {
            true => Err(format!("{:?}", self.query("ALERTS"))),
            false => Ok(()),
        });
    }

    fn clears(&self, alert: &str) {
        let expression = format!("ALERTS{{alertname=\"{alert}\"}}");
        wait_until(&format!("{alert} clears"), || match self.query(&expression)? {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?}")),
        });
    }

    /// The thread of the broker with this name.
    fn thread(&self, name: &str) -> String {
        let pid = self.broker_process.as_ref().expect("a broker").id();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
        let found = threads
            .map(|thread| thread.path())
            .find(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim() == name));
        found.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).expect("the thread")
    }

    fn send(&self, count: &str) -> BTreeSet<String> {
        let sent = send_at(&self.namesrv.to_string(), self.folder.path(), CLIENT, TOPIC, &[("sync", count)]);
        keys(&sent)
    }
}

#[test]
fn alerts_fire_and_clear_and_every_query_of_the_dashboard_returns_data() {
    let mut watched = Watched::start();
    let (namesrv, folder) = (watched.namesrv.to_string(), watched.folder.path().to_owned());

    // A request that nobody serves.
    let answer = ask(watched.broker, 9999);
    assert!(answer.contains("\"code\":3"), "{answer}");

    // A group that has consumed everything, after a failure that made a retry and a dead letter.
    let first = watched.send("20");
    let eager = [("poll_ms", "1000"), ("rocketmq.client.rebalance.waitInterval", "1000")];
    let failing = [&[("fail", "2"), ("max_reconsume", "1")], &eager[..]].concat();
    let mut consumer = consume_at(&namesrv, &folder, Client::Java("4.9.7"), "push", &failing);
    hears_all(&mut consumer, &first);
    watched.fires("RocketMQDeadLetters");
    wait_until("dead letters", || match watched.query("rocketmq_topic_dlq_offset > 0")?.is_empty() {
        true => Err("none yet".to_owned()),
        false => Ok(()),
    });
    wait_until("everything consumed", || match watched.query("rocketmq_lag_messages == 0")?.is_empty() {
        true => Err(format!("{:?}", watched.query("rocketmq_lag_messages"))),
        false => Ok(()),
    });
    consumer.finish();
    // Nothing else is wrong.
    wait_until("all is well", || match watched.query("ALERTS{alertname!=\"RocketMQDeadLetters\"}")? {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });

    // Lag: nobody consumes.
    let waiting = watched.send("100");
    watched.fires("RocketMQLagMessages");
    watched.fires("RocketMQLagSeconds");

    // A disk that stalls: each flush is held up before it reaches the kernel.
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-p", &watched.thread("store-flush"), "-e", "trace=fdatasync,fsync"]);
    strace.args(["-e", "inject=fdatasync,fsync:delay_enter=8000000", "-o", "/dev/null"]);
    let mut strace = strace.stdin(Stdio::null()).spawn().expect("strace");
    let mut more = BTreeSet::new();
    wait_until("the flush stalls", || {
        more.extend(watched.send("1"));
        let expression = "rocketmq_store_flush_running_seconds > 1";
        if watched.query(expression)?.is_empty() { Err("not yet".to_owned()) } else { Ok(()) }
    });
    watched.fires("RocketMQFlushStalled");
    watched.fires("RocketMQStuck");
    strace.kill().expect("it runs");
    strace.wait().expect("its end");
    watched.fires("RocketMQFlushSlow");
    for alert in ["RocketMQFlushStalled", "RocketMQStuck", "RocketMQFlushSlow"] {
        watched.clears(alert);
    }

    // Somebody else fills the disk.
    let filler = watched.disk.fill(82);
    watched.fires("RocketMQDiskFilling");

    // Every query of the dashboard, while there is something of everything.
    let mut consumer = consume_at(&namesrv, &folder, CLIENT, "push", &[]);
    hears_all(&mut consumer, &waiting);
    every_query_of_the_dashboard_returns_data(&watched);

    // It gets so full that no message is taken any more, until there is room again.
    fs::remove_file(&filler).expect("ours");
    let filler = watched.disk.fill(95);
    watched.fires("RocketMQWritesRefused");
    watched.fires("RocketMQNotReady");
    fs::remove_file(&filler).expect("ours");
    for alert in ["WritesRefused", "NotReady", "DiskFilling", "LagMessages", "LagSeconds"] {
        watched.clears(&format!("RocketMQ{alert}"));
    }
    consumer.finish();

    // Two members of a group want different messages.
    let members = ["TagA", "TagB"].map(|tag| consume_at(&namesrv, &folder, CLIENT, "push", &[("expression", tag)]));
    watched.fires("RocketMQSubscriptionsDiffer");
    members.into_iter().for_each(|member| drop(member.kill()));

    // More connections than the limit of this test, which is 1.5 % of the bound.
    let connections: Vec<_> = (0..250).map(|_| TcpStream::connect(watched.broker).expect("it listens")).collect();
    watched.fires("RocketMQBoundNearlyFull");
    drop(connections);
    watched.clears("RocketMQBoundNearlyFull");

    // The name server goes, and comes back.
    watched.namesrv_process.take().expect("a name server").kill();
    watched.fires("RocketMQBrokerNotRegistered");
    watched.start_namesrv();
    watched.clears("RocketMQBrokerNotRegistered");

    // The broker goes, and comes back.
    watched.broker_process.take().expect("a broker").kill();
    watched.fires("RocketMQDown");
    watched.start_broker();
    watched.clears("RocketMQDown");

    // What happened goes by itself when it is long enough ago.
    watched.clears("RocketMQSubscriptionsDiffer");
    watched.clears("RocketMQDeadLetters");

    the_text_is_what_promtool_calls_clean(&watched);
}

fn every_query_of_the_dashboard_returns_data(watched: &Watched) {
    let text = fs::read_to_string(packaging("grafana/rocketmq.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(queries.len() > 30, "{queries:?}");
    for query in queries {
        assert!(!query.contains("vector("), "{query}");
        let mut asked = query.replace("$__rate_interval", "5m").replace("$job", "rocketmq");
        for variable in ["$cluster", "$broker", "$topic", "$group"] {
            asked = asked.replace(variable, ".*");
        }
        wait_until(query, || {
            let found = watched.query(&asked)?;
            let is_number = |sample: &Value| sample["value"][1].as_str().is_some_and(|text| text != "NaN");
            if found.iter().any(is_number) { Ok(()) } else { Err(format!("{asked}: {found:?}")) }
        });
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    for query in variables.filter_map(|variable| variable["definition"].as_str()) {
        let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
        let (series, label) = inner.rsplit_once(", ").expect("label_values(SERIES, LABEL)");
        let found = watched.query(&series.replace("$cluster", ".*")).expect("an answer");
        assert!(found.iter().any(|sample| sample["metric"][label].is_string()), "{query}: {found:?}");
    }
}

/// `promtool check metrics` complains of nothing but of names that the exporter prescribes.
fn the_text_is_what_promtool_calls_clean(watched: &Watched) {
    let exporter = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exporter-metrics.txt"));
    let exporter = exporter.expect("the names");
    let exporter: BTreeSet<&str> = exporter.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let text = get(watched.metrics, "/metrics").expect("a page");
    let mut check = promtool().args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> =
        told.lines().filter(|line| !line.split(' ').next().is_some_and(|name| exporter.contains(name))).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    let names: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 60 && names.contains("rocketmq_group_diff"), "{names:?}");
    assert!(text.contains(&format!("group=\"{GROUP}\"")));
}

#[test]
fn the_rules_are_what_their_tests_say_and_the_pages_show_how_to_ask() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = format!("{}:{}", peer("prometheus/usr/bin").display(), std::env::var("PATH").expect("a PATH"));
    for page in ["docs/monitor.md", "docs/zh/monitor.md"] {
        let text = fs::read_to_string(root.join(page)).expect(page);
        let block = text.split("```sh prometheus\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
        assert!(block.contains("promtool test rules packaging/prometheus/tests/alerts.yml"), "{block}");
        for line in block.lines() {
            well(Command::new("sh").args(["-c", line]).env("PATH", &path).current_dir(root));
        }
    }
    // Every alert is in both pages and has a test.
    let alerts = fs::read_to_string(packaging("prometheus/alerts.yml")).expect("the alerts");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for place in ["docs/monitor.md", "docs/zh/monitor.md", "packaging/prometheus/tests/alerts.yml"] {
            assert!(fs::read_to_string(root.join(place)).expect(place).contains(alert), "{alert} is not in {place}");
        }
    }
}
