//! Where log lines go: stderr, coloured only on a terminal, or files of a bounded size and number; which of them are
//! written, by level and module, changeable while the process runs. `RUST_LOG` wins over the settings at the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::keys::Does::{Number, Text};
use super::keys::{Key, Table, key, nearest};
use super::repeats::{Repeats, Summary, Teller};

/// Environment variable that sets levels, for example `info,store=debug`.
pub const LEVELS: &str = "RUST_LOG";

/// Environment variable that says which stream leads to systemd's journal: its device and inode.
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Level, or levels by module.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Folder of the files; `None` is stderr.
    pub dir: Option<PathBuf>,
    /// Size in bytes at which a file is put aside.
    pub file_size: u64,
    /// Number of files that are kept, the one in use included.
    pub files: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { level: "info".to_owned(), json: false, dir: None, file_size: 64 << 20, files: 10 }
    }
}

/// The keys of `[log]`.
pub const TABLE: Table<Settings> = Table { rows: &[ROWS], unused: &[] };

const ROWS: &[Key<Settings>] = &[
    key("level", Text { accepts: ACCEPTED, set: |s, text| directives(text).ok().map(|_| s.level = text.to_owned()) }),
    key(
        "format",
        Text {
            accepts: "text or json",
            set: |s, text| {
                s.json = text == "json";
                Some(())
            },
        },
    ),
    key(
        "dir",
        Text {
            accepts: "a path",
            set: |s, text| {
                s.dir = Some(PathBuf::from(text));
                Some(())
            },
        },
    ),
    key("fileSize", Number { range: (4096, 1 << 40), set: |s, bytes| s.file_size = bytes }),
    key("files", Number { range: (2, 10_000), set: |s, files| s.files = files }),
];

/// Parts of the program whose level can be set by their bare name.
const MODULES: [&str; 11] =
    ["admin", "app", "base", "bench", "broker", "client", "example", "namesrv", "net", "store", "wire"];
const LEVEL_NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What `log.level` accepts.
const ACCEPTED: &str = "off, error, warn, info, debug or trace, and MODULE=LEVEL with a module such as store, net, broker or \
                        namesrv, separated by commas";

/// Levels as the library reads them, or what is wrong: `store=debug` is `rocketmq::store=debug` there.
pub fn directives(levels: &str) -> Result<String, String> {
    let mut directives = Vec::new();
    for part in levels.split(',').map(str::trim) {
        let (module, level) =
            part.rsplit_once('=').map_or((None, part), |(module, level)| (Some(module.trim()), level.trim()));
        if !LEVEL_NAMES.contains(&level.to_ascii_lowercase().as_str()) {
            let near = nearest(level, LEVEL_NAMES.into_iter())
                .map_or_else(String::new, |name| format!("; did you mean {name}?"));
            return Err(format!("`{level}` is no level{near} (accepted: {ACCEPTED})"));
        }
        directives.push(match module {
            None => level.to_owned(),
            Some(module) if MODULES.contains(&module) => format!("rocketmq::{module}={level}"),
            Some(module) if module == "rocketmq" || module.contains("::") => format!("{module}={level}"),
            Some(module) => {
                let near = nearest(module, MODULES.into_iter())
                    .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                return Err(format!("`{module}` is no module{near} (accepted: {ACCEPTED})"));
            }
        });
    }
    Ok(directives.join(","))
}

fn filter(levels: &str) -> Result<EnvFilter, String> {
    let directives = directives(levels)?;
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&directives)
        .map_err(|error| format!("{error} (accepted: {ACCEPTED})"))
}

/// The log of this process.
#[derive(Clone, Debug)]
pub struct Log {
    files: Option<Arc<Mutex<Files>>>,
    levels: reload::Handle<EnvFilter, Registry>,
    level: Arc<Mutex<String>>,
    /// Tells what was not written, at the latest when the last part of the process lets go of the log.
    teller: Arc<Mutex<Option<Teller>>>,
}

/// Leaves out repeats.
struct Collapsing(Repeats);

impl<S: tracing::Subscriber> Layer<S> for Collapsing {
    fn event_enabled(&self, event: &tracing::Event<'_>, _: Context<'_, S>) -> bool {
        self.0.writes(event)
    }
}

/// Starts logging under a name, which is that of the file too. Called once, before anything that might log.
pub fn start(name: &str, settings: &Settings) -> Result<Log, String> {
    let (given, origin) = match environment() {
        Some(levels) => (levels, LEVELS),
        None => (settings.level.clone(), "log.level"),
    };
    let filter = filter(&given).map_err(|what| format!("{origin}={given}: {what}"))?;
    let files = match &settings.dir {
        Some(dir) => Some(Arc::new(Mutex::new(Files::open(dir, name, settings)?))),
        None => None,
    };
    let (filter, levels) = reload::Layer::new(filter);
    let (repeats, teller) = Repeats::start(tell).map_err(|error| format!("starting the log: {error}"))?;
    let writer = Writer { journal: files.is_none() && !settings.json && is_journal(), files: files.clone() };
    let ansi = files.is_none() && !settings.json && io::stderr().is_terminal();
    let lines = fmt::layer().with_ansi(ansi).with_writer(writer);
    let lines = if settings.json { lines.json().boxed() } else { lines.boxed() };
    let registry = tracing_subscriber::registry().with(filter).with(lines).with(Collapsing(repeats));
    registry.try_init().map_err(|error| format!("starting the log: {error}"))?;
    Ok(Log { files, levels, level: Arc::new(Mutex::new(given)), teller: Arc::new(Mutex::new(Some(teller))) })
}

/// Levels of the environment.
fn environment() -> Option<String> {
    std::env::var(LEVELS).ok().filter(|levels| !levels.is_empty())
}

/// A line about lines that were not written. This module's target would be one of ours to filter like any other.
fn tell(summary: Summary) {
    const TARGET: &str = "rocketmq::app::repeats";
    match summary.level {
        tracing::Level::ERROR => tracing::error!(target: TARGET, "{}", summary.text),
        tracing::Level::WARN => tracing::warn!(target: TARGET, "{}", summary.text),
        tracing::Level::INFO => tracing::info!(target: TARGET, "{}", summary.text),
        _ => tracing::debug!(target: TARGET, "{}", summary.text),
    }
}

impl Log {
    /// Where it goes, for people.
    pub fn place(&self) -> String {
        match &self.files {
            Some(files) => files.lock().path.display().to_string(),
            None => "stderr".to_owned(),
        }
    }

    /// Has stderr lead into the file, from now on and whenever a new one is begun; false when there is no file. What the
    /// runtime says when it aborts is found there.
    pub fn take_stderr(&self) -> io::Result<bool> {
        let Some(files) = &self.files else { return Ok(false) };
        let mut files = files.lock();
        rustix::stdio::dup2_stderr(&files.file)?;
        files.takes_stderr = true;
        Ok(true)
    }

    /// Opens the file anew, for programs that put logs aside themselves.
    pub fn reopen(&self) -> io::Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.lock().reopen())
    }

    /// The levels in force.
    pub fn level(&self) -> String {
        self.level.lock().clone()
    }

    /// Changes levels at once.
    pub fn set_level(&self, levels: &str) -> Result<(), String> {
        let filter = filter(levels)?;
        self.levels.reload(filter).map_err(|error| format!("changing the levels of the log: {error}"))?;
        *self.level.lock() = levels.to_owned();
        Ok(())
    }

    /// Takes over what can change while the process runs out of settings that were read again; what differs, with what
    /// becomes of it. The levels of the environment stay.
    pub fn reload(&self, before: &Settings, wanted: &Settings) -> Result<Vec<String>, String> {
        let mut told = Vec::new();
        let level = self.level();
        if level != wanted.level && environment().is_none() {
            self.set_level(&wanted.level)?;
            told.push(format!("log.level={}: applied, was {level}", wanted.level));
        }
        if let Some(files) = &self.files {
            let mut files = files.lock();
            if (files.len_max, files.count_max) != (wanted.file_size, wanted.files) {
                (files.len_max, files.count_max) = (wanted.file_size, wanted.files);
                told.push(format!("log.file_size={}, log.files={}: applied", wanted.file_size, wanted.files));
            }
        }
        if (&before.dir, before.json) != (&wanted.dir, wanted.json) {
            told.push("log.dir, log.format: need a restart".to_owned());
        }
        Ok(told)
    }

    /// The last lines about repeats.
    pub fn end(&self) {
        drop(self.teller.lock().take());
    }
}

/// Where lines go.
#[derive(Clone, Debug)]
struct Writer {
    files: Option<Arc<Mutex<Files>>>,
    /// Whether stderr is the journal, which takes the priority of a line from its head.
    journal: bool,
}

/// Writes one event, with its priority if the journal wants one.
struct Line<'a> {
    files: Option<&'a Mutex<Files>>,
    priority: &'static str,
}

/// Whether stderr is the stream that the service manager says leads to its journal.
fn is_journal() -> bool {
    let Ok(told) = std::env::var(JOURNAL_STREAM) else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stream| told == format!("{}:{}", stream.st_dev, stream.st_ino))
}

/// The journal's prefix for a level (sd-daemon(3)), so that `journalctl -p warning` shows warnings.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

impl<'a> fmt::MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { files: self.files.as_deref(), priority: "" }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        let priority = if self.journal { priority(*event.level()) } else { "" };
        Line { priority, ..self.make_writer() }
    }
}

impl Write for Line<'_> {
    /// Takes a whole line at a time, as the subscriber gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.files {
            Some(files) => files.lock().write(line),
            None if self.priority.is_empty() => io::stderr().write(line),
            None => io::stderr().write_all(&[self.priority.as_bytes(), line].concat()).map(|()| line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file in use and those put aside: `NAME.log`, `NAME.log.1` (the youngest), `NAME.log.2`, ...
#[derive(Debug)]
struct Files {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
    count_max: u64,
    takes_stderr: bool,
}

impl Files {
    fn open(dir: &Path, name: &str, settings: &Settings) -> Result<Files, String> {
        let path = dir.join(format!("{name}.log"));
        let fail = |error: io::Error| format!("opening the log {}: {error}", path.display());
        fs::create_dir_all(dir).map_err(fail)?;
        let file = append(&path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        Ok(Files { file, len, len_max: settings.file_size, count_max: settings.files, path, takes_stderr: false })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.len > 0 && self.len + line.len() as u64 > self.len_max {
            self.put_aside()?;
        }
        self.file.write_all(line)?;
        self.len += line.len() as u64;
        Ok(line.len())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let aside = |number: u64| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..self.count_max - 1).rev() {
            if aside(number).exists() {
                fs::rename(aside(number), aside(number + 1))?;
            }
        }
        fs::rename(&self.path, aside(1))?;
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        self.len = self.file.metadata()?.len();
        if self.takes_stderr {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn repeats_of_one_place_are_one_line_and_then_a_count() {
        let (lines, told) = (Lines::default(), Arc::new(Mutex::new(Vec::new())));
        let (writer, into) = (lines.clone(), told.clone());
        let (repeats, teller) = Repeats::start(move |summary| into.lock().push(summary.text)).expect("a thread");
        let written = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(written).with(Collapsing(repeats));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..5 {
                tracing::warn!("the disk is slow");
                tracing::warn!(number, "another each time");
            }
        });
        drop(teller);
        let text = String::from_utf8(lines.0.lock().clone()).expect("a text");
        let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        assert_eq!(
            (count("the disk is slow"), count("another each time number=4"), text.lines().count()),
            (1, 1, 6),
            "{text}"
        );
        assert_eq!(*told.lock(), ["last message repeated 4 times in 1 s: the disk is slow"]);
    }

    #[test]
    fn levels_name_modules_and_what_is_wrong_is_named() {
        assert_eq!(
            directives("info, store=debug,rocketmq::net::link=trace").as_deref(),
            Ok("info,rocketmq::store=debug,rocketmq::net::link=trace")
        );
        for (bad, told) in [
            ("inof", "`inof` is no level; did you mean info?"),
            ("info,stroe=debug", "`stroe` is no module; did you mean store?"),
            ("store=", "`` is no level"),
            ("info,,warn", "`` is no level"),
            ("", "`` is no level"),
        ] {
            let problem = directives(bad).expect_err(bad);
            assert!(problem.starts_with(told), "{problem}");
        }
        let lib = include_str!("../lib.rs");
        let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let mut modules: Vec<_> = modules.collect();
        modules.sort_unstable();
        assert_eq!(modules, MODULES);
    }

    #[test]
    fn files_are_put_aside_at_their_size_and_only_so_many_are_kept() {
        let dir = std::env::temp_dir().join(format!("rocketmq-log-{}", std::process::id()));
        let settings = Settings { file_size: 10, files: 3, ..Settings::default() };
        let mut files = Files::open(&dir, "x", &settings).expect("the temporary folder is writable");
        for line in ["aaaaaaa\n", "bbbbbbb\n", "ccccccc\n", "ddddddd\n", "e\n"] {
            files.write(line.as_bytes()).expect("writable");
        }
        let text = |name: &str| fs::read_to_string(dir.join(name)).ok();
        assert_eq!(text("x.log").as_deref(), Some("ddddddd\ne\n"));
        assert_eq!(text("x.log.1").as_deref(), Some("ccccccc\n"));
        assert_eq!(text("x.log.2").as_deref(), Some("bbbbbbb\n"));
        assert_eq!(text("x.log.3"), None);
        fs::remove_dir_all(&dir).expect("ours");
    }
}
