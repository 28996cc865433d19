//! What a test has for itself: a folder, and ports that no other test is given, in this process or in another on the same
//! machine, so that no test's clients ever meet another test's servers. When a test fails, the ends of the logs in its
//! folder are printed: where CI ran it nothing else is left to look at. Shared by tests/it and tests/interop.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// A folder that is removed at the end of a test that went well.
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder in `parent`: never one that an earlier run left.
    pub fn within(parent: &Path, name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let unique = format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = parent.join(unique);
            match fs::create_dir(&path) {
                Ok(()) => return Folder(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}kept for a look: {}", ends_of_logs(&self.0), self.0.display());
        } else if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// What is printed of each log of a failed test, and of all of them: CI keeps the last 10,000 characters.
const LINES_OF_A_LOG: usize = 60;
const CHARS_OF_A_LOG: usize = 2_500;
const CHARS_OF_ALL: usize = 8_000;
const CHARS_OF_A_LINE: usize = 400;

/// Kinds of files with what a test's processes said, by their endings, the most telling last: logs of Java's, complaints
/// of peers, what peers heard, what servers printed.
const KINDS: [&str; 4] = ["log", "err", "heard", "out"];

/// The last lines of a text, cut to a bounded length.
pub fn end_of(text: &str, chars: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut left = chars;
    for line in text.lines().rev().take(LINES_OF_A_LOG) {
        let line: String = line.chars().take(CHARS_OF_A_LINE).collect();
        if line.len() >= left {
            break;
        }
        left -= line.len() + 1;
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}

fn ends_of_logs(folder: &Path) -> String {
    let mut found = Vec::new();
    find_logs(folder, &mut found);
    found.sort();
    let mut printed = Vec::new();
    let mut left = CHARS_OF_ALL;
    for (_, path) in found.iter().rev() {
        let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let end = end_of(&text, CHARS_OF_A_LOG.min(left));
        if !end.is_empty() {
            left -= end.len();
            let name = path.strip_prefix(folder).unwrap_or(path);
            printed.push(format!("--- the end of {}\n{end}\n", name.display()));
        }
    }
    printed.reverse();
    printed.concat()
}

/// The logs below a folder, with their place in [`KINDS`].
fn find_logs(folder: &Path, found: &mut Vec<(usize, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_logs(&path, found);
        } else if let Some(rank) = KINDS.iter().position(|kind| path.extension().is_some_and(|ending| ending == *kind))
        {
            found.push((rank, path));
        }
    }
}

/// Ports are given from here on: below the range that systems give to outgoing connections.
const FIRST: u16 = 20_000;
/// A test process takes blocks of them, and keeps them until it ends.
const BLOCKS: u16 = 120;
const BLOCK: u16 = 100;
/// Neighbours that are given together: a broker has the port two below its own as well, Java's the one above.
const RUN: u16 = 4;

/// The blocks of this process, and what is left of the last one.
struct Taken {
    // A name in the kernel's table is free again when the process ends, however it ends.
    blocks: Vec<UnixListener>,
    left: Range<u16>,
}

static TAKEN: Mutex<Taken> = Mutex::new(Taken { blocks: Vec::new(), left: 0..0 });

/// The first of [`RUN`] neighbouring ports that nobody listens on, given once.
pub fn run_of_free_ports() -> u16 {
    let mut taken = TAKEN.lock();
    loop {
        if taken.left.is_empty() {
            let (name, ports) = block_of_ports();
            taken.blocks.push(name);
            taken.left = ports;
        }
        let first = taken.left.start;
        taken.left.start += RUN;
        if (first..first + RUN).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()) {
            return first;
        }
    }
}

fn block_of_ports() -> (UnixListener, Range<u16>) {
    for block in 0..BLOCKS {
        let name = SocketAddr::from_abstract_name(format!("rocketmq-tests-ports-{block}")).expect("a short name");
        if let Ok(name) = UnixListener::bind_addr(&name) {
            return (name, FIRST + block * BLOCK..FIRST + (block + 1) * BLOCK);
        }
    }
    panic!("all ports from {FIRST} to {} are given to tests that run", FIRST + BLOCKS * BLOCK - 1);
}
