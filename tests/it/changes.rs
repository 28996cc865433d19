//! Settings that change while a server runs: from afar, kept over a kill -9 and a restart, shown, folded into a file; and
//! by a reload of the file. And what a server says in its log meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Folder, Ports, Said, Server, run};

/// The files of a name server and a broker in one process.
fn file(home: &Folder, ports: Ports, more: &str) {
    let text = format!(
        "# mine\n[namesrv]\nlisten = \"127.0.0.1:{}\"\ndata = \"ns\"\n\n[broker]\nname = \"b\"\nlisten = \"127.0.0.1:{}\"\n\
         advertise = \"127.0.0.1\"\nname_servers = [\"127.0.0.1:{}\"]\n\n[broker.store]\ndata = \"store\"\n\
         log_file_size = \"1MiB\"\n{more}",
        ports.namesrv, ports.broker, ports.namesrv
    );
    home.file("x.toml", &text);
}

fn admin(home: &Folder, line: &str) -> Said {
    run(home.path(), &[&["admin"], line.split(' ').collect::<Vec<_>>().as_slice()].concat())
}

fn change(home: &Folder, ports: Ports, key: &str, value: &str) -> Said {
    admin(home, &format!("updateBrokerConfig -b 127.0.0.1:{} -k {key} -v {value}", ports.broker))
}

/// The value that a broker tells.
fn told(home: &Folder, ports: Ports, key: &str) -> String {
    let said = admin(home, &format!("getBrokerConfig -b 127.0.0.1:{}", ports.broker));
    let line = said.stdout.lines().find(|line| line.split('=').next().is_some_and(|name| name.trim() == key));
    line.unwrap_or_else(|| panic!("{key} in {said:?}")).split('=').nth(1).unwrap_or_default().trim().to_owned()
}

#[test]
fn a_change_from_afar_survives_a_kill_is_shown_with_its_origin_and_folds_into_one_file() {
    let home = Folder::new("overlay");
    let ports = Ports::free();
    file(&home, ports, "");
    let before = fs::read(home.join("x.toml")).expect("ours");
    let server = Server::start(home.path(), &["run", "-c", "x.toml"]);
    let said = change(&home, ports, "maxMessageSize", "1000");
    assert!(said.code == Some(0) && said.stdout.contains("update broker config success"), "{said:?}");
    assert!(said.stdout.contains("maxMessageSize=1000: applied, was 4194304"), "{said:?}");
    let said = change(&home, ports, "broker.flush.mode", "sync");
    assert!(
        said.stdout.contains("broker.flush.mode=\"sync\": stored, needs a restart, until then \"async\""),
        "{said:?}"
    );
    let said = change(&home, ports, "log.level", "info,store=debug");
    assert!(said.stdout.contains("log.level=info,store=debug: applied, was info"), "{said:?}");
    let said = change(&home, ports, "log.level", "info,stroe=debug");
    assert!(said.code != Some(0) && format!("{said:?}").contains("did you mean store?"), "{said:?}");
    let said = change(&home, ports, "broker.store.data", "/tmp/x");
    assert!(said.code != Some(0) && format!("{said:?}").contains("folders may only be set in the file"), "{said:?}");
    let said =
        admin(&home, &format!("updateNamesrvConfig -n 127.0.0.1:{} -k namesrv.warm_up_time -v 7s", ports.namesrv));
    assert!(said.stdout.contains("namesrv.warm_up_time=\"7s\": applied, was \"45s\""), "{said:?}");
    assert_eq!(
        (told(&home, ports, "maxMessageSize"), told(&home, ports, "flushDiskType")),
        ("1000".into(), "ASYNC_FLUSH".into())
    );
    server.kill();
    assert_eq!(fs::read(home.join("x.toml")).expect("ours"), before, "the file of the operator is never touched");

    let shown = run(home.path(), &["config", "show", "x.toml"]).stdout;
    for (line, origin) in [
        ("broker.send.max_message_size = 1000  # ", "store/config/overlay.properties: changed by 127.0.0.1:"),
        ("broker.flush.mode = \"sync\"  # ", ", was ASYNC_FLUSH"),
        ("log.level = \"info,store=debug\"  # ", " UTC, was info"),
        ("namesrv.warm_up_time = \"7s\"  # ", "ns/overlay.properties: changed by 127.0.0.1:"),
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line)).unwrap_or_else(|| panic!("{line} in {shown}"));
        assert!(found.contains(origin), "{found}");
    }

    let server = Server::start(home.path(), &["run", "-c", "x.toml"]);
    server.wait_for("maxMessageSize=1000, changed by 127.0.0.1:");
    assert_eq!(
        (told(&home, ports, "maxMessageSize"), told(&home, ports, "flushDiskType")),
        ("1000".into(), "SYNC_FLUSH".into())
    );
    server.stop();

    let folded = run(home.path(), &["config", "fold", "-c", "x.toml"]);
    assert_eq!(folded.code, Some(0), "{folded:?}");
    assert!(folded.stdout.starts_with("# mine\n[namesrv]\n# Changed by 127.0.0.1:"), "{folded:?}");
    // The folded file without the overlays means the same.
    home.file("folded.toml", &folded.stdout);
    fs::remove_file(home.join("store/config/overlay.properties")).expect("it is there");
    fs::remove_file(home.join("ns/overlay.properties")).expect("it is there");
    let values = |text: &str| {
        let pairs = text.lines().map(|line| line.split("  # ").next().unwrap_or(line).to_owned());
        pairs.collect::<Vec<_>>()
    };
    let after = run(home.path(), &["config", "show", "folded.toml"]).stdout;
    assert_eq!(values(&after), values(&shown));
}

#[test]
fn name_servers_that_are_changed_from_afar_count_at_once_and_the_one_before_is_left() {
    let home = Folder::new("name-servers");
    let (ports, other) = (Ports::free(), Ports::free().namesrv);
    file(&home, ports, "");
    let start = || Server::start(home.path(), &["run", "-c", "x.toml"]);
    let server = start();
    let second = Server::start(home.path(), &["namesrv", "--listen", &format!("127.0.0.1:{other}"), "--data", "other"]);
    let knows = |port: u16| {
        let said = admin(&home, &format!("clusterList -n 127.0.0.1:{port}"));
        said.stdout.contains(&format!(" 127.0.0.1:{} ", ports.broker))
    };
    assert!(knows(ports.namesrv) && !knows(other));
    let both = format!("127.0.0.1:{};127.0.0.1:{other}", ports.namesrv);
    let said = change(&home, ports, "namesrvAddr", &both);
    let expected = format!("namesrvAddr={both}: applied, was 127.0.0.1:{}\n", ports.namesrv);
    assert!(said.code == Some(0) && said.stdout.contains(&expected), "{said:?}");
    assert!(knows(ports.namesrv) && knows(other), "whoever was answered finds the broker at the new one");
    assert!(change(&home, ports, "broker.name_servers", &format!("127.0.0.1:{other}")).code == Some(0));
    server.wait_for(&format!("name server 127.0.0.1:{} is not named any more", ports.namesrv));
    let deadline = Instant::now() + Duration::from_secs(20);
    while knows(ports.namesrv) {
        assert!(Instant::now() < deadline, "it was not left");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(knows(other));
    server.kill();
    let server = start();
    assert!(knows(other) && !knows(ports.namesrv), "kept over a kill");
    server.stop();
    second.stop();
}

#[test]
fn a_change_that_a_flag_wins_over_says_so() {
    let home = Folder::new("flag-wins");
    let ports = Ports::free();
    home.file("broker.conf", &format!("brokerName=b\nlistenPort={}\nbrokerIP1=127.0.0.1\n", ports.broker));
    let name_server = format!("127.0.0.1:{}", ports.namesrv);
    let first = Server::start(home.path(), &["namesrv", "--listen", &name_server, "--data", "ns"]);
    let start = ["broker", "-c", "broker.conf", "-n", &name_server, "--data", "store"];
    let server = Server::spawn(home.path(), &start).announce("wins over it").announce("not registered, clients");
    server.wait_for(crate::harness::READY);
    let said = change(&home, ports, "namesrvAddr", "127.0.0.1:1");
    let expected =
        format!("namesrvAddr=127.0.0.1:1: applied, was {name_server}, but -n wins over it at the next start");
    assert!(said.code == Some(0) && said.stdout.contains(&expected), "{said:?}");
    server.stop();
    let server = Server::spawn(home.path(), &start).announce("wins over it");
    server.wait_for("namesrvAddr=127.0.0.1:1 does not count: -n wins over it");
    server.wait_for(crate::harness::READY);
    server.stop();
    first.stop();
}

#[test]
fn a_java_file_keeps_its_changes_too_and_a_damaged_overlay_refuses_the_start() {
    let home = Folder::new("overlay-java");
    let ports = Ports::free();
    home.file(
        "broker.conf",
        &format!(
            "brokerName=b\nlistenPort={}\nbrokerIP1=127.0.0.1\nmapedFileSizeCommitLog=1048576\nfileReservedTme=1\n",
            ports.broker
        ),
    );
    let start = ["broker", "-c", "broker.conf", "--data", "store"];
    let spawn = || {
        let server = Server::spawn(home.path(), &start).announce("no name server").announce("fileReservedTme");
        server.wait_for(crate::harness::READY);
        server
    };
    let server = spawn();
    server.wait_for("4 from broker.conf");
    server.wait_for(
        "5: fileReservedTme is no key that is known here, it changes nothing; did you mean fileReservedTime?",
    );
    assert!(change(&home, ports, "brokerPermission", "4").stdout.contains("applied, was 6"));
    server.kill();
    let shown = run(home.path(), &["config", "show", "broker.conf", "--data", "store"]).stdout;
    assert!(shown.contains("brokerPermission = 4  # store/config/overlay.properties: changed by "), "{shown}");
    assert!(shown.contains("brokerName = b  # broker.conf:1\n"), "{shown}");
    assert!(shown.contains("mappedFileSizeCommitLog = 1048576  # broker.conf:4\n"), "{shown}");
    assert!(shown.contains("traceOn = true  # default\n"), "{shown}");
    let folded = run(home.path(), &["config", "fold", "-c", "broker.conf", "--data", "store"]).stdout;
    assert!(folded.contains("permission = \"r\"  # brokerPermission=4, changed while it ran\n"), "{folded}");
    let server = spawn();
    assert_eq!(told(&home, ports, "brokerPermission"), "4");
    server.stop();

    let overlay = home.join("store/config/overlay.properties");
    let good = fs::read_to_string(&overlay).expect("it is there");
    for bad in [&good[..good.len() / 2], "", "brokerPermission=9\n"] {
        fs::write(&overlay, bad).expect("ours");
        let said = run(home.path(), &start);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains("store/config/overlay.properties to start without those changes"), "{said:?}");
    }
    fs::write(&overlay, good.replace("brokerPermission=4", "brokerPermission=9")).expect("ours");
    let said = run(home.path(), &start);
    assert!(said.stderr.contains("brokerPermission=9: accepted is a whole number from 0 to 6; remove "), "{said:?}");
}

#[test]
fn a_reload_changes_what_can_change_names_the_rest_and_a_bad_file_changes_nothing() {
    let home = Folder::new("reload");
    let ports = Ports::free();
    file(&home, ports, "");
    let server = Server::spawn(home.path(), &["run", "-c", "x.toml"]).announce(" reload: ");
    server.wait_for(crate::harness::READY);
    file(
        &home,
        ports,
        "[broker.send]\nmax_message_size = \"2MiB\"\n[broker.flush]\nmode = \"sync\"\n[log]\nlevel = \"info,net=debug\"\n\
         [instance]\nmemory_limit = \"512MiB\"\n",
    );
    server.signal("HUP");
    server.wait_for("reload: broker.send.max_message_size=\"2MiB\": applied, was \"4MiB\"");
    server.wait_for("reload: broker.flush.mode=\"sync\": needs a restart, until then \"async\"");
    server.wait_for("reload: log.level=info,net=debug: applied, was info");
    server.wait_for("reload: instance.memory_limit=512MiB: needs a restart");
    assert_eq!(told(&home, ports, "maxMessageSize"), "2097152");
    file(&home, ports, "[broker.send]\nmax_message_size = \"1MiB\"\ntrace_onn = true\n[log]\nlevel = \"loud\"\n");
    server.signal("HUP");
    server.wait_for("x.toml:17: broker.send.trace_onn is no setting; did you mean broker.send.trace_on?");
    server.wait_for("reload: nothing was changed");
    assert_eq!(told(&home, ports, "maxMessageSize"), "2097152");
    file(&home, ports, "[log]\nlevel = \"loud\"\n");
    server.signal("HUP");
    server.wait_for("x.toml:16: log.level = \"loud\": accepted: off, error, warn");
    server.stop();
}

#[test]
fn the_environment_wins_over_the_file_of_every_start_and_memory_is_said_against_what_there_is() {
    let home = Folder::new("environment");
    let ports = Ports::free();
    home.file("broker.conf", &format!("brokerName=b\nlistenPort={}\nbrokerIP1=127.0.0.1\n", ports.broker));
    let command = |variable: &str, value: &str| {
        let mut command = crate::harness::rocketmq(home.path());
        command.args(["broker", "-c", "broker.conf", "--data", "store"]).env(variable, value);
        command
    };
    let mut with_memory = command("ROCKETMQ__INSTANCE__MEMORY_LIMIT", "128MiB");
    with_memory.env("ROCKETMQ__BROKER__SEND__MAX_MESSAGE_SIZE", "1MiB");
    let server = Server::watch(&mut with_memory).announce("no name server");
    server.wait_for("at most 128MiB (instance.memory_limit), of ");
    assert_eq!(told(&home, ports, "maxMessageSize"), "1048576");
    server.stop();
    for (variable, value, told) in [
        (
            "ROCKETMQ__INSTANCE__MEMORY_LIMIT",
            "1MiB",
            "instance.memory_limit = 1MiB: accepted is \"128MiB\" to \"16TiB\"",
        ),
        (
            "ROCKETMQ__INSTANCE__MEMORY_LIMT",
            "1MiB",
            "instance.memory_limt is no setting; did you mean instance.memory_limit?",
        ),
        ("ROCKETMQ__BROKER__FLUSH__MODE", "maybe", "broker.flush.mode = maybe: accepted is \"async\", \"sync\""),
        ("NAMESRV_ADDR", "host", "NAMESRV_ADDR=host: `host` is not HOST:PORT"),
        ("RUST_LOG", "loud", "RUST_LOG=loud: `loud` is no level"),
    ] {
        let output = command(variable, value).output().expect("the program was built");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(variable) && said.contains(told), "{variable}: {said}");
    }
}

/// Every interval at its smallest: what runs at intervals in a broker runs several times while this test looks.
#[test]
fn an_idle_server_writes_nothing_round_after_round() {
    const LOOK: Duration = Duration::from_secs(23);
    let home = Folder::new("idle");
    let ports = Ports::free();
    file(
        &home,
        ports,
        "[broker.flush]\nlog_interval = \"10ms\"\nqueue_interval = \"10ms\"\n[broker.groups]\n\
         offset_flush_interval = \"100ms\"\n[log]\ndir = \"logs\"\n",
    );
    let text = fs::read_to_string(home.join("x.toml")).expect("ours");
    let text = text
        .replace("[broker]\n", "[broker]\nregister_interval = \"10s\"\n")
        .replace("[namesrv]\n", "[namesrv]\nbroker_scan_interval = \"100ms\"\n");
    home.file("x.toml", &text);
    let server = Server::start(home.path(), &["run", "-c", "x.toml"]);
    let log = || fs::read_to_string(home.join("logs/x.log")).expect("a log");
    let (began, before) = (Instant::now(), log());
    while began.elapsed() < LOOK {
        std::thread::sleep(Duration::from_millis(500));
    }
    let after = log();
    let new: Vec<_> = after[before.len()..].lines().collect();
    assert!(new.len() <= 1, "{new:#?}");
    assert!(!after.contains('\u{1b}'), "no colour codes in files");
    server.stop();
}

#[test]
fn a_log_in_json_is_an_object_a_line_and_files_are_put_aside_at_their_size() {
    let home = Folder::new("json");
    let ports = Ports::free();
    file(
        &home,
        ports,
        "[log]\nformat = \"json\"\ndir = \"logs\"\nlevel = \"debug\"\nfile_size = \"4KiB\"\nfiles = 3\n",
    );
    let server = Server::start(home.path(), &["run", "-c", "x.toml"]);
    // Every change is a line of its own.
    for number in 0..60 {
        assert_eq!(change(&home, ports, "maxMessageSize", &(1000 + number).to_string()).code, Some(0));
    }
    server.stop();
    let mut names: Vec<_> =
        fs::read_dir(home.join("logs")).expect("logs").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["x.log", "x.log.1", "x.log.2"]);
    for name in names {
        let text = fs::read_to_string(home.join("logs").join(name)).expect("a log");
        assert!(text.len() <= 4096, "{}", text.len());
        for line in text.lines() {
            let object: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(object["level"].is_string() && object["fields"]["message"].is_string(), "{line}");
        }
    }
}

#[test]
fn the_memory_limit_holds_under_load() {
    const LIMIT_KIB: u64 = 128 * 1024;
    let home = Folder::new("memory");
    let ports = Ports::free();
    file(&home, ports, "[instance]\nmemory_limit = \"128MiB\"\n");
    let text = fs::read_to_string(home.join("x.toml"))
        .expect("ours")
        .replace("log_file_size = \"1MiB\"", "log_file_size = \"64MiB\"");
    home.file("x.toml", &text);
    let server = Server::spawn(home.path(), &["run", "-c", "x.toml"]).announce("while receive memory (");
    server.wait_for(crate::harness::READY);
    let broker = format!("127.0.0.1:{}", ports.broker);
    // 64 connections with 8 messages of 256 KiB in flight each: 128 MiB of messages at once. On a slow machine some lose
    // their connection, when the memory for unfinished frames is used up and one of them does not grow for seconds.
    let load =
        ["bench", "send", "--broker", &broker, "-t", "T", "--connections", "64", "--depth", "8", "--size", "262144"];
    let said = run(home.path(), &[&load[..], &["--seconds", "3", "--warmup", "0"]].concat());
    assert!(said.code == Some(0) || said.stderr.contains("was lost"), "{said:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    let most: u64 = most.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(most <= LIMIT_KIB, "{most} KiB at most, {LIMIT_KIB} are allowed");
    server.stop();
}
