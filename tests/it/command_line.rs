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
fn words_in_the_wrong_place_are_one_line_that_says_where_they_belong() {
    let home = Folder::new("words");
    let check = |args: &str, line: &str| {
        refused(&run(home.path(), &args.split(' ').collect::<Vec<_>>()), 2, &[line]);
    };
    check("broker start", "unexpected argument 'start' found; `rocketmq broker --help` lists what is taken");
    check("start broker", "'start'");
    check("help", "`rocketmq --help` lists what is taken");
    check("clusterList -n a:1", "it is a command of `rocketmq admin clusterList`");
    check("config show", "required arguments were not provided; <FILE>; `rocketmq config show --help`");
    check("run x.toml", "unexpected argument 'x.toml' found; `rocketmq run --help`");
    check("broker --working-directory x", "--daemon");
    let admin = |args: &[&str], line: &str| {
        let said = run(home.path(), &[&["admin"], args].concat());
        assert!(said.code == Some(2) && said.stderr.lines().count() == 1 && said.stderr.contains(line), "{said:?}");
    };
    admin(&["-n", "a:1", "clusterList"], "-n: the command comes first, its flags behind it");
    admin(&["clusterlist"], "did you mean clusterList?");
    admin(&["clusterList", "-n", "a"], "-n a: `a` is not HOST:PORT");
    let mut command = crate::harness::rocketmq(home.path());
    let output = command.args(["admin", "clusterList"]).env("NAMESRV_ADDR", "a b:1").output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("NAMESRV_ADDR a b:1: `a b:1` is not HOST:PORT"), "{told}");
    assert!(home.names().is_empty(), "nothing is touched: {:?}", home.names());
}

#[test]
fn files_that_are_not_what_they_should_be_are_one_line_each_with_what_to_do() {
    let home = Folder::new("files");
    let files: [(&str, &[u8]); 6] = [
        ("java.conf", b"brokerName=a\n"),
        ("ours.toml", b"[broker]\nname = \"a\"\n"),
        ("latin.toml", b"[broker]\n\n# \xd6\xd0\n"),
        ("broken.toml", b"[broker]\nname = a\n"),
        ("variable.toml", b"[broker.store]\ndata = \"${HOME}/store\"\n"),
        ("passwords", b"root:x:0\nuser:x:1\n"),
    ];
    for (name, bytes) in files {
        std::fs::write(home.join(name), bytes).expect("ours");
    }
    home.file("large.toml", "[instance]\nmemory_limit = \"128MiB\"\n[broker.send]\nmax_message_size = \"100MiB\"\n");
    let names = home.names();
    let check = |args: &str, line: &str| {
        // The unit does not start again what no other try makes better.
        let code = if args.starts_with("run ") { 2 } else { 1 };
        refused(&run(home.path(), &args.split(' ').collect::<Vec<_>>()), code, &[line]);
    };
    let absolute = home.join("gone.conf").display().to_string();
    let gone = format!("cannot read the file gone.conf ({absolute}): No such file or directory; check its path");
    check("broker -c gone.conf", &gone);
    check("namesrv -c gone.conf", &gone);
    check("broker -p -c gone.conf", &gone);
    check("config check gone.conf", &gone);
    check("run -c gone.toml", "cannot read the file gone.toml (");
    check("config fold -c gone.toml", "cannot read the file gone.toml (");
    check("broker -c .", "cannot read the file . (");
    for role in ["broker", "namesrv"] {
        check(&format!("{role} -c ours.toml"), "one in TOML is started with `rocketmq run -c ours.toml`");
    }
    check("config migrate ours.toml", "ours.toml: a Java file is needed here");
    check("run -c java.conf", "a Java file is started with `rocketmq broker -c java.conf`");
    for command in ["run -c latin.toml", "config check latin.toml"] {
        check(command, "latin.toml:3: this line is not in UTF-8; save the file in that encoding");
    }
    check("run -c broken.toml", "broken.toml:2: `name = a` is no TOML: ");
    check(
        "run -c variable.toml",
        "accepted is a path without variables, which are not replaced; ~/ is the home folder",
    );
    check("config lint java.conf", "cannot read the folder java.conf: Not a directory; give the folder with the files");
    check("config lint gone", "cannot read the folder gone: No such file or directory");
    check("status x --pid-file passwords", "passwords: `root:x:0` is no process id");
    check("stop x --pid-file gone.pid", "x does not run, says gone.pid; ");
    check("broker --data java.conf", "java.conf is a file, a folder is needed");
    assert_eq!(home.names(), names, "nothing is touched");
}

#[test]
fn a_java_file_as_editors_on_windows_leave_it_is_read_as_java_reads_it_and_its_traps_are_said() {
    let home = Folder::new("windows");
    let text = "\u{feff}brokerName = a \r\n# \u{4e2d}\u{6587}\r\nflushDiskType=SYNC_FLUSH\t\r\nlistenPort=1\r\nlistenPort=33011\r\n\
                storePathRootDir=${user.home}/store\r\nbrokerClusterName=\\u4e2d\\u6587\r\nstorePathCommitLog=C:\\store\r\n";
    home.file("broker.conf", text);
    let said = run(home.path(), &["config", "check", "broker.conf"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    for line in [
        "broker.conf:4: listenPort is set again on line 5, which counts",
        "broker.conf:6: storePathRootDir=${user.home}/store is taken as it is written, here as in Java: variables and ~ are not",
    ] {
        assert!(said.stdout.contains(line), "{line}: {said:?}");
    }
    let shown = run(home.path(), &["config", "show", "broker.conf"]).stdout;
    for line in [
        "brokerName = a  # broker.conf:1",
        "flushDiskType = SYNC_FLUSH  # broker.conf:3",
        "listenPort = 33011  # broker.conf:5",
        "brokerClusterName = \u{4e2d}\u{6587}  # broker.conf:7",
        "storePathCommitLog = C:store  # broker.conf:8",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
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
    refused(&said, 1, &[&format!("port {} is {holder}", ports.namesrv), &format!("port {} is {holder}", ports.broker)]);
    let remedies = ["choose another with --namesrv-port", "choose another with --broker-port"];
    assert!(said.stderr.lines().zip(remedies).all(|(told, remedy)| told.ends_with(remedy)), "{said:?}");
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
    refused(&said, 1, &["cannot read the file missing.conf ("]);
}
