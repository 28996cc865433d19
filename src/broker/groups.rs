//! The consumer groups' settings and `config/subscriptionGroup.json` (INTEROP 06 §1, STORE 5.3).
//!
//! A group that an administrator sets is on disk before anybody sees it. One that comes to be by being looked up has the
//! default settings, so losing it costs nothing: it is visible at once and written behind the request by `save_if_dirty`.
//! Knows no connection: who is online is `clients`' matter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::base::clock::Clock;
use crate::wire::body::{DataVersion, SubscriptionGroupConfig};

use super::state_file::{StateFile, StateFileError};

/// Longest group name, in bytes.
pub const GROUP_NAME_MAX: usize = 255;
/// Most retry queues that a request may ask for.
pub const RETRY_QUEUE_NUMS_MAX: i32 = 1024;
/// Groups with this prefix exist whenever they are asked for.
const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// Groups that exist before any file is read.
const BUILT_IN: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// A group that could not be made or changed.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The name is not allowed.
    #[error("the group name {found:?} is not allowed: 1 to {GROUP_NAME_MAX} of the characters % | a-z A-Z 0-9 _ - are")]
    Name {
        /// What was asked for.
        found: String,
    },
    /// A number is out of range.
    #[error("the group {group} cannot have {field} = {found}: {allowed}")]
    Value {
        /// The group.
        group: String,
        /// Which field.
        field: &'static str,
        /// What was asked for.
        found: i64,
        /// What is possible.
        allowed: String,
    },
    /// The file could not be written; nothing has changed.
    #[error("the change of group {group} was not made: {source}")]
    File {
        /// The group.
        group: String,
        /// Why.
        source: StateFileError,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupsDocument {
    #[serde(default)]
    data_version: DataVersion,
    #[serde(default)]
    forbidden_table: Map<String, Value>,
    subscription_group_table: BTreeMap<String, Arc<SubscriptionGroupConfig>>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// All groups at one moment.
#[derive(Clone, Debug, Default)]
pub struct GroupTable {
    groups: HashMap<String, Arc<SubscriptionGroupConfig>>,
    /// Version of the table.
    pub version: DataVersion,
}

impl GroupTable {
    /// The group called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<SubscriptionGroupConfig>> {
        self.groups.get(name)
    }

    /// All groups, sorted by name.
    pub fn sorted(&self) -> BTreeMap<String, Arc<SubscriptionGroupConfig>> {
        self.groups.iter().map(|(name, group)| (name.clone(), group.clone())).collect()
    }
}

/// The parts of the file that we keep without reading them.
#[derive(Debug, Default)]
struct Kept {
    forbidden_table: Map<String, Value>,
    unknown: Map<String, Value>,
}

/// The broker's consumer groups.
#[derive(Debug)]
pub struct Groups {
    auto_create: AtomicBool,
    clock: Clock,
    file: StateFile,
    /// Held over a whole change or save.
    writing: Mutex<Kept>,
    table: RwLock<GroupTable>,
    dirty: AtomicBool,
}

impl Groups {
    /// Reads `subscriptionGroup.json` over the built-in groups; `auto_create` is `autoCreateSubscriptionGroup`.
    pub fn open(auto_create: bool, file: StateFile, clock: Clock) -> Result<Groups, StateFileError> {
        let mut table = GroupTable::default();
        for name in BUILT_IN {
            table.groups.insert(name.to_owned(), Arc::new(default_group(name)));
        }
        let mut kept = Kept::default();
        if let Some(document) = file.load::<GroupsDocument>()? {
            table.version = document.data_version;
            table.groups.extend(document.subscription_group_table);
            kept = Kept { forbidden_table: document.forbidden_table, unknown: document.unknown };
        }
        let (writing, table) = (Mutex::new(kept), RwLock::new(table));
        Ok(Groups {
            auto_create: AtomicBool::new(auto_create),
            clock,
            file,
            writing,
            table,
            dirty: AtomicBool::new(false),
        })
    }

    /// The settings of `name`, if it exists.
    pub fn get(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.read().groups.get(name).cloned()
    }

    /// Changes `autoCreateSubscriptionGroup`.
    pub fn set_auto_create(&self, auto_create: bool) {
        self.auto_create.store(auto_create, Ordering::Relaxed);
    }

    /// The settings of `name`, made with defaults if that is allowed. Never waits for a disk.
    pub fn get_or_create(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(group) = self.get(name) {
            return Some(group);
        }
        if !(self.auto_create.load(Ordering::Relaxed) || name.starts_with(SYSTEM_PREFIX)) || check_name(name).is_err() {
            return None;
        }
        let mut table = self.table.write();
        if let Some(group) = table.groups.get(name) {
            return Some(group.clone());
        }
        let group = Arc::new(default_group(name));
        table.groups.insert(name.to_owned(), group.clone());
        table.version = table.version.next(self.clock.now() as i64);
        self.dirty.store(true, Ordering::Release);
        Some(group)
    }

    /// All groups.
    pub fn table(&self) -> GroupTable {
        self.table.read().clone()
    }

    /// The body of GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
    pub fn document(&self) -> impl Serialize + use<> {
        let kept = self.writing.lock();
        document(&kept, &self.table())
    }

    /// Creates or changes a group on behalf of an administrator; on disk when it returns.
    pub fn update(&self, group: SubscriptionGroupConfig) -> Result<(), GroupError> {
        check(&group)?;
        let name = group.group_name.clone();
        self.change(&name, |groups| {
            groups.insert(name.clone(), Arc::new(group));
            true
        })?;
        Ok(())
    }

    /// Forgets a group; false when there was none.
    pub fn delete(&self, name: &str) -> Result<bool, GroupError> {
        self.change(name, |groups| groups.remove(name).is_some())
    }

    /// Writes what look-ups have added since the last save.
    pub fn save_if_dirty(&self) -> Result<(), StateFileError> {
        if self.dirty.load(Ordering::Acquire) { self.save() } else { Ok(()) }
    }

    /// Writes the file as it stands.
    pub fn save(&self) -> Result<(), StateFileError> {
        let kept = self.writing.lock();
        self.dirty.store(false, Ordering::Release);
        self.file.save(&document(&kept, &self.table())).inspect_err(|_| self.dirty.store(true, Ordering::Release))
    }

    /// Whether a save is due.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    fn change(
        &self,
        name: &str,
        edit: impl FnOnce(&mut HashMap<String, Arc<SubscriptionGroupConfig>>) -> bool,
    ) -> Result<bool, GroupError> {
        let kept = self.writing.lock();
        let before = self.table();
        let mut after = before.clone();
        if !edit(&mut after.groups) {
            return Ok(false);
        }
        after.version = after.version.next(self.clock.now() as i64);
        self.file
            .save(&document(&kept, &after))
            .map_err(|source| GroupError::File { group: name.to_owned(), source })?;
        // Look-ups may have added groups meanwhile: only this one entry is taken over.
        let mut table = self.table.write();
        match after.groups.remove(name) {
            Some(group) => drop(table.groups.insert(name.to_owned(), group)),
            None => drop(table.groups.remove(name)),
        }
        let counter = table.version.counter.max(after.version.counter);
        table.version = DataVersion { counter, ..after.version };
        Ok(true)
    }
}

fn document(kept: &Kept, table: &GroupTable) -> GroupsDocument {
    GroupsDocument {
        data_version: table.version,
        forbidden_table: kept.forbidden_table.clone(),
        subscription_group_table: table.sorted(),
        unknown: kept.unknown.clone(),
    }
}

fn default_group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

/// Checks a group's name by the rule of 5.1.1+.
pub fn check_name(name: &str) -> Result<(), GroupError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    if name.is_empty() || name.len() > GROUP_NAME_MAX || !name.bytes().all(allowed) {
        return Err(GroupError::Name { found: name.to_owned() });
    }
    Ok(())
}

fn check(group: &SubscriptionGroupConfig) -> Result<(), GroupError> {
    check_name(&group.group_name)?;
    let refuse = |field, found: i32, allowed: String| {
        Err(GroupError::Value { group: group.group_name.clone(), field, found: i64::from(found), allowed })
    };
    if !(0..=RETRY_QUEUE_NUMS_MAX).contains(&group.retry_queue_nums) {
        return refuse("retryQueueNums", group.retry_queue_nums, format!("0 to {RETRY_QUEUE_NUMS_MAX} are possible"));
    }
    if group.retry_max_times < -1 {
        return refuse("retryMaxTimes", group.retry_max_times, "-1 and more are possible".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::state_file::scratch;

    fn open(dir: &std::path::Path, auto_create: bool) -> Groups {
        Groups::open(auto_create, scratch::file(dir, "subscriptionGroup.json"), Clock::manual(1_700_000_000_000))
            .unwrap()
    }

    #[test]
    fn a_looked_up_group_is_there_at_once_and_on_disk_after_the_next_save() {
        let dir = scratch::dir("groups-look-up");
        let groups = open(&dir, true);
        assert!(groups.get("G").is_none());
        assert_eq!(groups.get_or_create("G").unwrap().retry_max_times, 16);
        assert!(groups.is_dirty());
        groups.save_if_dirty().unwrap();
        assert!(!groups.is_dirty());
        assert!(open(&dir, true).get("G").is_some());
    }

    #[test]
    fn without_automatic_creation_only_system_groups_come_to_be() {
        let groups = open(&scratch::dir("groups-refuse"), false);
        assert!(groups.get_or_create("G").is_none());
        assert!(groups.get_or_create("CID_RMQ_SYS_X").is_some());
        assert!(groups.get_or_create("CID_RMQ_SYS_ X").is_none());
        assert!(groups.get_or_create("TOOLS_CONSUMER").is_some());
    }

    #[test]
    fn an_update_is_on_disk_when_it_returns_and_strange_members_are_kept() {
        let dir = scratch::dir("groups-update");
        let groups = open(&dir, true);
        let group: SubscriptionGroupConfig =
            serde_json::from_str(r#"{"groupName":"G","retryMaxTimes":3,"colour":"red"}"#).unwrap();
        groups.update(group.clone()).unwrap();
        let again = open(&dir, true);
        assert_eq!(*again.get("G").unwrap(), group);
        assert_eq!(again.get("G").unwrap().other["colour"], "red");
        assert_eq!(again.table().version, groups.table().version);
        assert!(again.delete("G").unwrap() && !again.delete("G").unwrap());
        assert!(open(&dir, true).get("G").is_none());
        assert!(groups.update(SubscriptionGroupConfig { retry_queue_nums: -1, ..group.clone() }).is_err());
        assert!(groups.update(SubscriptionGroupConfig { group_name: "a b".into(), ..group }).is_err());
    }
}
