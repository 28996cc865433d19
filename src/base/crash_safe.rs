//! Small state files that survive a crash: `topics.json`, `consumerOffset.json`, `kvConfig.json` and their like
//! (STORE 5.1). It must never know what such a file says: the caller encodes and decodes.
//!
//! `save` writes `X.tmp` and makes it durable, renames `X` to `X.bak`, `X.tmp` to `X`, and makes the directory durable.
//! Whatever the moment of a crash, `load` finds the old state or the new one:
//!
//! ```text
//! before the first rename    X old         X.bak older   X.tmp torn or new   -> X
//! between the renames        X missing     X.bak old     X.tmp new           -> X.tmp
//! after the second rename    X new         X.bak old     -                   -> X
//! ```
//!
//! `X.tmp` is never older than `X.bak`: every save rewrites it before it touches anything else, and so did Java 4.9
//! (5.x writes in place and makes none). Java reads `X`, then `X.bak`; so what we leave it can read as well.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::disk::{self, Disk, Open, with_suffix};

/// Suffix of the file that a save prepares.
pub const TMP_SUFFIX: &str = ".tmp";
/// Suffix of the state before the last save; Java's name for it.
pub const BACKUP_SUFFIX: &str = ".bak";
/// Suffix under which an undecodable file is kept when its backup takes its place.
pub const DAMAGED_SUFFIX: &str = ".damaged";

/// The largest state file that is read; Java's own would not start with more in its heap.
pub const STATE_FILE_LEN_MAX: u64 = 1 << 30;

/// Which of the copies a state came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file itself.
    File,
    /// What a save that did not finish had prepared, complete.
    Prepared,
    /// The state before the last save.
    Backup,
}

/// A state that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// The decoded state.
    pub value: T,
    /// Where it was found.
    pub origin: Origin,
    /// What a person has to be told, when it was not the file itself: log it as a warning.
    pub note: Option<String>,
}

/// A state file that cannot be used. Every copy is still there.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file system refused.
    #[error("cannot read the state file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A finished `.tmp` could not be put in its place, or a bad file not be put aside.
    #[error("cannot put the copies of the state file {path} in order: {source}")]
    Order {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Neither the file nor its backup can be used; an empty state in its place would lose what they said.
    #[error(
        "no usable copy of the state file {path}: the file {file}, its backup (.bak) {backup}; \
         put a good copy there, or remove both files to start with an empty state"
    )]
    NoUsableCopy {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        file: String,
        /// What is wrong with the backup.
        backup: String,
    },
}

/// A state that could not be made durable. The states of earlier saves are still there.
#[derive(Debug, Error)]
#[error("cannot {step} while saving the state file {path}: {source}")]
pub struct SaveError {
    /// What was being done.
    pub step: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the file system said.
    pub source: io::Error,
}

/// Replaces the state file `path` by `bytes`; when this returns `Ok`, the new state survives power loss. Saves of one
/// file must not overlap: the caller holds its lock.
pub fn save(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let during = |step| move |source| SaveError { step, path: path.to_owned(), source };
    let tmp = with_suffix(path, TMP_SUFFIX);
    let dir = path.parent().unwrap_or(Path::new("/"));
    disk.create_dir_all(dir).map_err(during("make the directory"))?;
    write_whole(disk, &tmp, bytes).map_err(during("write the new copy (.tmp)"))?;
    if has_bytes(disk, path).map_err(during("look at the old file"))? {
        let backup = with_suffix(path, BACKUP_SUFFIX);
        disk.rename(path, &backup).map_err(during("keep the old file as .bak"))?;
    }
    disk.rename(&tmp, path).map_err(during("put the new copy in its place"))?;
    disk.sync_dir(dir).map_err(during("sync the directory"))
}

/// Reads the state file `path`, or the newest good copy of it; `None` when there never was one. `decode` gets the bytes
/// of a file that says something: blanks, `null` and `[]` are taken for damage before (STORE 5.1).
///
/// An undecodable file whose backup takes over is renamed to `.damaged`, so that the next save does not put it over
/// the good backup.
pub fn load<T, E: Display>(
    disk: &dyn Disk,
    path: &Path,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Option<Loaded<T>>, LoadError> {
    let look = |path: &Path| look(disk, path, &decode);
    let (tmp, backup) = (with_suffix(path, TMP_SUFFIX), with_suffix(path, BACKUP_SUFFIX));
    let file = match look(path)? {
        Copy::Good(value) => return Ok(Some(Loaded { value, origin: Origin::File, note: None })),
        other => other,
    };
    if let Copy::Missing = file
        && let Copy::Good(value) = look(&tmp)?
    {
        // The next save starts by overwriting the .tmp: what is in use now has to be safe from it.
        put_in_place(disk, &tmp, path)?;
        let note = format!("{} is missing: a save was interrupted; its complete .tmp is used", path.display());
        return Ok(Some(Loaded { value, origin: Origin::Prepared, note: Some(note) }));
    }
    match (file, look(&backup)?) {
        (Copy::Missing, Copy::Missing) => Ok(None),
        (Copy::Missing | Copy::Empty, Copy::Good(value)) => {
            let note = format!("{} is missing or empty: its backup (.bak), one save older, is used", path.display());
            Ok(Some(Loaded { value, origin: Origin::Backup, note: Some(note) }))
        }
        (Copy::Bad(found), Copy::Good(value)) => {
            let damaged = put_aside(disk, path)?;
            let note = format!(
                "{} cannot be read ({found}): its backup (.bak), one save older, is used; the damaged file is kept as {}",
                path.display(),
                damaged.display()
            );
            Ok(Some(Loaded { value, origin: Origin::Backup, note: Some(note) }))
        }
        (file, backup) => {
            Err(LoadError::NoUsableCopy { path: path.to_owned(), file: file.describe(), backup: backup.describe() })
        }
    }
}

/// One copy of a state, as found.
enum Copy<T> {
    Missing,
    Empty,
    Bad(String),
    Good(T),
}

impl<T> Copy<T> {
    fn describe(&self) -> String {
        match self {
            Copy::Missing => "is missing".to_owned(),
            Copy::Empty => "has 0 bytes".to_owned(),
            Copy::Bad(found) => format!("cannot be read ({found})"),
            Copy::Good(_) => "is good".to_owned(),
        }
    }
}

fn look<T, E: Display>(
    disk: &dyn Disk,
    path: &Path,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Copy<T>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let len = match disk.open(path, Open::Read).and_then(|file| file.len()) {
        Ok(len) => len,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Copy::Missing),
        Err(error) => return Err(failed(error)),
    };
    if len == 0 {
        return Ok(Copy::Empty);
    }
    if len > STATE_FILE_LEN_MAX {
        return Ok(Copy::Bad(format!("{len} bytes, more than the limit of {STATE_FILE_LEN_MAX}")));
    }
    let bytes = disk::read(disk, path).map_err(failed)?;
    let said = bytes.trim_ascii();
    if said.is_empty() || said == b"null" || said == b"[]" {
        return Ok(Copy::Bad(format!("{len} bytes that say nothing")));
    }
    Ok(decode(&bytes).map_or_else(|error| Copy::Bad(error.to_string()), Copy::Good))
}

/// The `.tmp` goes first: beside a missing file it would be taken for newer than the backup that is now in use.
fn put_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, LoadError> {
    let failed = |source| LoadError::Order { path: path.to_owned(), source };
    match disk.remove_file(&with_suffix(path, TMP_SUFFIX)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let damaged = with_suffix(path, DAMAGED_SUFFIX);
    put_in_place(disk, path, &damaged)?;
    Ok(damaged)
}

fn put_in_place(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), LoadError> {
    let dir = from.parent().unwrap_or(Path::new("/"));
    disk.rename(from, to)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(|source| LoadError::Order { path: from.to_owned(), source })
}

fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Open::Create)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}

/// An empty file is not worth a backup: it would replace a good one.
fn has_bytes(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.open(path, Open::Read).and_then(|file| file.len()) {
        Ok(len) => Ok(len > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::disk::RealDisk;
    use crate::base::disk::watched::{Step, WatchedDisk};

    /// A folder of its own for one test, empty.
    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rocketmq-crash-safe-{}-{name}", std::process::id()));
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// States are decimal numbers here.
    fn decode(bytes: &[u8]) -> Result<u32, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.parse().map_err(|error| format!("{error}: {text:?}"))
    }

    #[test]
    fn every_combination_of_copies_has_its_row() {
        // Copies: '-' missing, '0' no bytes, 'x' undecodable, 'n' says nothing, 'g' good.
        // Result: "file", "tmp", "bak", "none", "refuse".
        let expected = |file: char, tmp: char, backup: char| match (file, tmp, backup) {
            ('g', _, _) => "file",
            ('-', 'g', _) => "tmp",
            (_, _, 'g') => "bak",
            ('-', _, '-') => "none",
            _ => "refuse",
        };
        let put = |path: PathBuf, copy: char, good: &str| match copy {
            '-' => {}
            '0' => std::fs::write(path, "").unwrap(),
            'x' => std::fs::write(path, "\0\0").unwrap(),
            'n' => std::fs::write(path, " null\n").unwrap(),
            _ => std::fs::write(path, good).unwrap(),
        };
        let copies = ['-', '0', 'x', 'n', 'g'];
        for number in 0..copies.len().pow(3) {
            let [file, tmp, backup] = [0, 1, 2].map(|place| copies[number / copies.len().pow(place) % copies.len()]);
            let path = folder("table").join("state.json");
            put(path.clone(), file, "1");
            put(with_suffix(&path, TMP_SUFFIX), tmp, "2");
            put(with_suffix(&path, BACKUP_SUFFIX), backup, "3");
            let got = load(&RealDisk, &path, decode);
            let row = format!("file {file} tmp {tmp} backup {backup}");
            match (&got, expected(file, tmp, backup)) {
                (Ok(Some(Loaded { value: 1, origin: Origin::File, note: None })), "file")
                | (Ok(Some(Loaded { value: 2, origin: Origin::Prepared, note: Some(_) })), "tmp")
                | (Ok(Some(Loaded { value: 3, origin: Origin::Backup, note: Some(_) })), "bak")
                | (Ok(None), "none")
                | (Err(LoadError::NoUsableCopy { .. }), "refuse") => {}
                (got, want) => panic!("{row}: want {want}, got {got:?}"),
            }
            // Asking again finds the same state: putting things in order loses nothing.
            if let Ok(Some(first)) = got {
                assert_eq!(load(&RealDisk, &path, decode).unwrap().unwrap().value, first.value, "{row}, second load");
            }
        }
    }

    #[test]
    fn a_damaged_file_never_replaces_the_good_backup() {
        let path = folder("damaged").join("state.json");
        save(&RealDisk, &path, b"1").unwrap();
        save(&RealDisk, &path, b"2").unwrap();
        std::fs::write(&path, "{").unwrap();
        assert_eq!(load(&RealDisk, &path, decode).unwrap().unwrap().value, 1);
        save(&RealDisk, &path, b"3").unwrap();
        assert_eq!(std::fs::read(with_suffix(&path, BACKUP_SUFFIX)).unwrap(), b"1");
        assert_eq!(std::fs::read(with_suffix(&path, DAMAGED_SUFFIX)).unwrap(), b"{");
        std::fs::write(&path, "").unwrap();
        save(&RealDisk, &path, b"4").unwrap();
        assert_eq!(std::fs::read(with_suffix(&path, BACKUP_SUFFIX)).unwrap(), b"1");
    }

    /// The real disk, which fails for ever after so many steps, as if the process had been killed there.
    fn dying(steps: usize) -> WatchedDisk {
        let left = AtomicUsize::new(steps);
        WatchedDisk::new(move |step, _| {
            let lives = |left: usize| Some(left.saturating_sub(1));
            let dead = step != Step::TryRead && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lives) == Ok(0);
            if dead { Err(io::Error::other("dead")) } else { Ok(()) }
        })
    }

    #[test]
    fn a_save_that_dies_at_any_step_leaves_the_old_state_or_the_new_one() {
        // Two saves that die one after the other, at every pair of steps: the second one starts from what the first left.
        const STEPS: usize = 12;
        for (first, second) in (0..STEPS).flat_map(|first| (0..STEPS).map(move |second| (first, second))) {
            let path = folder("dies").join("state.json");
            save(&RealDisk, &path, b"1000").unwrap();
            save(&RealDisk, &path, b"2000").unwrap();
            let mut newest_acknowledged = 2000;
            for (left, state) in [(first, 3000), (second, 4000)] {
                if save(&dying(left), &path, state.to_string().as_bytes()).is_ok() {
                    newest_acknowledged = state;
                }
                let found = load(&RealDisk, &path, decode).unwrap().unwrap().value;
                assert!(
                    found == newest_acknowledged || found == state,
                    "died at {first}, then {second}: found {found}, acknowledged {newest_acknowledged}"
                );
                newest_acknowledged = found;
            }
        }
    }
}
