//! Every command that the documentation shows is run: all lines of all `sh` blocks, page by page, from the top.

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
        let mut reader = Reader::new(&page);
        commands.iter().for_each(|line| reader.types(line));
    }
}

/// The lines of the `sh` blocks, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.is_empty() && !line.starts_with('#') => match commands.last_mut() {
                Some(last) if last.ends_with('\\') => {
                    last.pop();
                    last.push_str(line);
                }
                _ => commands.push(line.to_owned()),
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
        Reader { page: page.to_owned(), home: Folder::new("docs"), ports: Ports::free(), namesrv: None, broker: None }
    }

    fn types(&mut self, line: &str) {
        if line == "cargo test" {
            return; // This is it.
        }
        let line = line.replace("cargo run --release --", "rocketmq");
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["rocketmq", "dev", ..] => {
                stop(&mut self.namesrv);
                stop(&mut self.broker);
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
            _ => self.runs(&line),
        }
    }

    fn server(&self, line: &str, ports: &[String]) -> Server {
        let line = self.mapped(line);
        let mut args: Vec<&str> = line.split_whitespace().skip(1).collect();
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
        let output = shell.output().expect("a shell");
        assert!(output.status.success(), "{}: `{line}`: {output:?}", self.page.display());
    }

    fn mapped(&self, line: &str) -> String {
        line.replace("127.0.0.1:9876", &format!("127.0.0.1:{}", self.ports.namesrv))
            .replace("127.0.0.1:10911", &format!("127.0.0.1:{}", self.ports.broker))
            .replace("127.0.0.1:5557", &format!("127.0.0.1:{}", self.ports.metrics()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            stop(&mut self.broker);
            stop(&mut self.namesrv);
        }
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
