//! Java's old commands: the shims of `packaging/home`, as people's scripts call them, under every shell that is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::{Folder, Ports, Server, rocketmq};

const SHELLS: [&str; 3] = ["sh", "dash", "bash"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shells() -> impl Iterator<Item = &'static str> {
    SHELLS.into_iter().filter(|shell| Command::new(shell).args(["-c", ":"]).status().is_ok())
}

/// One of the old commands, under a shell.
fn old_command(shell: &str, name: &str, home: &Folder) -> Command {
    let mut command = Command::new(shell);
    command.arg(repository().join("packaging/home").join(name));
    surroundings(&mut command, home);
    command
}

fn surroundings(command: &mut Command, home: &Folder) {
    let program = PathBuf::from(rocketmq(home.path()).get_program());
    command.env("ROCKETMQ_PROGRAM", program).env("JAVA_OPT", format!("-Xmx8g -Duser.home={}", home.path().display()));
    command.env("ROCKETMQ__METRICS__LISTEN", "off");
    command.env_remove("NAMESRV_ADDR").env("HOME", "/nonexistent").current_dir(home.path()).stdin(Stdio::null());
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn old_commands_start_the_roles_print_what_scripts_wait_for_and_log_where_java_does() {
    for shell in shells() {
        let home = Folder::new("shims");
        let ports = Ports::free();
        home.file("namesrv.properties", &format!("listenPort={}\nbindAddress=127.0.0.1\n", ports.namesrv));
        home.file("broker.properties", &format!("brokerName=old\nlistenPort={}\nbrokerIP1=127.0.0.1\n", ports.broker));
        let mut command = old_command(shell, "bin/mqnamesrv", &home);
        let namesrv = Server::watch(command.args(["-c", "namesrv.properties"]));
        namesrv.wait_for("The Name Server boot success. serializeType=JSON");
        let mut command = old_command(shell, "bin/runbroker.sh", &home);
        let address = format!("127.0.0.1:{};", ports.namesrv);
        let arguments = ["-Xms4g", "-cp", "lib/*", "org.apache.rocketmq.broker.BrokerStartup", "-n", &address];
        let broker = Server::watch(command.args(arguments).args(["-c", "broker.properties"]));
        let expected = format!("The broker[old, 127.0.0.1:{}] boot success. serializeType=JSON", ports.broker);
        broker.wait_for(&expected);
        broker.wait_for("heap and machine flags of JAVA_OPT mean nothing here");
        assert_eq!(broker.said().matches("mean nothing here").count(), 1, "one note: {}", broker.said());

        let mut command = old_command(shell, "bin/mqadmin", &home);
        let output = command.args(["clusterList", "-n", &address]).output().expect("a shell");
        assert!(output.status.success() && stdout(&output).contains("old"), "{output:?}");

        broker.stop();
        namesrv.stop();
        let log = fs::read_to_string(home.join("logs/rocketmqlogs/broker.log")).expect("Java's place for logs");
        assert!(log.contains(&expected) && log.contains("stopped"), "{log}");
        assert!(home.join("logs/rocketmqlogs/namesrv.log").is_file() && home.join("store/config").is_dir());
    }
}

#[test]
fn configuration_items_are_printed_in_javas_form_with_the_values_in_force() {
    let home = Folder::new("items");
    home.file("broker.conf", "brokerName=items\nlistenPort=20911\nflushDiskType=SYNC_FLUSH\nfileReservedTime=48\n");
    for shell in shells() {
        // As it stands in people's notes.
        let mut command = Command::new(shell);
        surroundings(command.args(["-c", &format!("{shell} mqbroker -p 2> /dev/null | grep slave")]), &home);
        let output = command.current_dir(repository().join("packaging/home/bin")).output().expect("a shell");
        let text = stdout(&output);
        let item = |line: &'_ str| Some(line.split_once(" INFO main - ")?.1.split_once('=')?.0.to_owned());
        assert_eq!(
            text.lines().filter_map(item).collect::<Vec<_>>(),
            ["slaveReadEnable", "slaveTimeout"],
            "{output:?}"
        );

        let mut command = old_command(shell, "bin/mqbroker", &home);
        let output = command.args(["-c", "broker.conf", "-n", "a:1;b:2", "-m"]).output().expect("a shell");
        let text = stdout(&output);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text.lines().count(), 35, "{text}");
        for item in ["namesrvAddr=a:1;b:2", "brokerName=items", "brokerId=0", "flushDiskType=SYNC_FLUSH"] {
            assert!(text.lines().any(|line| line.ends_with(&format!(" INFO main - {item}"))), "{item}: {text}");
        }
        assert!(text.contains("fileReservedTime=48") && !text.contains("listenPort"), "{text}");
        assert!(stderr(&output).contains("of these items change nothing here"), "{output:?}");
        let output =
            old_command(shell, "bin/mqbroker", &home).args(["-c", "broker.conf", "-p"]).output().expect("a shell");
        assert_eq!(stdout(&output).lines().count(), 186);
        assert!(stdout(&output).contains("listenPort=20911") && stdout(&output).contains("haListenPort=20912"));
        let output = old_command(shell, "bin/mqnamesrv", &home).args(["-n", "x:1", "-p"]).output().expect("a shell");
        assert!(stdout(&output).contains(" [main] INFO RocketmqNamesrvConsole - listenPort=9876\n"), "{output:?}");
    }
    assert!(!home.join("store").exists() && !home.join("logs").exists(), "printing touches nothing");
}

#[test]
fn the_quickstart_sends_a_thousand_messages_and_the_consumer_prints_them() {
    let home = Folder::new("quickstart");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let server = Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    let address = format!("127.0.0.1:{namesrv}");
    let mut command = old_command("sh", "bin/tools.sh", &home);
    command.arg("org.apache.rocketmq.example.quickstart.Producer").env("NAMESRV_ADDR", &address);
    let output = command.output().expect("a shell");
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text.lines().count(), 1000);
    let fits = |line: &&str| {
        line.starts_with("SendResult [sendStatus=SEND_OK, msgId=7F000001")
            && line.contains(", messageQueue=MessageQueue [topic=TopicTest, brokerName=broker-a, queueId=")
            && line.ends_with(']')
    };
    assert_eq!(text.lines().filter(fits).count(), 1000, "{}", text.lines().next().unwrap_or_default());

    let mut command = old_command("sh", "bin/tools.sh", &home);
    command.arg("org.apache.rocketmq.example.quickstart.Consumer").env("NAMESRV_ADDR", &address);
    let consumer = Server::watch(&mut command);
    consumer.wait_for("Consumer Started.");
    consumer.wait_for_count("Receive New Messages: [MessageExt [brokerName=broker-a, queueId=", 1000);
    consumer.stop();

    // What was consumed does not come again; what is sent now does.
    let mut command = old_command("sh", "bin/tools.sh", &home);
    command.arg("org.apache.rocketmq.example.quickstart.Consumer").env("NAMESRV_ADDR", &address);
    let consumer = Server::watch(&mut command);
    consumer.wait_for("Consumer Started.");
    let mut command = old_command("sh", "bin/mqadmin", &home);
    let output = command.args(["sendMessage", "-n", &address, "-t", "TopicTest", "-p", "one more"]).output();
    assert!(output.expect("a shell").status.success());
    consumer.wait_for("111, 110, 101, 32, 109, 111, 114, 101");
    assert_eq!(consumer.said().matches("Receive New Messages").count(), 1);
    // A member answers what tools ask of it.
    let group = "please_rename_unique_group_name_4";
    let mut command = old_command("sh", "bin/mqadmin", &home);
    let output = command.args(["consumerStatus", "-n", &address, "-g", group]).current_dir(home.path()).output();
    let text = stdout(&output.expect("a shell"));
    for part in ["V5_3_3", "Same subscription in the same group of consumer", "Rebalance OK"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    consumer.stop();
    server.stop();
}

#[test]
fn the_benchmarks_take_javas_flags_and_print_javas_lines() {
    let home = Folder::new("benchmark");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let server = Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    let address = format!("127.0.0.1:{namesrv}");
    // In the background, as Java's: its output ends when it does.
    let mut command = old_command("sh", "benchmark/producer.sh", &home);
    command.args(["-k", "true", "-n", &address, "-s", "128", "-w", "64", "-q", "20000", "-l", "3"]);
    let output = command.args(["-ak", "x", "--reportInterval", "100"]).output().expect("a shell");
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(text.starts_with("topic: BenchmarkTest threadCount: 64 messageSize: 128 keyEnable: true "), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("[Complete] Send Total: 20000 ") && last.ends_with("Response Failed: 0"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Current Time: ")).collect();
    for part in [" Send TPS: ", " Max RT(ms): ", " Average RT(ms): ", " Send Failed: 0 Response Failed: 0"] {
        assert!(lines.iter().all(|line| line.contains(part)), "{text}");
    }
    let found = crate::harness::run(
        home.path(),
        &[
            "admin",
            "printMsgByQueue",
            "-n",
            &address,
            "-t",
            "BenchmarkTest",
            "-a",
            "broker-a",
            "-i",
            "0",
            "-d",
            "true",
            "-f",
            "true",
        ],
    );
    assert!(found.stdout.contains("Tag: tag0"), "{found:?}");

    let mut command = old_command("sh", "benchmark/runclass.sh", &home);
    command.args(["org.apache.rocketmq.example.benchmark.Consumer", "-n", &address, "--reportInterval", "200"]);
    let consumer = Server::watch(command.args(["-g", "bench_group", "-w", "20"]));
    consumer.wait_for("topic: BenchmarkTest, threadCount 20, group: bench_group, suffix: false, filterType: null, ");
    consumer.wait_for("Consumer Started.");
    consumer.wait_for("MAX(S2C) RT(ms): ");
    let mut command = old_command("sh", "benchmark/producer.sh", &home);
    let output = command.args(["-n", &address, "-q", "500"]).output().expect("a shell");
    assert!(output.status.success());
    consumer.wait_for("FAIL: 0 AVG(B2C) RT(ms):");
    consumer.stop();

    for (arguments, told) in [
        (["-a", "true"], "-a true: access control is not built yet"),
        (["-m", "true"], "-m true: message traces are not built yet"),
        (["-w", "0"], "a number of at least 1 is needed"),
    ] {
        let mut command = old_command("sh", "benchmark/runclass.sh", &home);
        command.arg("org.apache.rocketmq.example.benchmark.Producer").args(["-n", &address]).args(arguments);
        let output = command.output().expect("a shell");
        assert!(!output.status.success() && stderr(&output).contains(told), "{output:?}");
    }
    server.stop();
}

#[test]
fn the_benchmark_consumer_fails_the_share_that_it_is_told_and_has_those_messages_again() {
    let home = Folder::new("fail-rate");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let mut command = crate::harness::rocketmq(home.path());
    command.args(["dev", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    let server = Server::watch(command.env("ROCKETMQ__BROKER__STORE__DELAY_LEVELS", "1s 1s 1s 1s"));
    server.wait_for(crate::harness::READY);
    let address = format!("127.0.0.1:{namesrv}");
    let produce = |count: &str| {
        let mut command = old_command("sh", "benchmark/producer.sh", &home);
        let output = command.args(["-n", &address, "-q", count]).output().expect("a shell");
        assert!(output.status.success(), "{output:?}");
    };
    produce("1");
    let consumer = |more: &[&str]| {
        let mut command = old_command("sh", "benchmark/runclass.sh", &home);
        command.args(["org.apache.rocketmq.example.benchmark.Consumer", "-n", &address, "-g", "failing"]).args(more);
        Server::watch(&mut command)
    };
    let failing = consumer(&["-r", "1.0", "--reportInterval", "200"]);
    failing.wait_for("Consumer Started.");
    produce("20");
    // Twenty messages fail, come again a second later, and fail again.
    let ends = || -> i64 {
        let line = ["admin", "topicStatus", "-n", &address, "-t", "%RETRY%failing", "--output", "json"];
        let said = crate::harness::run(home.path(), &line);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap_or_default();
        rows.iter().filter_map(|row| row["maxOffset"].as_i64()).sum()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while ends() < 40 {
        assert!(std::time::Instant::now() < deadline, "{} of 40 came to the retry topic: {}", ends(), failing.said());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let told = failing.said();
    let failed: u64 =
        told.split(" FAIL: ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum();
    assert!(failed > 0, "{told}");
    failing.stop();
    for (flags, told) in [
        (&["-r", "2"] as &[&str], "accepted is a share from 0.0 to 1.0"),
        (&["-f", "SQL92", "-e", "x"], "-f SQL92: TAG is accepted; filters in SQL are not built yet"),
    ] {
        let mut command = old_command("sh", "benchmark/runclass.sh", &home);
        command.args(["org.apache.rocketmq.example.benchmark.Consumer", "-n", &address]).args(flags);
        let output = command.output().expect("a shell");
        assert!(!output.status.success() && stderr(&output).contains(told), "{output:?}");
    }
    server.stop();
}

#[test]
fn what_old_wrappers_ask_for_by_an_unknown_class_is_refused_by_name() {
    let home = Folder::new("class");
    let output = old_command("sh", "bin/tools.sh", &home).arg("org.example.Nothing").output().expect("a shell");
    assert!(!output.status.success() && stderr(&output).contains("the class 'org.example.Nothing'"), "{output:?}");
    let output = old_command("sh", "bin/runserver.sh", &home).output().expect("a shell");
    assert!(!output.status.success() && stderr(&output).contains("give a class of Java's"), "{output:?}");
    let output = old_command("sh", "bin/mqshutdown", &home).arg("proxy").output().expect("a shell");
    assert!(!output.status.success() && stderr(&output).contains("possible values: broker, namesrv"), "{output:?}");
}

/// What an operator types, verbatim but for ports, in a home that is laid out like Java's.
const OPERATOR: &str = r#"
set -e
wait_for() {
  tries=0
  until grep -q "$1" "$2" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "never said: $1"; cat "$2"; exit 1; }
    sleep 0.1
  done
}
gone() {
  tries=0
  while kill -0 "$1" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "still there: $1"; exit 1; }
    sleep 0.1
  done
}
cd $ROCKETMQ_HOME/bin
nohup sh mqnamesrv -c $HOME/namesrv.properties > $HOME/namesrv.out 2>&1 &
namesrv=$!
wait_for "The Name Server boot success" $HOME/namesrv.out
nohup sh mqbroker -n "127.0.0.1:$NAMESRV_PORT" -c $ROCKETMQ_HOME/conf/2m-2s-sync/broker-a.properties > $HOME/broker.out 2>&1 &
broker=$!
wait_for "The broker\[broker-a, .*\] boot success" $HOME/broker.out
wait_for "The broker\[broker-a, .*\] boot success" $HOME/logs/rocketmqlogs/broker.log
wait_for "The Name Server boot success" $HOME/logs/rocketmqlogs/namesrv.log
cd $ROCKETMQ_HOME/benchmark
sh producer.sh -n "127.0.0.1:$NAMESRV_PORT" > $HOME/producer.out
wait_for "topic: BenchmarkTest" $HOME/producer.out
sh shutdown.sh producer
cd $ROCKETMQ_HOME/bin
sh mqshutdown broker
gone $broker
sh mqshutdown broker || echo "code $?"
sh mqshutdown namesrv
gone $namesrv
sh mqshutdown namesrv || echo "code $?"
grep -q stopped $HOME/logs/rocketmqlogs/broker.log
echo "all went well"
"#;

#[test]
fn an_operators_session_with_nohup_and_mqshutdown_works_verbatim() {
    // mqshutdown stops every broker of the machine, as Java's does: it has to run where it sees only those of this test.
    let alone = [&["unshare", "-Urpf", "--mount-proc"][..], &["unshare", "-pf", "--mount-proc"]]
        .into_iter()
        .find(|words| Command::new(words[0]).args(&words[1..]).arg("true").output().is_ok_and(|o| o.status.success()));
    let Some(alone) = alone else {
        let why = "this machine gives no process namespace (unshare), and mqshutdown stops all brokers";
        assert!(std::env::var_os("ROOT_TESTS").is_none(), "{why}");
        return eprintln!("not run: {why}");
    };
    for shell in shells() {
        let home = Folder::new("operator");
        let ports = Ports::free();
        let installed = home.join("rocketmq");
        fs::create_dir_all(installed.join("conf/2m-2s-sync")).expect("the folder is ours");
        for part in ["bin", "benchmark"] {
            std::os::unix::fs::symlink(repository().join("packaging/home").join(part), installed.join(part))
                .expect("a link");
        }
        home.file("namesrv.properties", &format!("listenPort={}\nbindAddress=127.0.0.1\n", ports.namesrv));
        let shipped = fs::read_to_string(repository().join("conf/2m-2s-sync/broker-a.properties")).expect("shipped");
        let file = format!("{shipped}listenPort={}\nbindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\n", ports.broker);
        home.file("rocketmq/conf/2m-2s-sync/broker-a.properties", &file);
        let mut command = Command::new(alone[0]);
        command.args(&alone[1..]).args([shell, "-c", OPERATOR]);
        surroundings(&mut command, &home);
        command.env_remove("JAVA_OPT").env("HOME", home.path()).env("ROCKETMQ_HOME", &installed);
        let output = command.env("NAMESRV_PORT", ports.namesrv.to_string()).output().expect("unshare");
        let text = stdout(&output);
        assert!(output.status.success() && text.contains("all went well"), "{shell}: {output:?}");
        for line in
            ["The mqbroker(", "Send shutdown request to mqbroker(", "Send shutdown request to benchmark producer("]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        let told = stderr(&output);
        assert!(told.contains("No mqbroker running.") && told.contains("No mqnamesrv running."), "{told}");
        assert!(text.contains("code 1"), "{text}");
    }
}
