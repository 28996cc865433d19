//! `rocketmq admin` beside Java's `mqadmin` of 4.9.7 and of 5.3.3, command by command, against our servers and against
//! Java's: who asks makes no difference, nor does who answers, but for what the table says and why.

mod overlay;
mod pipelines;
mod table;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clients::{GROUP, TOPIC, consume, messages, send};
use crate::cluster::{Cluster, rocketmq};
use crate::peers::{Client, PATIENCE, Talk, java, java_home, of_kind, peer, text as field};
use table::{METHODS, Old, ROWS, Row, Servers};
use text::{still, without_numbers};

/// One who asks.
enum Tool {
    Ours,
    Java(Machine),
}

/// Java's tool of a version, one machine for many commands (tests/interop/java/tools/Admin.java).
struct Machine {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Machine {
    fn start(version: &str, folder: &Path) -> Machine {
        let home = java_home(version, &folder.join(format!("tools-{version}")));
        let log = std::fs::File::create(home.join("tools.err")).expect("a file for what the tool complains of");
        let mut command = java(&home);
        command.env("ROCKETMQ_HOME", &home).args([
            "-Xmx256m",
            "-Djava.security.manager=allow",
            "-Djava.net.preferIPv4Stack=true",
            "-cp",
        ]);
        command.arg(format!("{}/lib/*", peer(&format!("server-{version}")).display()));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/java/tools/Admin.java"));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let questions = child.stdin.take().expect("a piped standard input");
        let answers = BufReader::new(child.stdout.take().expect("a piped standard output"));
        Machine { child, questions, answers }
    }

    fn ask(&mut self, words: &[String], lines: usize) -> String {
        let until = if lines > 0 { format!("lines={lines}\t") } else { String::new() };
        writeln!(self.questions, "{until}{}", words.join("\t")).expect("the tool listens");
        let mut length = String::new();
        self.answers.read_line(&mut length).expect("the tool answers");
        let length = length.trim().parse().unwrap_or_else(|_| panic!("{words:?}: a length, not {length:?}"));
        let mut text = vec![0; length];
        self.answers.read_exact(&mut text).expect("the whole answer");
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Tool {
    fn ask(&mut self, cluster: &Cluster, words: &[String], lines: usize) -> String {
        let name_server = ["-n".to_owned(), cluster.namesrv.clone()];
        let words: Vec<String> = words.iter().chain(&name_server).cloned().collect();
        match self {
            Tool::Java(machine) => machine.ask(&words, lines),
            Tool::Ours => {
                let mut command = rocketmq();
                // Java's writes bodies to /tmp wherever that is said to be.
                command.arg("admin").args(words).current_dir(cluster.folder()).env_remove("TMPDIR");
                let text = if lines > 0 { beginning(&mut command, lines) } else { whole(&mut command) };
                String::from_utf8_lossy(&text).into_owned()
            }
        }
    }
}

/// What a command printed. What it complains of is part of it when it worked: Java's says nothing then. When it failed,
/// Java's shows a stack where ours has its line: both stand on standard error.
fn whole(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it starts");
    if output.status.success() {
        return [output.stdout, output.stderr].concat();
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    output.stdout
}

fn beginning(command: &mut Command, lines: usize) -> Vec<u8> {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut text = Vec::new();
    let mut out = BufReader::new(child.stdout.take().expect("a piped standard output"));
    for _ in 0..lines {
        out.read_until(b'\n', &mut text).expect("a line");
    }
    child.kill().expect("it still runs");
    child.wait().expect("its end");
    text
}

/// A cluster with a topic of 24 messages, and a member of a group that has consumed them.
struct Scene {
    cluster: Cluster,
    member: Option<Talk>,
    /// What the table's words in braces stand for.
    words: BTreeMap<&'static str, String>,
}

impl Scene {
    fn new(cluster: Cluster) -> Scene {
        // Whether it has worked is seen in what it says: a group has no place before it has consumed.
        let ask = |line: &str| {
            let mut command = rocketmq();
            command.arg("admin").args(line.split(' ')).args(["-n", &cluster.namesrv]).current_dir(cluster.folder());
            String::from_utf8_lossy(&command.output().expect("it starts").stdout).into_owned()
        };
        ask(&format!("updateTopic -c DefaultCluster -t {TOPIC} -r 4 -w 4"));
        let sent = send(&cluster, Client::Java("5.3.3"), &[("selector", "24"), ("tags", "TagA,TagB,TagC")]);
        let mut member = consume(&cluster, Client::Java("5.3.3"), "push", &[]);
        member.until("every message", |heard| messages(heard).len() >= sent.len());
        let client = field(of_kind(&member.heard, "started")[0], "client").to_owned();
        // Members tell where they are every five seconds.
        let deadline = Instant::now() + PATIENCE;
        while !ask(&format!("consumerProgress -g {GROUP}")).contains("Diff Total: 0\n") {
            assert!(Instant::now() < deadline, "{}", ask(&format!("consumerProgress -g {GROUP}")));
            std::thread::sleep(Duration::from_millis(100));
        }
        ask("updateTopic -c DefaultCluster -t Resent -r 1 -w 1");
        ask("sendMessage -t Resent -p once~more -b broker-a -i 0");
        let resent: serde_json::Value =
            serde_json::from_str(&ask("queryMsgByOffset -t Resent -b broker-a -i 0 -o 0 --output json"))
                .expect("a message");
        let brokers: serde_json::Value =
            serde_json::from_str(&ask("clusterList --output json")).expect("the cluster's table");
        let now = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970").as_millis();
        let words = BTreeMap::from([
            ("B", brokers[0]["addr"].as_str().expect("a broker's address").to_owned()),
            ("T", TOPIC.to_owned()),
            ("G", GROUP.to_owned()),
            ("ID", field(&sent[4], "offsetMsgId").to_owned()),
            ("RESENT", resent[0]["offsetMsgId"].as_str().expect("an id").to_owned()),
            ("UNIQUE", field(&sent[4], "msgId").to_owned()),
            ("CLIENT", client),
            ("BEFORE", (now - 3_600_000).to_string()),
            ("AFTER", (now + 3_600_000).to_string()),
        ]);
        Scene { cluster, member: Some(member), words }
    }

    /// The member goes, having told where it is.
    fn leave(&mut self) {
        if let Some(member) = self.member.take() {
            member.finish();
        }
    }

    fn tools(&self) -> [Tool; 3] {
        let machine = |version| Tool::Java(Machine::start(version, self.cluster.folder()));
        [machine("5.3.3"), machine("4.9.7"), Tool::Ours]
    }

    /// What a tool prints; `letter` stands for `{X}`.
    fn say(&self, tool: &mut Tool, letter: &str, line: &str, lines: usize) -> String {
        let mut line = line.replace("{X}", letter);
        for (name, value) in &self.words {
            line = line.replace(&format!("{{{name}}}"), value);
        }
        let words: Vec<String> = line.split(' ').map(|word| word.replace('~', " ")).collect();
        tool.ask(&self.cluster, &words, lines)
    }

    /// The lines of that, without what moves, in the order of lines: Java's come in that of its hash maps.
    fn ask(&self, tool: &mut Tool, letter: &str, row: &Row) -> Vec<String> {
        let text = self.say(tool, letter, row.line, row.lines).replace(&self.words["CLIENT"], "CLIENT");
        let text = text.replace("]MessageTrack", "]\nMessageTrack");
        // Java's of 5.x say of their logging what it does, and every tool has the other tools' things in its lists.
        // 5.3.3's broker makes a group of the topic's name, of which its own tools know nothing.
        let ghost = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.windows(2).any(|pair| pair == [TOPIC, TOPIC])
                || line.contains(&format!("consumerGroup={TOPIC},"))
                || line.starts_with("See https://rocketmq.apache.org")
        };
        let said = |line: &&str| {
            !ghost(line)
                && !line.trim().is_empty()
                && !line.contains(" |-")
                && !WITHOUT_COMPARISON.iter().any(|key| line.contains(key))
        };
        let own = |mut line: String| {
            for name in ["Table", "Ordered", "Group", "Clone", "namespace", "key-"] {
                for letter in ["A", "B", "C"] {
                    line = line.replace(&format!("{name}{letter}"), &format!("{name}?"));
                }
            }
            line
        };
        let still = |line: &str| if row.moving { without_numbers(&still(line)) } else { still(line) };
        let mut lines: Vec<String> = text.lines().filter(said).map(|line| own(still(line))).collect();
        lines.sort();
        lines
    }
}

/// What our own cluster is called in what is found.
const OURS: &str = "our servers";

/// Figures that move while nobody does anything, and what our servers say of a changed setting, which ours passes on.
const WITHOUT_COMPARISON: [&str; 5] =
    ["runtime ", "putMessageDistributeTime", "dispatchBehindBytes", ": applied, was ", ": unchanged"];

/// What one tool printed more than the other.
fn differences(left: (&str, &[String]), right: (&str, &[String])) -> Option<String> {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        let mut left = those.to_vec();
        let is_more = |line: &&String| match left.iter().position(|other| other == *line) {
            Some(index) => {
                left.swap_remove(index);
                false
            }
            None => true,
        };
        these.iter().filter(is_more).cloned().collect()
    };
    (left.1 != right.1).then(|| {
        format!("only {}: {:#?}\n  only {}: {:#?}", left.0, only(left.1, right.1), right.0, only(right.1, left.1))
    })
}

/// Asks everything of one cluster; per row what 5.3.3 printed, and what is wrong.
fn walk(name: &str, scene: &Scene, wrong: &mut Vec<String>) -> Vec<Vec<String>> {
    let [mut new, mut old, mut ours] = scene.tools();
    let mut printed = Vec::new();
    for row in ROWS {
        let said = scene.ask(&mut new, "A", row);
        let own = scene.ask(&mut ours, "C", row);
        // 5.3.3's own tool fails on many an answer of Java's servers, and then prints nothing.
        let failed = said.is_empty() || said.iter().any(|line| line.contains("trackType=UNKNOWN"));
        match (row.own, differences(("5.3.3", &said), ("ours", &own))) {
            (None, Some(found)) if !(failed && name != OURS) => {
                wrong.push(format!("{name}: {}\n  {found}", row.line));
            }
            (Some(why), None) => wrong.push(format!("{name}: {}: ours no longer differs: {why}", row.line)),
            _ => {}
        }
        if !matches!(row.old, Old::Lacks(_)) {
            let line = row.old_line.unwrap_or(row.line);
            let before = scene.ask(&mut old, "B", &Row { line, ..*row });
            match (row.old, differences(("4.9.7", &before), ("ours", &own))) {
                (Old::Same, Some(found)) => wrong.push(format!("{name}: {} (4.9.7)\n  {found}", row.line)),
                (Old::Differs(why), None) if name == OURS => {
                    wrong.push(format!("{name}: {}: 4.9.7 no longer differs: {why}", row.line));
                }
                _ => {}
            }
        }
        printed.push(said);
    }
    printed
}

/// What consoles ask, of one cluster.
fn ask_methods(scene: &Scene) -> Vec<Vec<String>> {
    let mut tool = Tool::Java(Machine::start("5.3.3", scene.cluster.folder()));
    METHODS.iter().map(|row| scene.ask(&mut tool, "A", row)).collect()
}

/// What our servers and Java's led to, where they have to lead to the same.
fn compare_servers(rows: &[Row], ours: &[Vec<String>], javas: &[Vec<String>], wrong: &mut Vec<String>) {
    for ((row, ours), javas) in rows.iter().zip(ours).zip(javas) {
        let found = differences(("Java's servers", javas), ("our servers", ours));
        let key = |line: &String| line.split([':', '=']).next().unwrap_or_default().trim().to_owned();
        match (row.servers, found) {
            (Servers::Same, Some(found)) => wrong.push(format!("servers: {}\n  {found}", row.line)),
            (Servers::Keys(but), _) => {
                let told: BTreeSet<String> = ours.iter().map(key).collect();
                let missing: BTreeSet<String> = javas
                    .iter()
                    .map(key)
                    .filter(|key| !told.contains(key) && !but.iter().any(|part| key.contains(part)))
                    .collect();
                if !missing.is_empty() {
                    wrong.push(format!("servers: {}: ours do not tell {missing:?}", row.line));
                }
            }
            _ => {}
        }
    }
}

/// Commands about members that are online; the others are asked for JSON in tests/it.
fn members_in_json(scene: &Scene, wrong: &mut Vec<String>) {
    for line in [
        "consumerProgress",
        "consumerConnection -g {G}",
        "producerConnection -g CLIENT_INNER_PRODUCER -t {T}",
        "consumerStatus -g {G}",
        "consumerStatus -g {G} -i {CLIENT} -s",
        "queryMsgById -t {T} -i {ID} -g {G} -d {CLIENT}",
        "queryMsgByUniqueKey -t {T} -i {UNIQUE} -g {G}",
    ] {
        let said = scene.say(&mut Tool::Ours, "C", &format!("{line} --output json"), 0);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
        if rows.is_empty() || !rows.iter().all(serde_json::Value::is_object) {
            wrong.push(format!("{line} in JSON: {said}"));
        }
    }
}

#[test]
fn the_admin_commands_print_what_javas_print_against_our_servers_and_against_javas() {
    let mut wrong = Vec::new();
    let scene = Scene::new(Cluster::start("tools"));
    let our_methods = ask_methods(&scene);
    members_in_json(&scene, &mut wrong);
    let ours = walk(OURS, &scene, &mut wrong);
    drop(scene);
    let scene = Scene::new(Cluster::of_java("5.3.3", "tools-java"));
    let java_methods = ask_methods(&scene);
    let javas = walk("Java's servers", &scene, &mut wrong);
    compare_servers(ROWS, &ours, &javas, &mut wrong);
    compare_servers(METHODS, &our_methods, &java_methods, &mut wrong);
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_admin_commands_print_the_same_against_javas_servers_of_4_9_7() {
    let mut wrong = Vec::new();
    walk("Java's servers 4.9.7", &Scene::new(Cluster::of_java("4.9.7", "tools-old")), &mut wrong);
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_command_is_in_the_table() {
    for command in rocketmq::admin::COMMANDS {
        let asked = ROWS.iter().any(|row| row.line.split(' ').next() == Some(command.name));
        assert!(asked, "{}", command.name);
    }
    for row in ROWS.iter().chain(METHODS) {
        let old = match row.old {
            Old::Same => "as 5.3.3",
            Old::Differs(why) | Old::Lacks(why) => why,
        };
        let servers = if let Servers::Differ(why) = row.servers { why } else { "as Java's" };
        assert!(!old.is_empty() && !servers.is_empty(), "{}: a difference without a reason", row.line);
    }
}
