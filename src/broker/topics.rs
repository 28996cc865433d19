//! The topics of this broker: what they are, how they come to be, and `config/topics.json` (INTEROP 06 §1–2, STORE 5.2).
//!
//! A change is durable before anybody sees it: the file is written first, then the new table is published. Readers
//! take an immutable table; an event loop keeps a `TopicsView` and looks at one atomic per request. Knows no socket and
//! no name server: whoever changes topics tells `registration` what changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::base::clock::Clock;
use crate::wire::body::DataVersion;
pub use crate::wire::body::TopicFilterType;

use super::config::Config;
use super::state_file::{StateFile, StateFileError};

/// Template of automatically created topics, and the topic whose route producers ask for when theirs is unknown.
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Where delayed messages wait.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";

/// Bit of `perm`: messages may be read.
pub const PERM_READ: u32 = 4;
/// Bit of `perm`: messages may be written.
pub const PERM_WRITE: u32 = 2;
/// Bit of `perm`: the topic may serve as a template of others.
pub const PERM_INHERIT: u32 = 1;

/// Longest topic name, in characters (INTEROP 06 §1).
pub const TOPIC_NAME_MAX: usize = 127;
/// Most queues that a request may ask for; far above what anybody runs, low enough that a typo does not hurt.
pub const QUEUE_NUMS_MAX: u32 = 65_536;

const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
const BENCHMARK_TOPIC: &str = "BenchmarkTest";
const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
const CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
const CHECKPOINT_TOPIC: &str = "CHECKPOINT_TOPIC";
const SYSTEM_PREFIX: &str = "rmq_sys_";

/// Topics to which clients must not send (code 16).
const SEND_FORBIDDEN: [&str; 6] =
    [SCHEDULE_TOPIC, HALF_TOPIC, OP_HALF_TOPIC, CHECK_MAX_TIME_TOPIC, SELF_TEST_TOPIC, OFFSET_MOVED_TOPIC];

/// Names that belong to the system whatever the configuration says.
const SYSTEM_TOPICS: [&str; 10] = [
    DEFAULT_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    HALF_TOPIC,
    TRACE_TOPIC,
    OP_HALF_TOPIC,
    CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_TOPIC,
    CHECKPOINT_TOPIC,
];

/// Whether clients must not send to `topic`.
pub fn send_is_forbidden(topic: &str) -> bool {
    SEND_FORBIDDEN.contains(&topic)
}

/// Whether a topic belongs to the system on every broker, whatever its own name and its cluster's.
pub fn is_system_everywhere(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic) || topic.starts_with(SYSTEM_PREFIX)
}

/// The retry topic of a group.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The dead-letter topic of a group.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// A topic name that is refused; the texts are Java's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing but white space.
    #[error("The specified topic is blank.")]
    Blank,
    /// A character outside the allowed set.
    #[error("The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Characters,
    /// Longer than `TOPIC_NAME_MAX`.
    #[error("The specified topic is longer than topic max length.")]
    TooLong,
}

/// Checks a topic's name in Java's order.
pub fn check_name(topic: &str) -> Result<(), NameError> {
    if topic.trim().is_empty() {
        return Err(NameError::Blank);
    }
    if !topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte)) {
        return Err(NameError::Characters);
    }
    if topic.len() > TOPIC_NAME_MAX {
        return Err(NameError::TooLong);
    }
    Ok(())
}

/// One topic, in the form in which `topics.json`, GET_ALL_TOPIC_CONFIG and REGISTER_BROKER carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// 5.x attributes, without the `+` of a request.
    pub attributes: BTreeMap<String, String>,
    /// Whether an administrator declared it ordered.
    pub order: bool,
    /// Permission bits.
    pub perm: u32,
    /// Number of queues that consumers may read.
    pub read_queue_nums: u32,
    /// Tags per message.
    pub topic_filter_type: TopicFilterType,
    /// Name.
    pub topic_name: String,
    /// Bit 0 unit, bit 1 unit subscription.
    #[serde(rename = "topicSysFlag", alias = "topicSynFlag")]
    pub sys_flag: i32,
    /// Number of queues that producers may write.
    pub write_queue_nums: u32,
    /// Members that another version wrote; kept as they are.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: PERM_READ | PERM_WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            sys_flag: 0,
            write_queue_nums: 16,
            unknown: Map::new(),
        }
    }
}

impl TopicConfig {
    /// A plain topic with as many queues to read as to write.
    pub fn new(name: impl Into<String>, queue_nums: u32, perm: u32) -> Self {
        TopicConfig {
            topic_name: name.into(),
            read_queue_nums: queue_nums,
            write_queue_nums: queue_nums,
            perm,
            ..TopicConfig::default()
        }
    }

    /// Whether consumers may read it.
    pub fn is_readable(&self) -> bool {
        self.perm & PERM_READ != 0
    }

    /// Whether producers may write it.
    pub fn is_writable(&self) -> bool {
        self.perm & PERM_WRITE != 0
    }

    /// Whether topics may be made in its image.
    pub fn is_template(&self) -> bool {
        self.perm & PERM_INHERIT != 0
    }
}

/// All topics at one moment.
#[derive(Debug, Default, Clone)]
pub struct TopicTable {
    topics: HashMap<String, Arc<TopicConfig>>,
    /// Version of the table; changes whenever the table does.
    pub version: DataVersion,
}

impl TopicTable {
    /// The topic called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<TopicConfig>> {
        self.topics.get(name)
    }

    /// Number of topics.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All topics, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicConfig>> {
        self.topics.values()
    }

    /// All topics, sorted by name.
    pub fn sorted(&self) -> Vec<&Arc<TopicConfig>> {
        let mut topics: Vec<_> = self.topics.values().collect();
        topics.sort_by(|a, b| a.topic_name.cmp(&b.topic_name));
        topics
    }
}

/// What the built-in topics and automatic creation depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Name of the cluster; a topic of that name exists.
    pub cluster_name: String,
    /// Name of the broker; a topic of that name exists.
    pub broker_name: String,
    /// Whether unknown topics are made by a send.
    pub auto_create_topic_enable: bool,
    /// Queues of TBW102.
    pub default_topic_queue_nums: u32,
    /// Whether the cluster's topic may be read and written.
    pub cluster_topic_enable: bool,
    /// Whether the broker's topic may be read and written.
    pub broker_topic_enable: bool,
    /// Whether the trace topic exists from the start.
    pub trace_topic_enable: bool,
    /// Name of the trace topic.
    pub msg_trace_topic_name: String,
}

impl From<&Config> for TopicSettings {
    fn from(config: &Config) -> Self {
        TopicSettings {
            cluster_name: config.broker_cluster_name.clone(),
            broker_name: config.broker_name.clone(),
            auto_create_topic_enable: config.auto_create_topic_enable,
            default_topic_queue_nums: config.default_topic_queue_nums,
            cluster_topic_enable: config.cluster_topic_enable,
            broker_topic_enable: config.broker_topic_enable,
            trace_topic_enable: config.trace_topic_enable,
            msg_trace_topic_name: config.msg_trace_topic_name.clone(),
        }
    }
}

impl TopicSettings {
    /// The topics that exist before any file is read (INTEROP 06 §1).
    pub fn built_in(&self) -> Vec<TopicConfig> {
        const RW: u32 = PERM_READ | PERM_WRITE;
        const ALL: u32 = RW | PERM_INHERIT;
        let cluster = &self.cluster_name;
        let broker = &self.broker_name;
        let mut topics = vec![
            TopicConfig::new(SELF_TEST_TOPIC, 1, RW),
            TopicConfig::new(BENCHMARK_TOPIC, 1024, RW),
            TopicConfig::new(cluster, 16, if self.cluster_topic_enable { ALL } else { PERM_INHERIT }),
            TopicConfig::new(broker, 1, if self.broker_topic_enable { ALL } else { PERM_INHERIT }),
            TopicConfig::new(OFFSET_MOVED_TOPIC, 1, RW),
            TopicConfig::new(SCHEDULE_TOPIC, 18, RW),
            TopicConfig::new(format!("{cluster}_REPLY_TOPIC"), 1, RW),
            TopicConfig::new(format!("rmq_sys_SYNC_BROKER_MEMBER_{broker}"), 1, PERM_INHERIT),
            TopicConfig::new(HALF_TOPIC, 1, RW),
            TopicConfig::new(OP_HALF_TOPIC, 1, RW),
        ];
        if self.auto_create_topic_enable {
            topics.push(TopicConfig::new(DEFAULT_TOPIC, self.default_topic_queue_nums, ALL));
        }
        if self.trace_topic_enable {
            topics.push(TopicConfig::new(&self.msg_trace_topic_name, 1, RW));
        }
        topics
    }

    /// Whether `topic` belongs to the system: neither created, changed nor deleted by name.
    pub fn is_system(&self, topic: &str) -> bool {
        is_system_everywhere(topic)
            || topic == self.cluster_name
            || topic == self.broker_name
            || topic.strip_suffix("_REPLY_TOPIC") == Some(&self.cluster_name)
            || (self.trace_topic_enable && topic == self.msg_trace_topic_name)
    }
}

/// A topic after a call that may have made it.
#[derive(Clone, Debug)]
pub struct Created {
    /// The topic.
    pub topic: Arc<TopicConfig>,
    /// Whether the call made it: then the name servers have to be told.
    pub is_new: bool,
}

/// A topic that could not be made, changed or deleted.
#[derive(Debug, Error)]
pub enum TopicError {
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name belongs to the system.
    #[error("The topic[{0}] is conflict with system topic.")]
    System(String),
    /// No template allows to make it.
    #[error("topic[{0}] not exist, apply first please!")]
    NotExist(String),
    /// A number or attribute is out of range.
    #[error("the topic {topic} cannot be created with {field} = {found}: {allowed}")]
    Value {
        /// The topic.
        topic: String,
        /// Which field.
        field: &'static str,
        /// What was asked for.
        found: String,
        /// What is possible.
        allowed: String,
    },
    /// The file could not be written; nothing has changed.
    #[error("the change of topic {topic} was not made: {source}")]
    File {
        /// The topic.
        topic: String,
        /// Why.
        source: StateFileError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicsDocument {
    #[serde(default)]
    data_version: DataVersion,
    topic_config_table: BTreeMap<String, TopicConfig>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The broker's topics.
#[derive(Debug)]
pub struct Topics {
    settings: TopicSettings,
    /// `autoCreateTopicEnable` of this moment.
    auto_create: AtomicBool,
    clock: Clock,
    file: StateFile,
    /// Held over a whole change: file first, then publication. Carries the file's members that we do not know.
    writing: Mutex<Map<String, Value>>,
    table: RwLock<Arc<TopicTable>>,
    generation: AtomicU64,
}

impl Topics {
    /// Reads `topics.json` over the built-in topics. A file that cannot be read, without a good copy, is an error.
    pub fn open(settings: TopicSettings, file: StateFile, clock: Clock) -> Result<Topics, StateFileError> {
        let loaded: Option<TopicsDocument> = file.load()?;
        let mut topics: HashMap<String, Arc<TopicConfig>> =
            settings.built_in().into_iter().map(|topic| (topic.topic_name.clone(), Arc::new(topic))).collect();
        let mut version = DataVersion::default();
        let mut unknown = Map::new();
        if let Some(document) = loaded {
            version = document.data_version;
            unknown = document.unknown;
            for (name, mut topic) in document.topic_config_table {
                topic.topic_name.clone_from(&name);
                topics.insert(name, Arc::new(topic));
            }
        }
        Ok(Topics {
            auto_create: AtomicBool::new(settings.auto_create_topic_enable),
            settings,
            clock,
            file,
            writing: Mutex::new(unknown),
            table: RwLock::new(Arc::new(TopicTable { topics, version })),
            generation: AtomicU64::new(1),
        })
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &TopicSettings {
        &self.settings
    }

    /// Changes `autoCreateTopicEnable`; the template is made, with so many queues, if it is not there. Blocks on the disk.
    pub fn set_auto_create(&self, auto_create: bool, queues: u32) -> Result<(), TopicError> {
        if auto_create {
            let settings = TopicSettings {
                auto_create_topic_enable: true,
                default_topic_queue_nums: queues,
                ..self.settings.clone()
            };
            for template in settings.built_in().into_iter().filter(|topic| topic.topic_name == DEFAULT_TOPIC) {
                self.create_if_missing(template)?;
            }
        }
        self.auto_create.store(auto_create, Ordering::Relaxed);
        Ok(())
    }

    /// Changes `defaultTopicQueueNums`: the queues of the template, if it is there. A start would not, since the template is
    /// in the file by then. Blocks on the disk.
    pub fn set_template_queues(&self, queues: u32) -> Result<(), TopicError> {
        let Some(template) = self.get(DEFAULT_TOPIC) else { return Ok(()) };
        let wanted = TopicConfig { read_queue_nums: queues, write_queue_nums: queues, ..TopicConfig::clone(&template) };
        self.change(DEFAULT_TOPIC, |_| Ok(Change::Put(wanted))).map(drop)
    }

    /// Counts a change that is not in the table, such as the broker's permission: name servers look at the version only.
    /// Blocks on the disk.
    pub fn touch(&self) -> Result<(), TopicError> {
        let mut unknown = self.writing.lock();
        let table = TopicTable::clone(&self.table());
        self.publish("of the whole broker", &mut unknown, table)
    }

    /// The table of this moment.
    pub fn table(&self) -> Arc<TopicTable> {
        self.table.read().clone()
    }

    /// The topic called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<TopicConfig>> {
        self.table.read().get(name).cloned()
    }

    /// A view for one event loop.
    pub fn view(self: &Arc<Self>) -> TopicsView {
        TopicsView { generation: 0, table: Arc::default(), topics: self.clone() }
    }

    /// Makes the topic that a send named, by the template that the send names (INTEROP 06 §2). Blocks on the disk: not for
    /// an event loop. A topic that exists meanwhile is returned as it is.
    pub fn create_in_send(
        &self,
        topic: &str,
        default_topic: &str,
        default_topic_queue_nums: i32,
        unit_mode: bool,
    ) -> Result<Created, TopicError> {
        check_name(topic)?;
        self.change(topic, |table| {
            if let Some(existing) = table.get(topic) {
                return Ok(Change::Keep(existing.clone()));
            }
            let template = table
                .get(default_topic)
                .filter(|template| template.is_template())
                .filter(|template| template.topic_name != DEFAULT_TOPIC || self.auto_create.load(Ordering::Relaxed));
            let made = match template {
                Some(template) => TopicConfig {
                    topic_filter_type: template.topic_filter_type,
                    sys_flag: unit_flag(topic, unit_mode),
                    ..TopicConfig::new(
                        topic,
                        u32::try_from(default_topic_queue_nums).unwrap_or(0).min(template.write_queue_nums),
                        template.perm & !PERM_INHERIT,
                    )
                },
                None if topic.starts_with(RETRY_PREFIX) => TopicConfig::new(topic, 1, PERM_READ | PERM_WRITE),
                None => return Err(TopicError::NotExist(topic.to_owned())),
            };
            Ok(Change::Put(made))
        })
    }

    /// Makes a topic with given properties unless it exists: retry, dead-letter and trace topics.
    pub fn create_if_missing(&self, made: TopicConfig) -> Result<Created, TopicError> {
        let name = made.topic_name.clone();
        self.change(&name, |table| {
            Ok(match table.get(&made.topic_name) {
                Some(existing) => Change::Keep(existing.clone()),
                None => Change::Put(made),
            })
        })
    }

    /// Creates or changes a topic on behalf of an administrator; `attributes` is the request's text (`+key=value,-key`).
    pub fn update(&self, mut wanted: TopicConfig, attributes: &str) -> Result<Arc<TopicConfig>, TopicError> {
        let name = wanted.topic_name.clone();
        check_name(&name)?;
        if self.settings.is_system(&name) {
            return Err(TopicError::System(name));
        }
        check_numbers(&wanted)?;
        let requested = parse_attributes(&name, attributes)?;
        let created = self.change(&name, |table| {
            if let Some(existing) = table.get(&wanted.topic_name) {
                wanted.attributes.clone_from(&existing.attributes);
                wanted.unknown.clone_from(&existing.unknown);
            }
            for (key, value) in requested {
                match value {
                    Some(value) => drop(wanted.attributes.insert(key, value)),
                    None => drop(wanted.attributes.remove(&key)),
                }
            }
            Ok(Change::Put(wanted))
        })?;
        Ok(created.topic)
    }

    /// Forgets a topic; false when there was none.
    pub fn delete(&self, name: &str) -> Result<bool, TopicError> {
        check_name(name)?;
        if self.settings.is_system(name) {
            return Err(TopicError::System(name.to_owned()));
        }
        let mut unknown = self.writing.lock();
        let mut table = TopicTable::clone(&self.table());
        if table.topics.remove(name).is_none() {
            return Ok(false);
        }
        self.publish(name, &mut unknown, table)?;
        Ok(true)
    }

    /// Sets the order flag of each topic by the name server's order configuration: listed topics are ordered; those that
    /// are not listed keep what they have, as since 5.3.1 (INTEROP 05 §5).
    pub fn set_ordered(&self, ordered: &[&str]) -> Result<bool, TopicError> {
        let mut unknown = self.writing.lock();
        let mut table = TopicTable::clone(&self.table());
        let mut changed = false;
        for name in ordered {
            if let Some(topic) = table.topics.get_mut(*name).filter(|topic| !topic.order) {
                Arc::make_mut(topic).order = true;
                changed = true;
            }
        }
        if changed {
            self.publish("of the order configuration", &mut unknown, table)?;
        }
        Ok(changed)
    }

    /// Writes the file as it stands: at a clean stop, so that it lists every topic even if none was ever made.
    pub fn save(&self) -> Result<(), StateFileError> {
        let unknown = self.writing.lock();
        self.write(&unknown, &self.table())
    }

    fn change(
        &self,
        name: &str,
        decide: impl FnOnce(&TopicTable) -> Result<Change, TopicError>,
    ) -> Result<Created, TopicError> {
        let mut unknown = self.writing.lock();
        let current = self.table();
        match decide(&current)? {
            Change::Keep(topic) => Ok(Created { topic, is_new: false }),
            Change::Put(topic) => {
                let topic = Arc::new(topic);
                if current.get(name).is_some_and(|existing| *existing == topic) {
                    return Ok(Created { topic, is_new: false });
                }
                let mut table = TopicTable::clone(&current);
                table.topics.insert(name.to_owned(), topic.clone());
                self.publish(name, &mut unknown, table)?;
                Ok(Created { topic, is_new: true })
            }
        }
    }

    fn publish(&self, name: &str, unknown: &mut Map<String, Value>, mut table: TopicTable) -> Result<(), TopicError> {
        table.version = table.version.next(self.clock.now() as i64);
        self.write(unknown, &table).map_err(|source| TopicError::File { topic: name.to_owned(), source })?;
        *self.table.write() = Arc::new(table);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn write(&self, unknown: &Map<String, Value>, table: &TopicTable) -> Result<(), StateFileError> {
        let document = TopicsDocument {
            data_version: table.version,
            topic_config_table: table
                .topics
                .iter()
                .map(|(name, topic)| (name.clone(), TopicConfig::clone(topic)))
                .collect(),
            unknown: unknown.clone(),
        };
        self.file.save(&document)
    }
}

enum Change {
    Keep(Arc<TopicConfig>),
    Put(TopicConfig),
}

fn unit_flag(topic: &str, unit_mode: bool) -> i32 {
    match (unit_mode, topic.starts_with(RETRY_PREFIX)) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}

fn check_numbers(topic: &TopicConfig) -> Result<(), TopicError> {
    let refuse = |field, found: u32, allowed: String| {
        Err(TopicError::Value { topic: topic.topic_name.clone(), field, found: found.to_string(), allowed })
    };
    for (field, found) in [("readQueueNums", topic.read_queue_nums), ("writeQueueNums", topic.write_queue_nums)] {
        if !(0..=QUEUE_NUMS_MAX).contains(&found) {
            return refuse(field, found, format!("0 to {QUEUE_NUMS_MAX} queues are possible"));
        }
    }
    if !(0..=7).contains(&topic.perm) {
        return refuse("perm", topic.perm, "a sum of 4 (read), 2 (write) and 1 (inherit) is possible".into());
    }
    Ok(())
}

/// Attributes that a topic may have, and their values (`*` = a number), INTEROP 02 notes.
const ATTRIBUTES: [(&str, &[&str]); 4] = [
    ("message.type", &["NORMAL", "FIFO", "DELAY", "TRANSACTION", "UNSPECIFIED"]),
    ("queue.type", &["SimpleCQ", "BatchCQ"]),
    ("cleanup.policy", &["DELETE", "COMPACTION"]),
    ("reserve.time", &["*"]),
];

fn parse_attributes(topic: &str, text: &str) -> Result<Vec<(String, Option<String>)>, TopicError> {
    let refuse = |found: &str, allowed: String| TopicError::Value {
        topic: topic.to_owned(),
        field: "attributes",
        found: found.to_owned(),
        allowed,
    };
    let mut parsed = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (item, None),
        };
        let known = |key: &str| ATTRIBUTES.iter().find(|(name, _)| *name == key);
        let (added, removed) = (key.strip_prefix('+'), key.strip_prefix('-'));
        match (added.and_then(known), removed.and_then(known), value) {
            (Some((name, values)), _, Some(value)) => {
                let fits = values.contains(&value) || (*values == ["*"] && value.parse::<i64>().is_ok());
                if !fits {
                    return Err(refuse(item, format!("{name} takes {}", values.join(", "))));
                }
                parsed.push(((*name).to_owned(), Some(value.to_owned())));
            }
            (_, Some((name, _)), None) => parsed.push(((*name).to_owned(), None)),
            _ => {
                let names: Vec<_> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
                return Err(refuse(item, format!("+key=value and -key are possible, keys are {}", names.join(", "))));
            }
        }
    }
    Ok(parsed)
}

/// An event loop's view of the topics: reading costs one atomic load, and a clone of the table when it has changed.
#[derive(Debug)]
pub struct TopicsView {
    generation: u64,
    table: Arc<TopicTable>,
    topics: Arc<Topics>,
}

impl TopicsView {
    /// The table of this moment.
    pub fn table(&mut self) -> &TopicTable {
        let generation = self.topics.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.table = self.topics.table();
            self.generation = generation;
        }
        &self.table
    }

    /// The topics behind the view.
    pub fn topics(&self) -> &Arc<Topics> {
        &self.topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::state_file::scratch;

    fn open(dir: &std::path::Path) -> Topics {
        Topics::open(
            TopicSettings::from(&Config::default()),
            scratch::file(dir, "topics.json"),
            Clock::manual(1_700_000_000_000),
        )
        .unwrap()
    }

    #[test]
    fn a_send_makes_the_topic_in_the_image_of_its_template_and_it_survives_a_restart() {
        let dir = scratch::dir("topics-send");
        let topics = open(&dir);
        let before = topics.table().version;
        let Created { topic: made, is_new } = topics.create_in_send("T", DEFAULT_TOPIC, 4, false).unwrap();
        assert!(is_new);
        assert_eq!((made.read_queue_nums, made.write_queue_nums, made.perm), (4, 4, 6));
        assert_ne!(topics.table().version, before);
        assert!(!topics.create_in_send("T", DEFAULT_TOPIC, 2, false).unwrap().is_new);
        let again = open(&dir);
        assert_eq!(again.get("T").unwrap(), made);
        assert_eq!(again.table().version, topics.table().version);
    }

    #[test]
    fn without_a_template_only_retry_topics_are_made() {
        let dir = scratch::dir("topics-template");
        let topics = open(&dir);
        let refused = topics.create_in_send("T", "", 4, false).unwrap_err();
        assert_eq!(refused.to_string(), "topic[T] not exist, apply first please!");
        let retry = topics.create_in_send("%RETRY%G", "", 4, false).unwrap().topic;
        assert_eq!((retry.read_queue_nums, retry.perm), (1, 6));
        let wide = topics.create_in_send("W", DEFAULT_TOPIC, 100, false).unwrap().topic;
        assert_eq!(wide.write_queue_nums, 8);
    }

    #[test]
    fn the_boot_topics_are_javas() {
        let names: Vec<_> = TopicSettings::from(&Config::default())
            .built_in()
            .into_iter()
            .map(|t| (t.topic_name, t.write_queue_nums, t.perm))
            .collect();
        for row in
            [("TBW102", 8, 7), ("BenchmarkTest", 1024, 6), ("DefaultCluster", 16, 7), ("SCHEDULE_TOPIC_XXXX", 18, 6)]
        {
            assert!(names.contains(&(row.0.to_owned(), row.1, row.2)), "{row:?}");
        }
    }

    #[test]
    fn names_are_checked_in_javas_order() {
        assert_eq!(check_name(" "), Err(NameError::Blank));
        assert_eq!(check_name("a b"), Err(NameError::Characters));
        assert_eq!(check_name(&"a".repeat(128)), Err(NameError::TooLong));
        assert_eq!(check_name("%RETRY%ns%g|1-_"), Ok(()));
    }

    #[test]
    fn an_update_keeps_attributes_and_refuses_what_makes_no_sense() {
        let dir = scratch::dir("topics-update");
        let topics = open(&dir);
        topics.update(TopicConfig::new("T", 4, 6), "+message.type=FIFO").unwrap();
        let changed = topics.update(TopicConfig::new("T", 8, 4), "").unwrap();
        assert_eq!(changed.attributes.get("message.type").map(String::as_str), Some("FIFO"));
        assert!(topics.update(TopicConfig::new("T", 8, 4), "-message.type").unwrap().attributes.is_empty());
        for (topic, attributes) in [
            (TopicConfig::new("T", 65_537, 6), ""),
            (TopicConfig::new("T", 1, 9), ""),
            (TopicConfig::new("TBW102", 1, 6), ""),
            (TopicConfig::new("rmq_sys_x", 1, 6), ""),
            (TopicConfig::new("T", 1, 6), "+message.type=NONSENSE"),
            (TopicConfig::new("T", 1, 6), "colour=red"),
        ] {
            assert!(topics.update(topic, attributes).is_err());
        }
        assert_eq!(topics.get("T").unwrap().write_queue_nums, 8);
        assert!(topics.delete("T").unwrap());
        assert!(!topics.delete("T").unwrap());
        assert!(topics.delete("TBW102").is_err());
    }

    #[test]
    fn a_view_sees_a_change_with_its_next_look() {
        let dir = scratch::dir("topics-view");
        let topics = Arc::new(open(&dir));
        let mut view = topics.view();
        assert!(view.table().get("T").is_none());
        topics.update(TopicConfig::new("T", 4, 6), "").unwrap();
        assert!(view.table().get("T").is_some());
    }
}
