//! Settings that an administrator changed while a role ran: what became of each key, and the overlay file that keeps
//! them over a restart. Knows no key and no role; whoever starts a role lends it what the process around it knows.
//!
//! The overlay is `overlay.properties` in the folder of the role's data, never the file that the role starts from. It is
//! in Java's format, four entries for each change, and replaced as a whole (`crash_safe`):
//!
//! ```text
//! maxMessageSize=1000             the key as Java names it (`log.level` is ours) and the value that counts
//! maxMessageSize.was=4194304      what was in force before
//! maxMessageSize.by=10.0.0.7:4711 the client that asked for it
//! maxMessageSize.at=1764183915000 when, milliseconds since the epoch
//! ```

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use thiserror::Error;

use super::clock::Millis;
use super::crash_safe::{self, SaveError, TMP_SUFFIX};
use super::disk::{self, Disk, with_suffix};
use super::keys::Table;
use super::properties::{self, Entry};

/// Name of the overlay in the folder of a role's data.
pub const FILE_NAME: &str = "overlay.properties";

/// Longest value in bytes that is kept.
pub const VALUE_LEN_MAX: usize = 16 * 1024;

/// A value that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Java's name of the key, or a setting of the process.
    pub key: String,
    /// The value that counts.
    pub value: String,
    /// The value that was in force before.
    pub was: String,
    /// The address that asked for it.
    pub by: String,
    /// When, milliseconds since the epoch.
    pub at: Millis,
}

/// An overlay that cannot be used: the start is refused.
#[derive(Debug, Error)]
pub enum OverlayError {
    /// The file system refused.
    #[error(
        "cannot read the settings that were changed while the server ran, {path}: {source}; check the folder and its rights"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It does not say what this program wrote.
    #[error(
        "the settings that were changed while the server ran cannot be read: {path}: {found}; put a good copy there ({path}.bak is \
         the one before the last change), or remove {path} to start without those changes"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
}

/// The overlay of one role.
#[derive(Debug)]
pub struct Overlay {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    changes: Mutex<Vec<Change>>,
}

impl Overlay {
    /// What the file says; nothing if there is none. Touches nothing.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<Change>, OverlayError> {
        let damaged = |found| OverlayError::Damaged { path: path.to_owned(), found };
        match disk::read(disk, path) {
            Ok(bytes) => parse(&bytes).map_err(damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(prepared(disk, path).unwrap_or_default()),
            // A folder that is a file has no overlay; whoever wants to use the folder says what is wrong with it.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
            Err(source) => Err(OverlayError::Read { path: path.to_owned(), source }),
        }
    }

    /// The overlay of a role that starts.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Overlay, OverlayError> {
        let changes = Overlay::read(&*disk, &path)?;
        if !changes.is_empty() && matches!(disk.exists(&path), Ok(false)) {
            // The next save begins by overwriting the .tmp that these came from.
            let order = |source| OverlayError::Read { path: path.clone(), source };
            disk.rename(&with_suffix(&path, TMP_SUFFIX), &path).map_err(order)?;
            disk.sync_dir(path.parent().unwrap_or(Path::new("/"))).map_err(order)?;
        }
        Ok(Overlay { disk, path, changes: Mutex::new(changes) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value that is kept for a key.
    pub fn get(&self, key: &str) -> Option<String> {
        self.changes.lock().iter().find(|change| change.key == key).map(|change| change.value.clone())
    }

    /// All changes.
    pub fn all(&self) -> Vec<Change> {
        self.changes.lock().clone()
    }

    /// Keeps changes; durable when it returns, and as before when it fails. Returns what was kept before, for `restore`.
    pub fn keep(&self, new: &[Change]) -> Result<Vec<Change>, SaveError> {
        let mut changes = self.changes.lock();
        let mut merged = changes.clone();
        for change in new {
            merged.retain(|old| old.key != change.key);
            merged.push(change.clone());
        }
        self.save(&merged)?;
        Ok(std::mem::replace(&mut changes, merged))
    }

    /// Puts back what was kept before.
    pub fn restore(&self, before: Vec<Change>) -> Result<(), SaveError> {
        let mut changes = self.changes.lock();
        self.save(&before)?;
        *changes = before;
        Ok(())
    }

    fn save(&self, changes: &[Change]) -> Result<(), SaveError> {
        crash_safe::save(&*self.disk, &self.path, text(changes).as_bytes())
    }
}

/// What a save that was cut between its two renames had prepared (see `crash_safe`). A torn one, of a very first save, was
/// never answered.
fn prepared(disk: &dyn Disk, path: &Path) -> Option<Vec<Change>> {
    let bytes = disk::read(disk, &with_suffix(path, TMP_SUFFIX)).ok()?;
    parse(&bytes).ok()
}

const HEADER: &str = "# Settings that were changed while the server ran. They win over the file that it starts from.\n\
                      # `rocketmq config fold` prints both as one file; without this file the changes are gone.\n";

fn text(changes: &[Change]) -> String {
    let mut text = HEADER.to_owned();
    for Change { key, value, was, by, at } in changes {
        let at = at.to_string();
        for (suffix, value) in [("", value), (".was", was), (".by", by), (".at", &at)] {
            text.push_str(&properties::line(&format!("{key}{suffix}"), value));
        }
    }
    text
}

fn parse(bytes: &[u8]) -> Result<Vec<Change>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is no text: {error}"))?;
    if !text.starts_with(HEADER) || !text.ends_with('\n') {
        return Err("it does not begin and end as this program writes it".to_owned());
    }
    let entries = properties::parse(bytes).map_err(|bad| bad.to_string())?;
    let mut changes: Vec<Change> = Vec::new();
    for four in entries.chunks(4) {
        let change = change(four).ok_or_else(|| {
            let Entry { line, key, .. } = &four[0];
            format!("line {line}: {key} is not followed by its .was, .by and .at")
        })?;
        if changes.iter().any(|other| other.key == change.key) {
            return Err(format!("line {}: {} is there twice", four[0].line, change.key));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn change(four: &[Entry]) -> Option<Change> {
    let [value, was, by, at] = four else { return None };
    let follows = |entry: &Entry, suffix: &str| entry.key.strip_suffix(suffix) == Some(value.key.as_str());
    if !(follows(was, ".was") && follows(by, ".by") && follows(at, ".at")) {
        return None;
    }
    Some(Change {
        key: value.key.clone(),
        value: value.value.clone(),
        was: was.value.clone(),
        by: by.value.clone(),
        at: at.value.parse().ok()?,
    })
}

/// What became of a key that somebody asked to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts now and is kept.
    Applied {
        /// What was in force before.
        was: String,
    },
    /// It is kept and counts with the next start.
    Stored {
        /// What is in force until then.
        in_force: String,
    },
    /// A file that was read again says so, and it counts with the next start.
    AtRestart {
        /// What is in force until then.
        in_force: String,
    },
    /// It was so before.
    Unchanged,
    /// Nothing here depends on it.
    Ignored(String),
    /// It cannot be, so nothing was changed.
    Refused(String),
}

/// A key and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The key as it was written.
    pub asked: String,
    /// The key as Java names it today.
    pub key: String,
    /// The value.
    pub value: String,
    /// What became of it.
    pub fate: Fate,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { asked, value, fate, .. } = self;
        let (asked, value) = (printable(asked), printable(value));
        match fate {
            Fate::Applied { was } => write!(f, "{asked}={value}: applied, was {was}"),
            Fate::Stored { in_force } => write!(f, "{asked}={value}: stored, needs a restart, until then {in_force}"),
            Fate::AtRestart { in_force } => write!(f, "{asked}={value}: needs a restart, until then {in_force}"),
            Fate::Unchanged => write!(f, "{asked}={value}: unchanged"),
            Fate::Ignored(why) => write!(f, "{asked}: ignored, {why}"),
            Fate::Refused(why) => write!(f, "{asked}={value}: refused, {why}"),
        }
    }
}

/// A text from afar on one line, as it goes into logs, answers and comments.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { text.escape_debug().to_string().into() } else { text.into() }
}

impl Told {
    fn refused(asked: &str, value: &str, what: String) -> Told {
        Told { asked: asked.to_owned(), key: asked.to_owned(), value: value.to_owned(), fate: Fate::Refused(what) }
    }

    /// The same with other words for the values.
    pub fn map_values(self, written: impl Fn(String) -> String) -> Told {
        let fate = match self.fate {
            Fate::Applied { was } => Fate::Applied { was: written(was) },
            Fate::Stored { in_force } => Fate::Stored { in_force: written(in_force) },
            Fate::AtRestart { in_force } => Fate::AtRestart { in_force: written(in_force) },
            other => return Told { fate: other, ..self },
        };
        Told { value: written(self.value), fate, ..self }
    }

    /// Whether it refuses everything that was asked for with it.
    pub fn is_refused(&self) -> bool {
        matches!(self.fate, Fate::Refused(_))
    }
}

/// One line for all keys, for an answer's remark and the log.
pub fn told(all: &[Told]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The changes to keep, out of what became of the keys.
pub fn to_keep(told: &[Told], by: &str, at: Millis) -> Vec<Change> {
    told.iter()
        .filter_map(|told| {
            let was = match &told.fate {
                Fate::Applied { was } => was,
                Fate::Stored { in_force } => in_force,
                _ => return None,
            };
            let (key, value) = (told.key.clone(), told.value.clone());
            Some(Change { key, value, was: was.clone(), by: by.to_owned(), at })
        })
        .collect()
}

/// When a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// While the role runs.
    AtOnce,
    /// With the next start.
    AfterRestart,
    /// It is not changed from afar, for this reason.
    Never(&'static str),
}

/// How the settings of a role change: its keys, their values as text, and when each counts.
pub struct Rules<T: 'static> {
    /// The keys.
    pub table: &'static Table<T>,
    /// The value of each key that does something, by its present name.
    pub shown: fn(&T) -> Vec<(&'static str, String)>,
    /// When a key counts.
    pub counts: fn(&str) -> Counts,
}

impl<T: Clone> Rules<T> {
    /// What becomes of each key, and the settings with those that count at once. `kept` is the value of the overlay.
    pub fn judge(&self, before: &T, asked: &[Named], kept: impl Fn(&str) -> Option<String>) -> (T, Vec<Told>) {
        let entries: Vec<Entry> = asked.iter().map(|named| named.entry.clone()).collect();
        let mut wanted = before.clone();
        let outcome = self.table.apply(&entries, &mut wanted);
        let (old, new) = ((self.shown)(before), (self.shown)(&wanted));
        let value_of = |values: &[(&'static str, String)], key: &str| {
            values.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
        };
        let mut told = Vec::new();
        let mut live = Vec::new();
        for (index, Named { entry, asked: name }) in asked.iter().enumerate() {
            if asked[index + 1..].iter().any(|later| later.entry.key == entry.key) {
                continue; // The last of several for one key counts.
            }
            let row = self.table.row(&entry.key);
            let key = row.map_or(entry.key.as_str(), |row| row.name);
            let values = value_of(&old, key).zip(value_of(&new, key));
            let fate = if let Some(problem) = outcome.problems.iter().find(|problem| problem.key == entry.key) {
                Fate::Refused(problem.what.clone())
            } else if row.is_none() {
                Fate::Ignored(self.table.why_ignored(&entry.key))
            } else if let Some((old, new)) = &values {
                fate((self.counts)(key), old, new, kept(key))
            } else {
                Fate::Unchanged // It asks for nothing, and there is nothing.
            };
            if (self.counts)(key) == Counts::AtOnce && matches!(fate, Fate::Applied { .. }) {
                live.push(entry.clone());
            }
            let value = values.map_or_else(|| entry.value.trim().to_owned(), |(_, new)| new);
            let value = if matches!(fate, Fate::Refused(_)) { entry.value.trim().to_owned() } else { value };
            told.push(Told { asked: name.clone(), key: key.to_owned(), value, fate });
        }
        let mut after = before.clone();
        self.table.apply(&live, &mut after);
        (after, told)
    }

    /// What a file that was read again asks for: what differs from the settings in force.
    pub fn differences(&self, before: &T, wanted: &T) -> (T, Vec<Told>) {
        let (old, new) = ((self.shown)(before), (self.shown)(wanted));
        let mut told = Vec::new();
        let mut live = Vec::new();
        for ((key, old), (_, new)) in old.into_iter().zip(new).filter(|((_, old), (_, new))| old != new) {
            let fate = match (self.counts)(key) {
                Counts::AtOnce => Fate::Applied { was: old },
                Counts::AfterRestart | Counts::Never(_) => Fate::AtRestart { in_force: old },
            };
            if matches!(fate, Fate::Applied { .. }) {
                live.push(Entry { line: 0, key: key.to_owned(), value: new.clone() });
            }
            told.push(Told { asked: key.to_owned(), key: key.to_owned(), value: new, fate });
        }
        let mut after = before.clone();
        self.table.apply(&live, &mut after);
        (after, told)
    }
}

fn fate(counts: Counts, old: &str, new: &str, kept: Option<String>) -> Fate {
    match counts {
        Counts::Never(why) if old != new => Fate::Refused(why.to_owned()),
        Counts::AtOnce if old != new => Fate::Applied { was: old.to_owned() },
        Counts::AfterRestart if old != new => Fate::Stored { in_force: old.to_owned() },
        // What is in force stays so, in place of what was kept for the next start.
        Counts::AfterRestart => match kept.filter(|kept| kept != new) {
            Some(kept) => Fate::Applied { was: format!("{kept} from the next start on") },
            None => Fate::Unchanged,
        },
        _ => Fate::Unchanged,
    }
}

/// What the process around a role knows and the role does not: our names for settings, and settings of the process.
pub trait Surroundings: Send + Sync + fmt::Debug {
    /// The entries by Java's names that one of our names stands for; `None` if it is none of ours.
    fn translate(&self, name: &str, value: &str) -> Option<Result<Vec<(String, String)>, String>>;
    /// A value of a key as our name for it has it; `None` if the name is none of ours.
    fn written(&self, name: &str, value: &str) -> Option<String>;
    /// The flag of the command line that wins over a key, by Java's name, at every start.
    fn flag_over(&self, key: &str) -> Option<&'static str>;
    /// The value in force of a setting of the process, such as `log.level`; `None` if it is none.
    fn in_force(&self, name: &str) -> Option<String>;
    /// Checks a new value for a setting of the process without applying it.
    fn check(&self, name: &str, value: &str) -> Result<(), String>;
    /// Applies a checked value.
    fn apply(&self, name: &str, value: &str) -> Result<(), String>;
}

/// The overlay of a role, and what surrounds the role.
#[derive(Debug)]
pub struct Changes {
    /// The overlay.
    pub overlay: Overlay,
    surroundings: OnceLock<Arc<dyn Surroundings>>,
}

impl Changes {
    /// Changes kept in the file `path`.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Changes, OverlayError> {
        Ok(Changes { overlay: Overlay::open(disk, path)?, surroundings: OnceLock::new() })
    }

    /// Says what surrounds the role; only the first time counts.
    pub fn surround(&self, surroundings: Arc<dyn Surroundings>) {
        self.surroundings.get_or_init(|| surroundings);
    }

    /// Sorts what was asked for into entries of the role's own table, by Java's names, and the rest.
    pub fn sort(&self, entries: Vec<Entry>) -> Asked {
        let mut asked = Asked::default();
        entries.into_iter().for_each(|entry| self.sort_one(entry, &mut asked));
        asked
    }

    fn sort_one(&self, entry: Entry, into: &mut Asked) {
        let (name, value) = (entry.key.clone(), entry.value.trim().to_owned());
        if value.len() > VALUE_LEN_MAX {
            let what = format!("the value has {} bytes, at most {VALUE_LEN_MAX} are kept", value.len());
            return into.told.push(Told::refused(&name, "...", what));
        }
        let surroundings = self.surroundings.get();
        if let Some((surroundings, was)) = surroundings.and_then(|known| Some((known, known.in_force(&name)?))) {
            let fate = match surroundings.check(&name, &value) {
                Err(what) => Fate::Refused(what),
                Ok(()) if was == value => Fate::Unchanged,
                Ok(()) => Fate::Applied { was },
            };
            return into.told.push(Told { asked: name.clone(), key: name, value, fate });
        }
        match surroundings.and_then(|known| known.translate(&name, &value)) {
            None => into.own.push(Named { entry, asked: name }),
            Some(Err(what)) => into.told.push(Told::refused(&name, &value, what)),
            Some(Ok(pairs)) => into.own.extend(
                pairs
                    .into_iter()
                    .map(|(key, value)| Named { entry: Entry { line: entry.line, key, value }, asked: name.clone() }),
            ),
        }
    }

    /// One line for all keys, with the values as the names that were asked for have them.
    pub fn say(&self, all: &[Told]) -> String {
        all.iter().map(|told| self.say_one(told)).collect::<Vec<_>>().join("; ")
    }

    fn say_one(&self, told: &Told) -> String {
        let kept = matches!(told.fate, Fate::Applied { .. } | Fate::Stored { .. });
        let flag = self.surroundings.get().filter(|_| kept).and_then(|known| known.flag_over(&told.key));
        let flag = flag.map_or_else(String::new, |flag| format!(", but {flag} wins over it at the next start"));
        format!("{}{flag}", self.in_words(told.clone()))
    }

    fn in_words(&self, told: Told) -> Told {
        match self.surroundings.get() {
            Some(surroundings) if told.asked != told.key => {
                let asked = told.asked.clone();
                told.map_values(|value| surroundings.written(&asked, &value).unwrap_or(value))
            }
            _ => told,
        }
    }

    /// Applies what is a setting of the process and was told to be applied.
    pub fn apply(&self, told: &[Told]) -> Result<(), String> {
        let Some(surroundings) = self.surroundings.get() else { return Ok(()) };
        told.iter()
            .filter(|told| matches!(told.fate, Fate::Applied { .. }) && surroundings.in_force(&told.key).is_some())
            .try_for_each(|told| surroundings.apply(&told.key, &told.value))
    }
}

/// An entry by Java's name, and the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The entry.
    pub entry: Entry,
    /// The name as it was written.
    pub asked: String,
}

/// What was asked for, sorted.
#[derive(Debug, Default)]
pub struct Asked {
    /// Entries for the role's own table.
    pub own: Vec<Named>,
    /// What is already known of the others.
    pub told: Vec<Told>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;

    fn change(key: &str, value: &str) -> Change {
        Change { key: key.into(), value: value.into(), was: " a=b\n#".into(), by: "10.0.0.7:4711".into(), at: 12 }
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("rocketmq-overlay-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("the temporary folder is writable");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("ours");
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_the_last_value_of_a_key_counts() {
        let folder = Folder::new("kept");
        let path = folder.0.join("config").join(FILE_NAME);
        let overlay = Overlay::open(Arc::new(RealDisk), path.clone()).expect("there is none");
        overlay.keep(&[change("a", "1"), change("log.level", "info,store=debug")]).expect("writable");
        overlay.keep(&[change("a", " two \\ words: ä\u{1f600} ")]).expect("writable");
        let read = Overlay::read(&RealDisk, &path).expect("good");
        assert_eq!(read, [change("log.level", "info,store=debug"), change("a", " two \\ words: ä\u{1f600} ")]);
        assert_eq!(overlay.get("a").as_deref(), Some(" two \\ words: ä\u{1f600} "));
        overlay.restore(vec![change("b", "")]).expect("writable");
        assert_eq!(Overlay::read(&RealDisk, &path).expect("good"), [change("b", "")]);
    }

    #[test]
    fn a_damaged_overlay_is_refused_with_its_remedy_and_never_taken_for_an_empty_one() {
        let folder = Folder::new("damaged");
        let path = folder.0.join(FILE_NAME);
        let good = text(&[change("a", "1"), change("b", "2")]);
        let cut = good.len() - good.rfind("b.at").unwrap_or_default();
        let bad = [
            String::new(),
            "maxMessageSize=1\n".to_owned(),
            good[..good.len() - 3].to_owned(),
            good[..good.len() - cut].to_owned(),
            good.replace("b.by", "c.by"),
            good.replace("b.at=12", "b.at=yesterday"),
            good.clone() + &text(&[change("a", "3")])[HEADER.len()..],
            good.clone() + "c=\\uZ\n",
        ];
        for bad in bad {
            std::fs::write(&path, &bad).expect("ours");
            let told = Overlay::read(&RealDisk, &path).expect_err(&bad).to_string();
            assert!(told.contains("overlay.properties to start without those changes"), "{told}");
        }
        std::fs::write(&path, [HEADER.as_bytes(), b"a=\xff\n"].concat()).expect("ours");
        assert!(Overlay::read(&RealDisk, &path).is_err());
    }

    #[test]
    fn what_came_from_afar_stays_on_its_line() {
        let told = Told::refused("a\nb", "1\r\n2026-01-01 ERROR x", "no".to_owned());
        assert_eq!(told.to_string(), "a\\nb=1\\r\\n2026-01-01 ERROR x: refused, no");
    }

    #[test]
    fn a_save_that_was_cut_between_its_renames_is_complete() {
        let folder = Folder::new("cut");
        let path = folder.0.join(FILE_NAME);
        std::fs::write(with_suffix(&path, TMP_SUFFIX), text(&[change("a", "2")])).expect("ours");
        std::fs::write(with_suffix(&path, ".bak"), text(&[change("a", "1")])).expect("ours");
        assert_eq!(Overlay::read(&RealDisk, &path).expect("good"), [change("a", "2")]);
        // The next save overwrites the .tmp and must not lose what it said.
        let overlay = Overlay::open(Arc::new(RealDisk), path.clone()).expect("good");
        overlay.keep(&[change("b", "3")]).expect("writable");
        assert_eq!(Overlay::read(&RealDisk, &path).expect("good"), [change("a", "2"), change("b", "3")]);
    }
}
