//! Where each consumer group stands in each queue, and `config/consumerOffset.json` (INTEROP 06 §8, STORE 5.4).
//!
//! Commits touch memory only and never allocate for a queue that is known; `save_if_dirty` writes the whole table at
//! most a second behind them. Knows no store: who answers a query decides what an absent offset means.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::Clock;
use crate::base::position::QueueId;
use crate::wire::body::DataVersion;

use super::state_file::{StateFile, StateFileError};

/// Commits after which the table's version moves, as in 5.x: slaves then copy it.
const COMMITS_PER_VERSION: u64 = 500;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OffsetsDocument {
    #[serde(default)]
    data_version: DataVersion,
    #[serde(default, skip_deserializing)]
    group_topic_map: BTreeMap<String, Vec<String>>,
    offset_table: BTreeMap<String, BTreeMap<u32, i64>>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

type Queues = BTreeMap<u32, i64>;

/// The offsets of one group, by topic.
type GroupOffsets = HashMap<String, Queues>;

/// The broker's consumer offsets.
#[derive(Debug)]
pub struct Offsets {
    clock: Clock,
    file: StateFile,
    table: RwLock<HashMap<String, Mutex<GroupOffsets>>>,
    /// Server-side resets that no pull has seen yet: (group, topic, queue) to the offset to go to.
    resets: RwLock<HashMap<(String, String, u32), i64>>,
    version: Mutex<DataVersion>,
    /// Held over a save; the file's members that we do not know.
    saving: Mutex<Map<String, Value>>,
    commits: AtomicU64,
    /// Value of `commits` that the file contains.
    saved: AtomicU64,
}

impl Offsets {
    /// Reads `consumerOffset.json`.
    pub fn open(file: StateFile, clock: Clock) -> Result<Offsets, StateFileError> {
        let mut table: HashMap<String, GroupOffsets> = HashMap::new();
        let mut version = DataVersion::default();
        let mut unknown = Map::new();
        if let Some(document) = file.load::<OffsetsDocument>()? {
            version = document.data_version;
            unknown = document.unknown;
            for (key, queues) in document.offset_table {
                // Neither topic nor group may contain an @, so a key without exactly one is nobody's.
                if let Some((topic, group)) = key.split_once('@') {
                    table.entry(group.to_owned()).or_default().insert(topic.to_owned(), queues);
                }
            }
        }
        Ok(Offsets {
            clock,
            file,
            table: RwLock::new(table.into_iter().map(|(group, topics)| (group, Mutex::new(topics))).collect()),
            resets: RwLock::default(),
            version: Mutex::new(version),
            saving: Mutex::new(unknown),
            commits: AtomicU64::new(0),
            saved: AtomicU64::new(0),
        })
    }

    /// Stores where `group` stands; a smaller value replaces a larger one.
    pub fn commit(&self, group: &str, topic: &str, queue: QueueId, offset: i64) {
        self.with_group(group, |topics| match topics.get_mut(topic) {
            Some(queues) => drop(queues.insert(queue.0, offset)),
            None => drop(topics.insert(topic.to_owned(), Queues::from([(queue.0, offset)]))),
        });
        self.changed();
    }

    /// Where `group` stands; a pending reset comes before what was stored.
    pub fn query(&self, group: &str, topic: &str, queue: QueueId) -> Option<i64> {
        if let Some(offset) = self.pending_reset(group, topic, queue) {
            return Some(offset);
        }
        let table = self.table.read();
        let topics = table.get(group)?.lock();
        topics.get(topic)?.get(&queue.0).copied().filter(|offset| *offset >= 0)
    }

    /// All offsets of a group in a topic, by queue.
    pub fn of_topic(&self, group: &str, topic: &str) -> BTreeMap<u32, i64> {
        let table = self.table.read();
        table.get(group).and_then(|topics| topics.lock().get(topic).cloned()).unwrap_or_default()
    }

    /// The topics in which a group has offsets, sorted.
    pub fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.table.read();
        let mut topics: Vec<_> =
            table.get(group).map(|topics| topics.lock().keys().cloned().collect()).unwrap_or_default();
        topics.sort();
        topics
    }

    /// The groups that have offsets, sorted.
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<_> = self.table.read().keys().cloned().collect();
        groups.sort();
        groups
    }

    /// The groups that have offsets in a topic, sorted.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = self.table.read();
        let mut groups: Vec<_> = table
            .iter()
            .filter(|(_, topics)| topics.lock().contains_key(topic))
            .map(|(group, _)| group.clone())
            .collect();
        groups.sort();
        groups
    }

    /// Copies the offsets of one group in a topic to another group.
    pub fn copy(&self, from: &str, to: &str, topic: &str) {
        let queues = self.of_topic(from, topic);
        if queues.is_empty() {
            return;
        }
        self.with_group(to, |topics| drop(topics.insert(topic.to_owned(), queues)));
        self.changed();
    }

    /// Forgets a group.
    pub fn delete_group(&self, group: &str) {
        self.resets.write().retain(|(owner, _, _), _| owner != group);
        if self.table.write().remove(group).is_some() {
            self.changed();
        }
    }

    /// Forgets a topic in every group.
    pub fn delete_topic(&self, topic: &str) {
        self.resets.write().retain(|(_, name, _), _| name != topic);
        let table = self.table.read();
        let mut found = false;
        for topics in table.values() {
            found |= topics.lock().remove(topic).is_some();
        }
        if found {
            self.changed();
        }
    }

    /// Lowers offsets that lie behind a queue's end to that end: the log may have lost its unsynced tail (STORE 1).
    /// `end` gives the end of a queue, `None` for one that does not exist. Returns how many were lowered.
    pub fn clamp(&self, mut end: impl FnMut(&str, QueueId) -> Option<i64>) -> usize {
        let mut lowered = 0;
        let table = self.table.read();
        for topics in table.values() {
            for (topic, queues) in topics.lock().iter_mut() {
                for (queue, offset) in queues.iter_mut() {
                    let end = end(topic, QueueId(*queue)).unwrap_or(0);
                    if *offset > end {
                        *offset = end;
                        lowered += 1;
                    }
                }
            }
        }
        if lowered > 0 {
            self.changed();
        }
        lowered
    }

    /// Sets where a group has to go on: answers queries, blocks commits, and is taken by the group's next pull.
    pub fn reset(&self, group: &str, topic: &str, queue: QueueId, offset: i64) {
        // In this order no commit of a client comes in between.
        self.resets.write().insert((group.to_owned(), topic.to_owned(), queue.0), offset);
        self.commit(group, topic, queue, offset);
    }

    /// The reset that waits for the group's next pull, if any.
    pub fn pending_reset(&self, group: &str, topic: &str, queue: QueueId) -> Option<i64> {
        let resets = self.resets.read();
        if resets.is_empty() {
            return None;
        }
        resets.get(&(group.to_owned(), topic.to_owned(), queue.0)).copied()
    }

    /// As `pending_reset`, and erases it.
    pub fn take_reset(&self, group: &str, topic: &str, queue: QueueId) -> Option<i64> {
        if self.resets.read().is_empty() {
            return None;
        }
        self.resets.write().remove(&(group.to_owned(), topic.to_owned(), queue.0))
    }

    /// The table as Java writes it: the body of GET_ALL_CONSUMER_OFFSET.
    pub fn document(&self) -> impl Serialize + use<> {
        self.document_with(Map::new())
    }

    /// Whether a save is due.
    pub fn is_dirty(&self) -> bool {
        self.commits.load(Ordering::Acquire) != self.saved.load(Ordering::Acquire)
    }

    /// Writes the file if something was committed since the last save.
    pub fn save_if_dirty(&self) -> Result<(), StateFileError> {
        if self.is_dirty() { self.save() } else { Ok(()) }
    }

    /// Writes the file as it stands.
    pub fn save(&self) -> Result<(), StateFileError> {
        let unknown = self.saving.lock();
        // Read before the table: a commit in between is at worst written twice.
        let commits = self.commits.load(Ordering::Acquire);
        self.file.save(&self.document_with(unknown.clone()))?;
        self.saved.store(commits, Ordering::Release);
        Ok(())
    }

    fn document_with(&self, unknown: Map<String, Value>) -> OffsetsDocument {
        let mut offset_table = BTreeMap::new();
        let mut group_topic_map = BTreeMap::new();
        for (group, topics) in self.table.read().iter() {
            let topics = topics.lock();
            for (topic, queues) in topics.iter() {
                offset_table.insert(format!("{topic}@{group}"), queues.clone());
            }
            let mut names: Vec<_> = topics.keys().cloned().collect();
            names.sort();
            group_topic_map.insert(group.clone(), names);
        }
        OffsetsDocument { data_version: *self.version.lock(), group_topic_map, offset_table, unknown }
    }

    fn with_group(&self, group: &str, edit: impl FnOnce(&mut GroupOffsets)) {
        if let Some(topics) = self.table.read().get(group) {
            edit(&mut topics.lock());
            return;
        }
        edit(self.table.write().entry(group.to_owned()).or_default().get_mut());
    }

    fn changed(&self) {
        let commits = self.commits.fetch_add(1, Ordering::AcqRel) + 1;
        if commits.is_multiple_of(COMMITS_PER_VERSION) {
            let mut version = self.version.lock();
            *version = version.next(self.clock.now() as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::state_file::scratch;

    const Q0: QueueId = QueueId(0);

    fn open(dir: &std::path::Path) -> Offsets {
        Offsets::open(scratch::file(dir, "consumerOffset.json"), Clock::manual(1_700_000_000_000)).unwrap()
    }

    #[test]
    fn the_last_commit_counts_even_a_smaller_one_and_a_save_keeps_it() {
        let dir = scratch::dir("offsets-commit");
        let offsets = open(&dir);
        assert_eq!(offsets.query("G", "T", Q0), None);
        offsets.commit("G", "T", Q0, 10);
        offsets.commit("G", "T", Q0, 3);
        offsets.commit("G", "%RETRY%G", QueueId(2), 7);
        assert_eq!(offsets.query("G", "T", Q0), Some(3));
        offsets.save_if_dirty().unwrap();
        assert!(!offsets.is_dirty());
        let again = open(&dir);
        assert_eq!(again.query("G", "T", Q0), Some(3));
        assert_eq!(again.topics_of("G"), ["%RETRY%G", "T"]);
        assert_eq!(again.groups_of("T"), ["G"]);
    }

    #[test]
    fn the_files_of_java_4_and_5_are_read() {
        for (name, text) in [
            ("4", "{\n\t\"offsetTable\":{\n\t\t\"T@G\":{0:10,1:11,2:5000000000\n\t\t}\n\t}\n}"),
            (
                "5",
                "{\n\t\"dataVersion\":{\n\t\t\"counter\":3,\n\t\t\"stateVersion\":0,\n\t\t\"timestamp\":1700000000000\n\t},\n\t\"groupTopicMap\":{\n\t\t\"G\":[\"T\"]\n\t},\n\t\"offsetTable\":{\n\t\t\"T@G\":{0:10,1:11,2:5000000000\n\t\t}\n\t},\n\t\"strange\":[1]\n}",
            ),
        ] {
            let dir = scratch::dir(&format!("offsets-java-{name}"));
            std::fs::write(dir.join("consumerOffset.json"), text).unwrap();
            let offsets = open(&dir);
            assert_eq!(offsets.query("G", "T", QueueId(2)), Some(5_000_000_000));
            offsets.save().unwrap();
            let written = std::fs::read_to_string(dir.join("consumerOffset.json")).unwrap();
            assert_eq!(written.contains("\"strange\""), name == "5");
            assert_eq!(open(&dir).query("G", "T", Q0), Some(10));
        }
    }

    #[test]
    fn a_damaged_file_without_a_copy_refuses_the_start() {
        let dir = scratch::dir("offsets-damaged");
        std::fs::write(dir.join("consumerOffset.json"), "{\"offsetTable\":{").unwrap();
        let file = scratch::file(&dir, "consumerOffset.json");
        assert!(Offsets::open(file, Clock::System).unwrap_err().to_string().contains("consumerOffset.json"));
    }

    #[test]
    fn a_reset_answers_queries_until_a_pull_takes_it() {
        let offsets = open(&scratch::dir("offsets-reset"));
        offsets.commit("G", "T", Q0, 10);
        offsets.reset("G", "T", Q0, 2);
        assert_eq!(offsets.query("G", "T", Q0), Some(2));
        assert_eq!(offsets.pending_reset("G", "T", Q0), Some(2));
        assert_eq!(offsets.take_reset("G", "T", Q0), Some(2));
        assert_eq!(offsets.take_reset("G", "T", Q0), None);
        assert_eq!(offsets.query("G", "T", Q0), Some(2));
    }

    #[test]
    fn offsets_behind_the_end_of_a_queue_are_lowered_to_it() {
        let offsets = open(&scratch::dir("offsets-clamp"));
        offsets.commit("G", "T", Q0, 10);
        offsets.commit("G", "T", QueueId(1), 4);
        offsets.commit("G", "Gone", Q0, 4);
        assert_eq!(offsets.clamp(|topic, _| (topic == "T").then_some(5)), 2);
        assert_eq!(offsets.query("G", "T", Q0), Some(5));
        assert_eq!(offsets.query("G", "T", QueueId(1)), Some(4));
        assert_eq!(offsets.query("G", "Gone", Q0), Some(0));
    }

    #[test]
    fn groups_and_topics_can_be_forgotten_and_copied() {
        let offsets = open(&scratch::dir("offsets-forget"));
        offsets.commit("G", "T", Q0, 10);
        offsets.copy("G", "H", "T");
        assert_eq!(offsets.query("H", "T", Q0), Some(10));
        offsets.delete_group("G");
        assert_eq!(offsets.query("G", "T", Q0), None);
        offsets.delete_topic("T");
        assert_eq!(offsets.query("H", "T", Q0), None);
    }
}
