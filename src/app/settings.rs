//! The settings of a configuration file in TOML: ONE table, a row per setting, with the Java key that it stands for and
//! the unit of its value. What a setting does is said once, in the tables of Java's keys; what it means is said in the
//! commented files of `conf`, which are also the defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

/// The part of the program that a setting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `[namesrv]`.
    Namesrv,
    /// `[broker]` and its subsections.
    Broker,
    /// `[instance]`: the process as a whole.
    Instance,
    /// `[metrics]`.
    Metrics,
    /// `[log]`.
    Log,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count,
    /// `"64KiB"`; Java: bytes.
    Bytes,
    /// `"500ms"`; Java: milliseconds.
    Time,
    /// `"45s"`; Java: seconds.
    Seconds,
    /// `"72h"`; Java: hours.
    Hours,
    /// Text.
    Text,
    /// A path; `~/` is the home folder.
    Path,
    /// `"0.0.0.0:9876"`; Java: two keys, the address and the port.
    Address,
    /// A list of texts; Java: separated by semicolons.
    List,
    /// One of some words; Java: another word for each.
    Word(&'static [(&'static str, &'static str)]),
}

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Where it stands in the file: sections and name, separated by dots.
    pub path: &'static str,
    /// The key that does it; for an `Address` two, separated by a blank.
    pub key: &'static str,
    /// How it is written.
    pub unit: Unit,
}

const fn row(path: &'static str, key: &'static str, unit: Unit) -> Setting {
    Setting { path, key, unit }
}

/// `broker.flush.mode`.
const FLUSH: Unit = Unit::Word(&[("async", "ASYNC_FLUSH"), ("sync", "SYNC_FLUSH")]);
/// `broker.role`.
const ROLE: Unit = Unit::Word(&[("async_master", "ASYNC_MASTER"), ("sync_master", "SYNC_MASTER"), ("slave", "SLAVE")]);
/// `broker.permission`.
const PERMISSION: Unit = Unit::Word(&[("rw", "6"), ("r", "4"), ("w", "2"), ("none", "0")]);
/// `log.format`.
const FORMAT: Unit = Unit::Word(&[("text", "text"), ("json", "json")]);

/// All settings.
pub const SETTINGS: &[Setting] = &[
    row("namesrv.listen", "bindAddress listenPort", Unit::Address),
    row("namesrv.data", "data", Unit::Path),
    row("namesrv.event_loops", "eventLoops", Unit::Count),
    row("namesrv.connections_max", "connectionsMax", Unit::Count),
    row("namesrv.idle_close_time", "serverChannelMaxIdleTimeSeconds", Unit::Seconds),
    row("namesrv.broker_scan_interval", "scanNotActiveBrokerInterval", Unit::Time),
    row("namesrv.order_messages", "orderMessageEnable", Unit::Flag),
    row("namesrv.order_config_to_brokers", "returnOrderTopicConfigToBroker", Unit::Flag),
    row("namesrv.acting_master", "supportActingMaster", Unit::Flag),
    row("namesrv.list_all_topics", "enableAllTopicList", Unit::Flag),
    row("namesrv.list_topics", "enableTopicList", Unit::Flag),
    row("namesrv.delete_absent_topics", "deleteTopicWithBrokerRegistration", Unit::Flag),
    row("namesrv.warm_up", "needWaitForService", Unit::Flag),
    row("namesrv.warm_up_time", "waitSecondsForService", Unit::Seconds),
    row("namesrv.protected_keys", "configBlackList", Unit::List),
    row("broker.name", "brokerName", Unit::Text),
    row("broker.cluster", "brokerClusterName", Unit::Text),
    row("broker.id", "brokerId", Unit::Count),
    row("broker.role", "brokerRole", ROLE),
    row("broker.listen", "bindAddress listenPort", Unit::Address),
    row("broker.vip_channel", "vipChannel", Unit::Flag),
    row("broker.advertise", "brokerIP1", Unit::Text),
    row("broker.name_servers", "namesrvAddr", Unit::List),
    row("broker.register_interval", "registerNameServerPeriod", Unit::Time),
    row("broker.force_register", "forceRegister", Unit::Flag),
    row("broker.drain_time", "drainTime", Unit::Time),
    row("broker.event_loops", "eventLoops", Unit::Count),
    row("broker.connections_max", "connectionsMax", Unit::Count),
    row("broker.idle_close_time", "serverChannelMaxIdleTimeSeconds", Unit::Seconds),
    row("broker.permission", "brokerPermission", PERMISSION),
    row("broker.region", "regionId", Unit::Text),
    row("broker.protected_keys", "configBlackList", Unit::List),
    row("broker.topics.auto_create", "autoCreateTopicEnable", Unit::Flag),
    row("broker.topics.queues", "defaultTopicQueueNums", Unit::Count),
    row("broker.topics.cluster_topic", "clusterTopicEnable", Unit::Flag),
    row("broker.topics.broker_topic", "brokerTopicEnable", Unit::Flag),
    row("broker.topics.trace", "traceTopicEnable", Unit::Flag),
    row("broker.topics.trace_name", "msgTraceTopicName", Unit::Text),
    row("broker.groups.auto_create", "autoCreateSubscriptionGroup", Unit::Flag),
    row("broker.groups.notify_changes", "notifyConsumerIdsChangedEnable", Unit::Flag),
    row("broker.groups.lock_lifetime", "rebalanceLockMaxLiveTime", Unit::Time),
    row("broker.groups.offset_flush_interval", "flushConsumerOffsetInterval", Unit::Time),
    row("broker.send.max_message_size", "maxMessageSize", Unit::Bytes),
    row("broker.send.trace_on", "traceOn", Unit::Flag),
    row("broker.send.accept_from", "startAcceptSendRequestTimeStamp", Unit::Count),
    row("broker.pull.long_polling", "longPollingEnable", Unit::Flag),
    row("broker.pull.short_polling_time", "shortPollingTimeMills", Unit::Time),
    row("broker.pull.lite", "litePullMessageEnable", Unit::Flag),
    row("broker.pull.memory_max_count", "maxTransferCountOnMessageInMemory", Unit::Count),
    row("broker.pull.memory_max_bytes", "maxTransferBytesOnMessageInMemory", Unit::Bytes),
    row("broker.pull.disk_max_count", "maxTransferCountOnMessageInDisk", Unit::Count),
    row("broker.pull.disk_max_bytes", "maxTransferBytesOnMessageInDisk", Unit::Bytes),
    row("broker.pull.memory_ratio", "accessMessageInMemoryMaxRatio", Unit::Count),
    row("broker.pull.slave_read", "slaveReadEnable", Unit::Flag),
    row("broker.flush.mode", "flushDiskType", FLUSH),
    row("broker.flush.log_interval", "flushIntervalCommitLog", Unit::Time),
    row("broker.flush.queue_interval", "flushIntervalConsumeQueue", Unit::Time),
    row("broker.flush.sync_timeout", "syncFlushTimeout", Unit::Time),
    row("broker.store.data", "storePathRootDir", Unit::Path),
    row("broker.store.log_dir", "storePathCommitLog", Unit::Path),
    row("broker.store.log_file_size", "mappedFileSizeCommitLog", Unit::Bytes),
    row("broker.store.queue_file_size", "mappedFileSizeConsumeQueue", Unit::Bytes),
    row("broker.store.index", "messageIndexEnable", Unit::Flag),
    row("broker.store.index_slots", "maxHashSlotNum", Unit::Count),
    row("broker.store.index_entries", "maxIndexNum", Unit::Count),
    row("broker.store.check_crc_on_recovery", "checkCRCOnRecover", Unit::Flag),
    row("broker.store.delay_levels", "messageDelayLevel", Unit::Text),
    row("broker.store.keep", "fileReservedTime", Unit::Hours),
    row("broker.store.delete_hours", "deleteWhen", Unit::Text),
    row("broker.store.disk_clean_percent", "diskMaxUsedSpaceRatio", Unit::Count),
    row("broker.store.disk_force_percent", "diskSpaceCleanForciblyRatio", Unit::Count),
    row("broker.store.disk_refuse_percent", "diskSpaceWarningLevelRatio", Unit::Count),
    row("broker.store.delete_unexpired", "cleanFileForciblyEnable", Unit::Flag),
    row("broker.store.delete_interval", "cleanResourceInterval", Unit::Time),
    row("broker.store.delete_files", "deleteFileBatchMax", Unit::Count),
    row("broker.store.delete_log_pause", "deleteCommitLogFilesInterval", Unit::Time),
    row("broker.store.delete_queue_pause", "deleteConsumeQueueFilesInterval", Unit::Time),
    row("instance.memory_limit", "memoryLimit", Unit::Bytes),
    row("metrics.listen", "metricsListen", Unit::Text),
    row("metrics.label_limit", "labelLimit", Unit::Count),
    row("log.level", "level", Unit::Text),
    row("log.format", "format", FORMAT),
    row("log.dir", "dir", Unit::Path),
    row("log.file_size", "fileSize", Unit::Bytes),
    row("log.files", "files", Unit::Count),
];

impl Role {
    /// Whether its section starts something; the others belong to every process.
    pub fn starts(self) -> bool {
        matches!(self, Role::Namesrv | Role::Broker)
    }
}

impl Setting {
    /// The row of a path.
    pub fn find(path: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|row| row.path == path)
    }

    /// The row of a role that stands for a key.
    pub fn of_key(role: Role, key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|row| row.role() == role && row.keys().any(|name| name == key))
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        match self.path.split('.').next() {
            Some("namesrv") => Role::Namesrv,
            Some("instance") => Role::Instance,
            Some("metrics") => Role::Metrics,
            Some("log") => Role::Log,
            _ => Role::Broker,
        }
    }

    /// The keys that it stands for.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.key.split(' ')
    }

    /// The section that it stands in, and its name there.
    pub fn place(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }
}

impl Unit {
    /// What is accepted, for people.
    pub fn accepts(self) -> String {
        match self {
            Unit::Flag => "true or false".to_owned(),
            Unit::Count => "a whole number".to_owned(),
            Unit::Bytes => "bytes as a number or with a unit, such as 4096, \"64KiB\", \"4MiB\" or \"1GiB\"".to_owned(),
            Unit::Time | Unit::Seconds | Unit::Hours => {
                "a time with its unit, such as \"500ms\", \"5s\", \"2m\", \"72h\" or \"3d\"".to_owned()
            }
            Unit::Text => "a text in quotes".to_owned(),
            Unit::Path => "a path in quotes".to_owned(),
            Unit::Address => "\"IP:PORT\"".to_owned(),
            Unit::List => "a list of texts, such as [\"a\", \"b\"]".to_owned(),
            Unit::Word(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                words.join(", ")
            }
        }
    }

    /// The values of the keys, one per key, for a value of a file. `home` stands for `~`.
    pub fn read(self, value: &DeValue<'_>, home: Option<&Path>) -> Result<Vec<String>, String> {
        let one = match (self, value) {
            (Unit::Flag, DeValue::Boolean(flag)) => Some(flag.to_string()),
            (Unit::Count, DeValue::Integer(_)) => integer(value).map(|number| number.to_string()),
            (Unit::Bytes, DeValue::Integer(_)) => integer(value).map(|number| number.to_string()),
            (Unit::Bytes, DeValue::String(text)) => scaled(text, BYTES).map(|bytes| bytes.to_string()),
            (Unit::Time, DeValue::String(text)) => scaled(text, MILLISECONDS).map(|ms| ms.to_string()),
            (Unit::Seconds, DeValue::String(text)) => {
                scaled(text, MILLISECONDS).filter(|ms| ms % 1000 == 0).map(|ms| (ms / 1000).to_string())
            }
            (Unit::Hours, DeValue::String(text)) => {
                let hours = |ms: u64| ms.is_multiple_of(3_600_000).then_some(ms / 3_600_000);
                scaled(text, MILLISECONDS).and_then(hours).map(|hours| hours.to_string())
            }
            (Unit::Text, DeValue::String(text)) => Some(text.to_string()),
            (Unit::Path, DeValue::String(text)) if !text.is_empty() => Some(absolute(text, home)?),
            (Unit::Address, DeValue::String(text)) => {
                let address: SocketAddr = text.parse().map_err(|_| self.accepts())?;
                return Ok(vec![address.ip().to_string(), address.port().to_string()]);
            }
            (Unit::List, DeValue::Array(list)) => {
                let texts = list.iter().map(|item| item.get_ref().as_str().filter(|text| !text.contains(';')));
                texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(";"))
            }
            (Unit::Word(words), DeValue::String(text)) => {
                words.iter().find(|(word, _)| word == text).map(|(_, key)| (*key).to_owned())
            }
            _ => None,
        };
        one.map(|value| vec![value]).ok_or_else(|| self.accepts())
    }

    /// A key's value as it is written in a file; `None` if it cannot be.
    pub fn write(self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Unit::Flag => Some(value.to_ascii_lowercase()).filter(|text| ["true", "false"].contains(&text.as_str())),
            Unit::Count => value.parse::<u64>().ok().map(|number| number.to_string()),
            Unit::Bytes => value.parse().ok().map(|bytes| in_units(bytes, BYTES)),
            Unit::Time => value.parse().ok().map(|ms| in_units(ms, MILLISECONDS)),
            Unit::Seconds => {
                value.parse::<u64>().ok().map(|seconds| in_units(seconds.saturating_mul(1000), MILLISECONDS))
            }
            Unit::Hours => value.parse::<u64>().ok().map(|hours| format!("\"{hours}h\"")),
            Unit::Text | Unit::Path | Unit::Address => Some(quoted(value)),
            Unit::List => {
                let parts = value.split(';').map(str::trim).filter(|part| !part.is_empty());
                Some(format!("[{}]", parts.map(quoted).collect::<Vec<_>>().join(", ")))
            }
            Unit::Word(words) => words.iter().find(|(_, key)| *key == value).map(|(word, _)| quoted(word)),
        }
    }
}

const BYTES: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const MILLISECONDS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1000)];

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// The value in its largest unit that divides it.
fn in_units(value: u64, units: &[(&str, u64)]) -> String {
    let fits =
        units.iter().filter(|(_, scale)| value > 0 && value.is_multiple_of(*scale)).max_by_key(|(_, scale)| *scale);
    match fits {
        Some((unit, scale)) if *unit != "B" => format!("\"{}{unit}\"", value / scale),
        Some(_) => value.to_string(),
        None => format!("\"0{}\"", units.iter().min_by_key(|(_, scale)| *scale).map_or("", |(unit, _)| unit)),
    }
}

/// A number of a key, written in the unit of its setting.
pub fn in_unit_of(unit: Unit, number: u64) -> String {
    unit.write(&number.to_string()).unwrap_or_else(|| number.to_string())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn absolute(text: &str, home: Option<&Path>) -> Result<String, String> {
    if text.contains("${") || text.starts_with('~') && !text.starts_with("~/") {
        return Err("a path without variables, which are not replaced; ~/ is the home folder".to_owned());
    }
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_), None) => return Err("a path without ~, because HOME is not set".to_owned()),
        (None, _) => PathBuf::from(text),
    };
    let path = std::path::absolute(&path).map_err(|error| format!("a path ({error})"))?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(unit: Unit, text: &str) -> Option<String> {
        let value = DeValue::parse(text).expect("TOML");
        unit.read(value.get_ref(), Some(Path::new("/h"))).ok().map(|values| values.join(" "))
    }

    #[test]
    fn values_are_read_in_their_units() {
        assert_eq!(read(Unit::Bytes, "\"1GiB\"").as_deref(), Some("1073741824"));
        assert_eq!(read(Unit::Bytes, "\"64 KiB\"").as_deref(), Some("65536"));
        assert_eq!(read(Unit::Bytes, "6_000_000").as_deref(), Some("6000000"));
        assert_eq!(read(Unit::Time, "\"500ms\"").as_deref(), Some("500"));
        assert_eq!(read(Unit::Time, "\"2m\"").as_deref(), Some("120000"));
        assert_eq!(read(Unit::Seconds, "\"1h\"").as_deref(), Some("3600"));
        assert_eq!(read(Unit::Address, "\"[::1]:5\"").as_deref(), Some("::1 5"));
        assert_eq!(read(Unit::List, "[\"a:1\", \"b:2\"]").as_deref(), Some("a:1;b:2"));
        assert_eq!(read(Unit::Path, "\"~/store\"").as_deref(), Some("/h/store"));
        assert_eq!(read(FLUSH, "\"sync\"").as_deref(), Some("SYNC_FLUSH"));
        for (unit, bad) in [
            (Unit::Time, "5"),
            (Unit::Time, "\"5\""),
            (Unit::Time, "\"5 hours\""),
            (Unit::Seconds, "\"5ms\""),
            (Unit::Hours, "\"90m\""),
            (Unit::Bytes, "\"1GB\""),
            (Unit::Bytes, "-1"),
            (Unit::Bytes, "\"99999999999TiB\""),
            (Unit::Flag, "\"true\""),
            (Unit::Count, "1.5"),
            (Unit::Address, "\"9876\""),
            (Unit::Path, "\"${HOME}/store\""),
            (Unit::Path, "\"~other/store\""),
            (Unit::List, "\"a;b\""),
            (FLUSH, "\"SYNC_FLUSH\""),
        ] {
            assert_eq!(read(unit, bad), None, "{unit:?} {bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for (unit, value) in [
            (Unit::Bytes, "1073741824"),
            (Unit::Bytes, "6000000"),
            (Unit::Time, "500"),
            (Unit::Time, "90000"),
            (Unit::Seconds, "45"),
            (Unit::Hours, "72"),
            (Unit::Flag, "true"),
            (Unit::List, "a:1;b:2"),
            (Unit::Text, "say \"hi\" \\ there"),
            (FLUSH, "SYNC_FLUSH"),
            (PERMISSION, "6"),
        ] {
            let written = unit.write(value).expect("it can be written");
            assert_eq!(read(unit, &written).as_deref(), Some(value), "{written}");
        }
        assert_eq!(Unit::Time.write("7200000").as_deref(), Some("\"2h\""));
        assert_eq!(Unit::Bytes.write("4194304").as_deref(), Some("\"4MiB\""));
    }
}
