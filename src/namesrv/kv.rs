//! The key-value table (codes 100, 101, 102, 219) and its file `kvConfig.json`, above all the namespace of ordered
//! topics. A change is on disk before it can be read (INTEROP 05 §5).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::crash_safe::{self, LoadError, SaveError};
use crate::base::disk::Disk;

/// Namespace of ordered topics: topic -> `brokerA:4;brokerB:4`.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// Most bytes of all namespaces, keys and values together: the file is rewritten whole at every change.
pub const KV_LEN_MAX: usize = 16 * 1024 * 1024;

/// Keys and values of a namespace.
pub type Namespace = BTreeMap<String, String>;

/// A change that was not made.
#[derive(Debug, Error)]
pub enum KvError {
    /// The table would be too large.
    #[error("the key-value table would hold {found} bytes, more than the limit of {KV_LEN_MAX}; delete what is unused")]
    Full {
        /// Bytes that it would hold.
        found: usize,
    },
    /// The file could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// Keys and values as a file may have them.
type Nullable = BTreeMap<String, Option<String>>;

/// The file's form, Java's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    config_table: Option<BTreeMap<String, Option<Nullable>>>,
}

/// The table.
#[derive(Debug)]
pub struct Kv {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    table: RwLock<BTreeMap<String, Namespace>>,
    changing: Mutex<()>,
    generation: AtomicU64,
}

impl Kv {
    /// Reads the file, if there is one; what a person must know is logged.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Kv, LoadError> {
        let loaded = crash_safe::load(&*disk, &path, |bytes| serde_json::from_slice::<Document>(bytes))?;
        if let Some(note) = loaded.as_ref().and_then(|loaded| loaded.note.as_ref()) {
            tracing::warn!("{note}");
        }
        let namespaces = loaded.and_then(|loaded| loaded.value.config_table).unwrap_or_default();
        let full = |keys: Nullable| keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let table = namespaces.into_iter().filter_map(|(name, keys)| Some((name, full(keys?)))).collect();
        Ok(Kv { disk, path, table: RwLock::new(table), changing: Mutex::new(()), generation: AtomicU64::new(0) })
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Sets a value; durable when it returns.
    pub fn put(&self, namespace: &str, key: &str, value: &str) -> Result<(), KvError> {
        self.change(|table| {
            table.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        })
    }

    /// Removes a key, if it is there; durable when it returns. An emptied namespace stays, as Java's does.
    pub fn delete(&self, namespace: &str, key: &str) -> Result<(), KvError> {
        self.change(|table| {
            if let Some(keys) = table.get_mut(namespace) {
                keys.remove(key);
            }
        })
    }

    /// A value.
    pub fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.table.read().get(namespace)?.get(key).cloned()
    }

    /// A namespace.
    pub fn namespace(&self, namespace: &str) -> Option<Namespace> {
        self.table.read().get(namespace).cloned()
    }

    /// One change after the other: a copy is changed, saved, and then takes the place of what is read.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Namespace>)) -> Result<(), KvError> {
        let _changing = self.changing.lock();
        let mut table = self.table.read().clone();
        change(&mut table);
        let of_namespace = |(name, keys): (&String, &Namespace)| {
            name.len() + keys.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        };
        let found: usize = table.iter().map(of_namespace).sum();
        if found > KV_LEN_MAX {
            return Err(KvError::Full { found });
        }
        let document = serde_json::json!({ "configTable": &table });
        crash_safe::save(&*self.disk, &self.path, document.to_string().as_bytes())?;
        *self.table.write() = table;
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::disk::RealDisk;

    fn path(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rocketmq-kv-{}-{name}", std::process::id()));
        if dir.exists() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        dir.join("kvConfig.json")
    }

    fn open(path: &Path) -> Kv {
        Kv::open(Arc::new(RealDisk), path.to_owned()).unwrap()
    }

    #[test]
    fn changes_are_in_javas_file_before_they_are_answered_and_come_back() {
        let path = path("changes");
        let kv = open(&path);
        assert_eq!(kv.namespace("ns"), None);
        kv.put("ns", "k", "v").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), br#"{"configTable":{"ns":{"k":"v"}}}"#);
        kv.put(ORDER_TOPIC_CONFIG, "T", "a:4;b:4").unwrap();
        kv.delete("ns", "k").unwrap();
        kv.delete("nowhere", "k").unwrap();
        assert_eq!(kv.generation(), 4);
        let again = open(&path);
        assert_eq!(again.namespace("ns"), Some(Namespace::new()), "emptied, but known");
        assert_eq!(again.namespace("nowhere"), None);
        assert_eq!(again.get(ORDER_TOPIC_CONFIG, "T").as_deref(), Some("a:4;b:4"));
    }

    #[test]
    fn nulls_and_unknown_members_of_a_file_are_passed_over() {
        let path = path("nulls");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, r#"{"other":1,"configTable":{"ns":{"k":null,"l":"v"},"none":null}}"#).unwrap();
        let kv = open(&path);
        assert_eq!(kv.namespace("ns").unwrap().into_iter().collect::<Vec<_>>(), [("l".into(), "v".into())]);
        assert_eq!(kv.namespace("none"), None);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(open(&path).namespace("ns"), None);
    }

    #[test]
    fn a_change_that_cannot_be_saved_is_not_made() {
        let path = path("unsaved");
        let kv = open(&path);
        kv.put("ns", "k", "v").unwrap();
        // A folder in the place of the file that a save prepares.
        std::fs::create_dir(path.with_file_name("kvConfig.json.tmp")).unwrap();
        let error = kv.put("ns", "k", "w").unwrap_err().to_string();
        assert!(error.contains("kvConfig.json"), "{error}");
        assert_eq!(kv.get("ns", "k").as_deref(), Some("v"));
        let full = kv.put("ns", "big", &"x".repeat(KV_LEN_MAX)).unwrap_err().to_string();
        assert!(full.contains(&KV_LEN_MAX.to_string()), "{full}");
        assert_eq!(kv.get("ns", "big"), None);
    }
}
