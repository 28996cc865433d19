//! The broker's state files under `config/`: Java's JSON, written so that a crash leaves the old state or the new one
//! (STORE 5.1). Knows no topic and no group: the owner of a table gives the document.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::base::crash_safe::{self, LoadError, SaveError};
use crate::base::disk::Disk;
use crate::wire::fastjson;

/// A state file that could not be read or written.
#[derive(Debug, Error)]
pub enum StateFileError {
    /// There is no usable copy.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The new state is not on disk.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The state has no JSON form; a bug, reported instead of written.
    #[error("cannot put the state of {path} into JSON: {found}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// What serde said.
        found: String,
    },
}

/// One state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl StateFile {
    /// The file `path` of `disk`.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        StateFile { disk, path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the newest good copy; `None` when there never was one. What a person must know is logged.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, StateFileError> {
        let loaded = crash_safe::load(&*self.disk, &self.path, fastjson::from_slice::<T>)?;
        Ok(loaded.map(|loaded| {
            if let Some(note) = loaded.note {
                tracing::warn!("{note}");
            }
            loaded.value
        }))
    }

    /// Replaces the contents; durable when it returns. Saves of one file must not overlap.
    pub fn save(&self, document: &impl Serialize) -> Result<(), StateFileError> {
        let value = serde_json::to_value(document)
            .map_err(|error| StateFileError::Encode { path: self.path.clone(), found: error.to_string() })?;
        Ok(crash_safe::save(&*self.disk, &self.path, pretty(&value).as_bytes())?)
    }
}

/// fastjson's PrettyFormat: tabs, no blank behind the colon, an empty object or array on one line (STORE 5.1).
fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, value, 0);
    out
}

fn write_pretty(out: &mut String, value: &Value, depth: usize) {
    let line = |out: &mut String, first: bool, depth: usize| {
        out.push_str(if first { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n('\t', depth));
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (number, (name, member)) in members.iter().enumerate() {
                line(out, number == 0, depth + 1);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_pretty(out, member, depth + 1);
            }
            line(out, true, depth);
            out.push('}');
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                line(out, number == 0, depth + 1);
                write_pretty(out, item, depth + 1);
            }
            line(out, true, depth);
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod scratch {
    //! Folders and files for the tests of this module's users.

    use super::*;
    use crate::base::disk::RealDisk;

    /// A folder that is removed with the last clone, unless its test failed: then it is there to be looked at.
    #[derive(Clone, Debug)]
    pub(crate) struct Scratch(Arc<Removed>);

    #[derive(Debug)]
    struct Removed(PathBuf);

    impl Drop for Removed {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::fs::remove_dir_all(&self.0).unwrap();
            }
        }
    }

    impl std::ops::Deref for Scratch {
        type Target = PathBuf;

        fn deref(&self) -> &PathBuf {
            &self.0.0
        }
    }

    /// An empty folder of its own for one test.
    pub(crate) fn dir(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("rocketmq-broker-{}-{name}", std::process::id()));
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(Arc::new(Removed(dir)))
    }

    /// A state file in `dir` on the real disk.
    pub(crate) fn file(dir: &Path, name: &str) -> StateFile {
        StateFile::new(Arc::new(RealDisk), dir.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_laid_out_as_fastjson_does() {
        let value = serde_json::json!({"dataVersion": {"counter": 2}, "table": {}, "list": ["a", "b"], "n": null});
        assert_eq!(
            pretty(&value),
            "{\n\t\"dataVersion\":{\n\t\t\"counter\":2\n\t},\n\t\"table\":{},\n\t\"list\":[\"a\",\"b\"],\n\t\"n\":null\n}"
        );
    }
}
