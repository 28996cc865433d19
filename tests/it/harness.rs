//! Runs the built program: folders of its own, free ports, kept logs, and no line of trouble that a test did not
//! announce. Deadlines only bound a failure; no test measures time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

pub use crate::own::Folder;
use crate::own::{end_of, run_of_free_ports};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is shown of what a server said in a test that failed.
const SHOWN_CHARS: usize = 4_000;

impl Folder {
    /// A new, empty folder.
    pub fn new(name: &str) -> Folder {
        Folder::within(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file inside and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// The names of what is inside.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("the folder is ours");
        let mut names: Vec<_> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Ports for a name server and a broker.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub namesrv: u16,
    pub broker: u16,
}

impl Ports {
    /// Free ones, for this test alone.
    pub fn free() -> Ports {
        Ports { namesrv: run_of_free_ports() + 3, broker: run_of_free_ports() + 2 }
    }

    /// One more, for metrics.
    pub fn metrics(self) -> u16 {
        self.namesrv - 3
    }
}

/// The program, with an environment of its own.
pub fn rocketmq(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketmq"));
    command.env_remove("NAMESRV_ADDR").env_remove("ROCKETMQ_HOME").env_remove("RUST_LOG").env("HOME", home);
    // Many run at once; a test of metrics asks for a port of its own.
    command.env("ROCKETMQ__METRICS__LISTEN", "off");
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command that ends by itself said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command that ends by itself.
pub fn run(home: &Path, args: &[&str]) -> Said {
    let mut child = rocketmq(home).args(args).spawn().expect("the program was built");
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child).unwrap_or_else(|| panic!("`rocketmq {}` does not end", args.join(" ")));
    let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("the reader does not panic");
    Said { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.expect("it is piped").read_to_string(&mut text).expect("the program writes UTF-8");
        text
    })
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it is our child");
    None
}

/// A running server. Its output is kept; trouble that was not announced fails the test.
pub struct Server {
    child: Child,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    announced: Vec<String>,
    what: String,
}

/// The line that a server says when it can be used.
pub const READY: &str = " is ready";

impl Server {
    /// Starts the program and waits until it says that it is ready.
    pub fn start(home: &Path, args: &[&str]) -> Server {
        let server = Server::spawn(home, args);
        server.wait_for(READY);
        server
    }

    /// Starts the program.
    pub fn spawn(home: &Path, args: &[&str]) -> Server {
        Server::watch(rocketmq(home).args(args))
    }

    /// Starts a command that becomes the program.
    pub fn watch(command: &mut Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let mut child = command.spawn().expect("the program was built");
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        follow(child.stdout.take(), lines.clone());
        follow(child.stderr.take(), lines.clone());
        Server { child, lines, announced: Vec::new(), what }
    }

    /// Says that lines with this text may be warnings or errors.
    pub fn announce(mut self, text: &str) -> Server {
        self.announced.push(text.to_owned());
        self
    }

    /// Waits for a line with this text and returns it.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_count(text, 1)
    }

    /// Waits for so many lines with this text and returns the last of them.
    pub fn wait_for_count(&self, text: &str, count: usize) -> String {
        let (lines, grown) = &*self.lines;
        let deadline = Instant::now() + PATIENCE;
        let mut seen = lines.lock();
        loop {
            if let Some(line) = seen.iter().filter(|line| line.contains(text)).nth(count - 1) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Both pipes.
            let ended = seen.iter().filter(|line| *line == ENDED).count() == 2;
            if left.is_zero() || ended {
                drop(seen);
                panic!("`{}` never said `{text}` {count} times", self.what);
            }
            grown.wait_for(&mut seen, left);
        }
    }

    /// Everything it said so far.
    pub fn said(&self) -> String {
        self.lines.0.lock().join("\n")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as `kill -s NAME` would.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill exists");
        assert!(status.success());
    }

    /// Asks it to stop, waits for the end and checks that the end was a clean one.
    pub fn stop(self) {
        self.signal("TERM");
        self.ends();
    }

    /// Waits for the end and checks that it was a clean one.
    pub fn ends(mut self) {
        let status = wait(&mut self.child).unwrap_or_else(|| panic!("`{}` does not stop", self.what));
        assert!(status.success(), "`{}` ended with {status}", self.what);
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    fn trouble(&self) -> Vec<String> {
        let lines = self.lines.0.lock();
        let is_trouble =
            |line: &&String| line.contains(" ERROR ") || line.contains(" WARN ") || line.contains("panicked at");
        let unannounced = |line: &&String| !self.announced.iter().any(|text| line.contains(text));
        lines.iter().filter(is_trouble).filter(unannounced).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let killed = self.child.kill().and_then(|()| self.child.wait());
            if let Err(error) = killed {
                eprintln!("cannot end `{}`: {error}", self.what);
            }
        }
        if std::thread::panicking() {
            eprintln!("--- the end of what `{}` said\n{}", self.what, end_of(&self.said(), SHOWN_CHARS));
            return;
        }
        let trouble = self.trouble();
        assert!(trouble.is_empty(), "`{}` had trouble that was not announced:\n{}", self.what, trouble.join("\n"));
    }
}

/// Stands behind the last line of a pipe that was closed.
const ENDED: &str = "(ended)";

fn follow(pipe: Option<impl Read + Send + 'static>, lines: Arc<(Mutex<Vec<String>>, Condvar)>) {
    let pipe = BufReader::new(pipe.expect("it is piped"));
    std::thread::spawn(move || {
        let told = pipe.lines().map_while(Result::ok).chain(std::iter::once(ENDED.to_owned()));
        for line in told {
            lines.0.lock().push(line);
            lines.1.notify_all();
        }
    });
}
