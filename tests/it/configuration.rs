//! Configuration files in TOML and the commands that look at files.

use std::fs;

use crate::harness::{Folder, Ports, Server, run};

#[test]
fn the_roles_of_a_file_are_started() {
    let home = Folder::new("run");
    let ports = Ports::free();
    let text = format!(
        "[namesrv]\nlisten = \"127.0.0.1:{}\"\ndata = \"ns\"\n\n[broker]\nname = \"b\"\nlisten = \"127.0.0.1:{}\"\n\
         name_servers = [\"127.0.0.1:{}\"]\n\n[broker.flush]\nmode = \"sync\"\n\n[broker.store]\ndata = \"store\"\n\
         log_file_size = \"1MiB\"\n\n[log]\ndir = \"logs\"\n",
        ports.namesrv, ports.broker, ports.namesrv
    );
    home.file("here.toml", &text);
    let server = Server::start(home.path(), &["run", "-c", "here.toml"]);
    server.wait_for("b of DefaultCluster");
    server.wait_for("logs/here.log");
    server.stop();
    let log = fs::read_to_string(home.join("logs/here.log")).expect("a log");
    assert!(log.contains("stopped") && !log.contains('\u{1b}'), "{log}");
    assert!(home.join("store/config/topics.json").is_file());
}

#[test]
fn a_file_with_mistakes_is_refused_with_all_of_them_and_touches_nothing() {
    let home = Folder::new("run-bad");
    home.file("x.toml", "[broker]\nnmae = \"a\"\nlisten = \"9876\"\n[broker.flush]\nlog_interval = 500\n");
    // The unit has systemd give up on 2 and try again after all else: another try does not mend a file.
    for (args, code) in [(&["run", "-c", "x.toml"][..], 2), (&["config", "check", "x.toml"], 1)] {
        let said = run(home.path(), args);
        assert_eq!(said.code, Some(code));
        let lines: Vec<_> = said.stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].ends_with("x.toml:2: broker.nmae is no setting; did you mean broker.name?"), "{lines:?}");
        assert!(lines[1].ends_with("x.toml:3: broker.listen = \"9876\": accepted is \"IP:PORT\""), "{lines:?}");
        assert!(
            lines[2].contains("x.toml:5: broker.flush.log_interval = 500: accepted is a time with its unit"),
            "{lines:?}"
        );
    }
    home.file("empty.toml", "[log]\nlevel = \"info\"\n");
    let said = run(home.path(), &["run", "-c", "empty.toml"]);
    assert!(said.code == Some(2) && said.stderr.contains("nothing would run"), "{said:?}");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = taken.local_addr().expect("an address");
    home.file("taken.toml", &format!("[namesrv]\nlisten = \"{address}\"\n[metrics]\nlisten = \"off\"\n"));
    let said = run(home.path(), &["run", "-c", "taken.toml"]);
    assert!(said.code == Some(1) && said.stderr.contains("in use"), "{said:?}");
    assert_eq!(home.names(), ["empty.toml", "taken.toml", "x.toml"]);
}

#[test]
fn every_effective_value_is_shown_with_its_origin_and_explained() {
    let home = Folder::new("show");
    home.file("x.toml", "[broker.flush]\nmode = \"sync\"\n");
    let shown = run(home.path(), &["config", "show", "x.toml"]).stdout;
    assert!(shown.contains("broker.flush.mode = \"sync\"  # x.toml:2\n"), "{shown}");
    assert!(shown.contains("broker.cluster = \"DefaultCluster\"  # default\n"), "{shown}");
    assert!(!shown.contains("namesrv."), "only the roles of the file: {shown}");
    home.file("x.conf", "brokerClusterName=c\nbrokerIP1=127.0.0.1\n");
    let with_name_server = |file: &str| {
        let mut command = crate::harness::rocketmq(home.path());
        let output = command.args(["config", "show", file]).env("NAMESRV_ADDR", "a:1;b:2").output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let decided =
        [("broker.name_servers = [\"a:1\", \"b:2\"]", "NAMESRV_ADDR"), ("broker.name = ", "the name of this machine")];
    let more = [("broker.advertise = \"", "address of "), ("broker.store.data = \"~/store\"", "default")];
    let java = [("namesrvAddr = a:1;b:2  # ", "NAMESRV_ADDR"), ("brokerIP1 = 127.0.0.1  # ", "x.conf:2")];
    for (file, lines) in [("x.toml", &decided), ("x.toml", &more), ("x.conf", &java)] {
        let shown = with_name_server(file);
        for (begin, origin) in lines {
            let line =
                shown.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin} in {shown}"));
            assert!(line.contains(origin), "{origin}: {line}");
        }
    }
    let told = run(home.path(), &["config", "explain", "flushDiskType"]).stdout;
    assert!(told.contains("broker.flush.mode") && told.contains("ROCKETMQ__BROKER__FLUSH__MODE"), "{told}");
    let said = run(home.path(), &["config", "explain", "flushDiskTyp"]);
    assert!(said.code == Some(1) && said.stderr.contains("did you mean flushDiskType?"), "{said:?}");
}

#[test]
fn a_java_file_is_migrated_and_the_result_starts() {
    let home = Folder::new("migrate");
    let ports = Ports::free();
    let text = format!(
        "brokerName=m\nlistenPort={}\nstorePathRootDir=store\nbrokerIP1=127.0.0.1\nsendMessageThreadPoolNums=4\n",
        ports.broker
    );
    home.file("broker.conf", &text);
    let migrated = run(home.path(), &["config", "migrate", "broker.conf"]);
    assert_eq!((migrated.code, migrated.stderr.as_str()), (Some(0), ""));
    home.file("broker.toml", &migrated.stdout);
    let server = Server::spawn(home.path(), &["run", "-c", "broker.toml"]).announce("no name server");
    server.wait_for("m of DefaultCluster");
    server.stop();
    home.file("acl.conf", "aclEnable=true\n");
    let said = run(home.path(), &["config", "migrate", "acl.conf"]);
    assert!(said.code == Some(1) && said.stderr.contains("acl.conf:1: aclEnable=true"), "{said:?}");
}

#[test]
fn the_files_of_one_cluster_are_compared() {
    let home = Folder::new("lint");
    home.file("namesrv.toml", "[namesrv]\nlisten = \"127.0.0.1:9876\"\n");
    home.file("a.toml", "[broker]\nname = \"a\"\nlisten = \"127.0.0.1:10911\"\nname_servers = [\"127.0.0.1:9876\"]\n[broker.store]\ndata = \"/d/a\"\n");
    home.file(
        "b.properties",
        "brokerName=b\nlistenPort=20911\nbindAddress=127.0.0.1\nnamesrvAddr=127.0.0.1:9876\nstorePathRootDir=/d/b\n",
    );
    let said = run(home.path(), &["config", "lint", "."]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ".: 1 name servers and 2 brokers fit together\n"));
    home.file(
        "b.properties",
        "brokerName=a\nlistenPort=20911\nbindAddress=127.0.0.1\nnamesrvAddr=127.0.0.1:9876\nstorePathRootDir=/d/a\n",
    );
    let said = run(home.path(), &["config", "lint", "."]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.stderr.lines().count(), 2, "{said:?}");
}

#[test]
fn the_shipped_files_can_be_used_and_the_shipped_sets_fit_together() {
    let home = Folder::new("shipped");
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut seen = 0;
    for folder in [conf.clone(), conf.join("2m-noslave")] {
        for entry in fs::read_dir(&folder).expect("shipped").flatten().filter(|entry| entry.path().is_file()) {
            let said = run(home.path(), &["config", "check", &entry.path().display().to_string()]);
            assert!(said.code == Some(0) && said.stdout.contains("can be used"), "{said:?}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} files");
    for kind in ["properties", "toml"] {
        for broker in ["broker-a", "broker-b"] {
            let name = format!("{broker}.{kind}");
            fs::copy(conf.join("2m-noslave").join(&name), home.join(&name)).expect("the folder is ours");
        }
        let said = run(home.path(), &["config", "lint", "."]);
        assert!(said.code == Some(0) && said.stdout.contains("2 brokers fit together"), "{said:?}");
        for name in home.names() {
            fs::remove_file(home.join(&name)).expect("the folder is ours");
        }
    }
}

#[test]
fn the_shipped_sets_with_slaves_fit_together_and_say_what_of_them_is_not_built() {
    let home = Folder::new("sets");
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for set in ["2m-2s-async", "2m-2s-sync"] {
        for kind in ["properties", "toml"] {
            for broker in ["broker-a", "broker-a-s", "broker-b", "broker-b-s"] {
                let name = format!("{broker}.{kind}");
                fs::copy(conf.join(set).join(&name), home.join(&name)).expect("the folder is ours");
                let said = run(home.path(), &["config", "check", &name]);
                if broker.ends_with("-s") {
                    assert!(said.code == Some(1) && said.stderr.contains("built yet"), "{set}: {said:?}");
                    assert!(said.stderr.contains("SLAVE") || said.stderr.contains("slave"), "{set}: {said:?}");
                } else {
                    assert!(said.code == Some(0) && said.stdout.contains("can be used"), "{set}: {said:?}");
                }
            }
            let said = run(home.path(), &["config", "lint", "."]);
            assert!(said.code == Some(0) && said.stdout.contains("4 brokers fit together"), "{set}: {said:?}");
            for name in home.names() {
                fs::remove_file(home.join(&name)).expect("the folder is ours");
            }
        }
    }
}
