//! Where log lines go: stderr, coloured only on a terminal, or files of a bounded size and number. `RUST_LOG` changes
//! levels by module, whatever the settings say.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::keys::Does::{Number, Text};
use super::keys::{Key, Table, key};

/// Environment variable that sets levels, for example `info,rocketmq::store=debug`.
pub const LEVELS: &str = "RUST_LOG";

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
    key(
        "level",
        Text {
            accepts: "a level (error, warn, info, debug, trace) or MODULE=LEVEL, separated by commas",
            set: |s, text| filter(text).map(|_| s.level = text.to_owned()),
        },
    ),
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

fn filter(levels: &str) -> Option<EnvFilter> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(levels).ok()
}

/// The log of this process.
#[derive(Clone, Debug, Default)]
pub struct Log {
    files: Option<Arc<Mutex<Files>>>,
}

/// Starts logging under a name, which is that of the file too. Called once, before anything that might log.
pub fn start(name: &str, settings: &Settings) -> Result<Log, String> {
    let (levels, origin) = match std::env::var(LEVELS) {
        Ok(levels) if !levels.is_empty() => (levels, LEVELS),
        _ => (settings.level.clone(), "log.level"),
    };
    let accepted = "accepted is LEVEL or MODULE=LEVEL, separated by commas";
    let filter = filter(&levels).ok_or_else(|| format!("{origin}={levels}: {accepted}"))?;
    let files = match &settings.dir {
        Some(dir) => Some(Arc::new(Mutex::new(Files::open(dir, name, settings)?))),
        None => None,
    };
    let log = Log { files };
    let writer = log.clone();
    let ansi = log.files.is_none() && !settings.json && io::stderr().is_terminal();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(move || writer.clone());
    let started = if settings.json { subscriber.json().try_init() } else { subscriber.try_init() };
    started.map_err(|error| format!("starting the log: {error}"))?;
    Ok(log)
}

impl Log {
    /// Where it goes, for people.
    pub fn place(&self) -> String {
        match &self.files {
            Some(files) => files.lock().path.display().to_string(),
            None => "stderr".to_owned(),
        }
    }

    /// Opens the file anew, for programs that put logs aside themselves.
    pub fn reopen(&self) -> io::Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.lock().reopen())
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.files {
            Some(files) => files.lock().write(line),
            None => io::stderr().write(line),
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
}

impl Files {
    fn open(dir: &Path, name: &str, settings: &Settings) -> Result<Files, String> {
        let path = dir.join(format!("{name}.log"));
        let fail = |error: io::Error| format!("opening the log {}: {error}", path.display());
        fs::create_dir_all(dir).map_err(fail)?;
        let file = append(&path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        Ok(Files { file, len, len_max: settings.file_size, count_max: settings.files, path })
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
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
