//! Every command that the documentation shows is run: all lines of all `sh` blocks, page by page, from the top, and what
//! `text` blocks have Java's installation do. What changes a machine stands in `bash` blocks: tests/packages/booted has one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Folder, Ports, Server, rocketmq};

#[test]
fn every_command_of_the_readme_and_the_docs_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(markdown(&root.join("docs")));
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        let commands = commands(&text);
        assert!(!commands.is_empty() || !text.contains("```sh"), "{}: no command found", page.display());
        every_block_is_run_somewhere(&page, &text);
        let mut reader = Reader::new(&page);
        commands.iter().for_each(|typed| match typed {
            Typed::Here(line) => reader.types(line),
            Typed::Java(line) => reader.asks_java(line),
        });
    }
}

/// Which blocks of which pages are run: by this test, by tests/interop/monitor.rs, by tests/packages/booted.
const BLOCKS: &[(&str, &str)] =
    &[("```sh", ""), ("```text", "migrate.md"), ("```sh prometheus", "monitor.md"), ("```bash", "install.md")];

fn every_block_is_run_somewhere(page: &Path, text: &str) {
    let fences = text.lines().map(str::trim).filter(|line| line.starts_with("```"));
    for opening in fences.step_by(2) {
        let is_run = BLOCKS.iter().any(|(kind, name)| *kind == opening && (name.is_empty() || page.ends_with(name)));
        assert!(is_run, "{}: nobody runs what stands in a block `{opening}`", page.display());
    }
}

/// What a page has its reader type.
#[derive(Debug)]
enum Typed {
    /// A line of an `sh` block.
    Here(String),
    /// A line of a `text` block: a command of Java's installation.
    Java(String),
}

/// The lines of the blocks, continued lines joined.
fn commands(text: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    let mut inside = "";
    for line in text.lines().map(str::trim) {
        match line {
            "```sh" | "```text" => inside = line,
            "```" => inside = "",
            "" => {}
            _ if line.starts_with('#') => {}
            _ if inside == "```text" => commands.push(Typed::Java(line.to_owned())),
            _ if inside == "```sh" => match commands.last_mut() {
                Some(Typed::Here(last)) if last.ends_with('\\') => {
                    last.pop();
                    last.push_str(line);
                }
                _ => commands.push(Typed::Here(line.to_owned())),
            },
            _ => {}
        }
    }
    commands
}

/// Somebody who follows a page. Servers keep running as in terminals of their own, one of a kind; ports are free ones.
struct Reader {
    page: PathBuf,
    home: Folder,
    ports: Ports,
    namesrv: Option<Server>,
    broker: Option<Server>,
}

impl Reader {
    fn new(page: &Path) -> Reader {
        let mut reader = Reader {
            page: page.to_owned(),
            home: Folder::new("docs"),
            ports: Ports::free(),
            namesrv: None,
            broker: None,
        };
        if page.ends_with("migrate.md") {
            // Java's servers are ours here, started in the foreground; `tests/interop` follows the page with Java's own.
            let text = format!(
                "brokerName=broker-a\nlistenPort={}\nbrokerIP1=127.0.0.1\nstorePathRootDir=store\n\
                 registerNameServerPeriod=10000\nfileReservedTime=48\n",
                reader.ports.broker
            );
            reader.home.file("broker.conf", &text);
            reader.asks_java("nohup sh bin/mqnamesrv &");
            reader.asks_java("nohup sh bin/mqbroker -n 127.0.0.1:9876 -c broker.conf &");
        }
        reader
    }

    fn asks_java(&mut self, line: &str) {
        let namesrv = format!("127.0.0.1:{}", self.ports.namesrv);
        match line.split_whitespace().nth(2) {
            Some("namesrv") => stop(&mut self.namesrv),
            Some("broker") => stop(&mut self.broker),
            Some("bin/mqnamesrv") => {
                let args = ["namesrv", "--listen", &namesrv, "--data", "java-namesrv"];
                self.namesrv = Some(Server::start(self.home.path(), &args));
            }
            Some("bin/mqbroker") => {
                let server = Server::spawn(self.home.path(), &["broker", "-n", &namesrv, "-c", "broker.conf"])
                    .announce("not registered, clients cannot find this broker there");
                server.wait_for(crate::harness::READY);
                self.broker = Some(server);
            }
            _ => panic!("{}: `{line}` is no command of Java's that is known here", self.page.display()),
        }
    }

    fn types(&mut self, line: &str) {
        if line == "cargo test" {
            return; // This is it.
        }
        let line = line.replace("cargo run --release --", "rocketmq");
        if line.contains(" --daemon") {
            let listens = line.contains("--listen") || self.page.ends_with("migrate.md");
            return self.runs(&if listens {
                line
            } else {
                format!("{line} --listen 127.0.0.1:{}", Ports::free().broker)
            });
        }
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["rocketmq", "dev", ..] => {
                stop(&mut self.broker);
                stop(&mut self.namesrv);
                self.ports = Ports::free();
                let ports = [
                    "--namesrv-port".into(),
                    self.ports.namesrv.to_string(),
                    "--broker-port".into(),
                    self.ports.broker.to_string(),
                    "--metrics".into(),
                    format!("127.0.0.1:{}", self.ports.metrics()),
                ];
                self.namesrv = Some(self.server(&line, &ports));
            }
            ["rocketmq", "namesrv", ..] => {
                stop(&mut self.namesrv);
                self.namesrv =
                    Some(self.server(&line, &["--listen".into(), format!("127.0.0.1:{}", self.ports.namesrv)]));
            }
            ["rocketmq", "broker", ..] => {
                stop(&mut self.broker);
                self.ports.broker = Ports::free().broker;
                self.broker =
                    Some(self.server(&line, &["--listen".into(), format!("127.0.0.1:{}", self.ports.broker)]));
            }
            ["rocketmq", "example", "consumer", ..] => {
                let consumer = self.server(&line, &[]);
                consumer.wait_for("Receive New Messages");
                consumer.stop();
            }
            _ => self.runs(&line),
        }
    }

    fn server(&self, line: &str, ports: &[String]) -> Server {
        let line = self.mapped(line);
        let mut args: Vec<&str> = line.split_whitespace().skip(1).collect();
        if args.contains(&"example") {
            return Server::spawn(self.home.path(), &args);
        }
        if !args.contains(&"--listen") && !args.contains(&"--namesrv-port") {
            args.extend(ports.iter().map(String::as_str));
        }
        Server::start(self.home.path(), &args)
    }

    /// A command that ends by itself, in a shell that finds `rocketmq`.
    fn runs(&self, line: &str) {
        let program = PathBuf::from(rocketmq(self.home.path()).get_program());
        let folder = program.parent().expect("it is in a folder").display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.mapped(line)]).env("PATH", path).current_dir(self.home.path()).stdin(Stdio::null());
        shell.env("ROCKETMQ__METRICS__LISTEN", "off");
        shell.env("HOME", self.home.path()).env("RUNTIME_DIRECTORY", self.home.join("run")).env_remove("NAMESRV_ADDR");
        let output = shell.output().expect("a shell");
        assert!(output.status.success(), "{}: `{line}`: {output:?}", self.page.display());
    }

    fn mapped(&self, line: &str) -> String {
        line.replace(":9876", &format!(":{}", self.ports.namesrv))
            .replace("127.0.0.1:10911", &format!("127.0.0.1:{}", self.ports.broker))
            .replace("127.0.0.1:5557", &format!("127.0.0.1:{}", self.ports.metrics()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Daemons that the page would have stopped.
            for file in fs::read_dir(self.home.join("run")).into_iter().flatten().flatten() {
                let pid = fs::read_to_string(file.path()).unwrap_or_default();
                drop(Command::new("kill").args(["-9", pid.trim()]).status());
            }
            return;
        }
        stop(&mut self.broker);
        stop(&mut self.namesrv);
    }
}

fn stop(server: &mut Option<Server>) {
    if let Some(server) = server.take() {
        server.stop();
    }
}

fn markdown(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            pages.extend(markdown(&path));
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path);
        }
    }
    pages
}
