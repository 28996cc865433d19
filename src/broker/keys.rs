//! The keys of Java's `broker.conf`, and what each of them does to this broker. A test walks the list of all keys of
//! Java 4.9 to 5.3 through this table. `app` reads files with it, UPDATE_BROKER_CONFIG what an administrator sends.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::unused_keys;
use crate::base::keys::Does::{Flag, Number, Refused, Text};
use crate::base::keys::{self, Key, Table, key, renamed};
use crate::net::limits::{CONNECTIONS, IDLE_CLOSE_S};
use crate::{broker, store};

/// What a file says about a broker, beside the broker's own configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker's.
    pub broker: broker::Config,
    /// The store's.
    pub store: store::Config,
    /// `brokerIP1`, if it was given.
    pub advertised: Option<IpAddr>,
    /// `brokerName`, if it was given.
    pub name: Option<String>,
    /// `storePathRootDir`, if it was given.
    pub root: Option<PathBuf>,
    /// `namesrvAddr`, if it was given.
    pub name_servers: Option<Vec<String>>,
}

impl Settings {
    /// Java's defaults; the store's folder is decided by the caller.
    pub fn new(root: &Path) -> Self {
        let (broker, store) = (broker::Config::default(), store::Config::new(root));
        Settings { broker, store, advertised: None, name: None, root: None, name_servers: None }
    }
}

const MILLISECONDS: (u64, u64) = (1, 7 * 24 * 3600 * 1000);
const COUNT: (u64, u64) = (1, u32::MAX as u64);
const BYTES: (u64, u64) = (1, i32::MAX as u64);
const PERCENT: (u64, u64) = (1, 100);
/// A century of hours.
const HOURS: (u64, u64) = (0, 100 * 365 * 24);
const PAUSE: (u64, u64) = (0, 24 * 3600 * 1000);

/// All keys of a broker.
pub const TABLE: Table<Settings> = Table { rows: &[BROKER, STORE, REFUSED], unused: unused_keys::BROKER };

/// All keys that `[broker]` and its subsections may set.
pub const TOML: Table<Settings> = Table { rows: &[BROKER, STORE], unused: &[] };

/// Keys of the broker itself.
const BROKER: &[Key<Settings>] = &[
    key(
        "brokerName",
        Text { accepts: "a name without blanks", set: |s, text| name(text).map(|name| s.name = Some(name)) },
    ),
    key(
        "brokerClusterName",
        Text {
            accepts: "a name without blanks",
            set: |s, text| name(text).map(|name| s.broker.broker_cluster_name = name),
        },
    ),
    key("brokerId", Refused { unless: &["0"], why: "only masters (brokerId 0) are built; slaves are not built yet" }),
    key(
        "brokerRole",
        Text {
            accepts: "ASYNC_MASTER and SYNC_MASTER; replication (SLAVE) is not built yet",
            set: |s, text| sync_master(text).map(|sync| s.broker.sync_master = sync),
        },
    ),
    key(
        "brokerIP1",
        Text {
            accepts: "the IPv4 address that clients are told, such as 192.168.1.10",
            set: |s, text| keys::address(text).filter(IpAddr::is_ipv4).map(|ip| s.advertised = Some(ip)),
        },
    ),
    // Not Java's: there, `serverSelectorThreads` and many pools behind it do what few loops do here, and nothing bounds
    // connections.
    key("eventLoops", Number { range: (1, broker::config::LOOPS_MAX as u64), set: |s, n| s.broker.loops = n as usize }),
    key("connectionsMax", Number { range: CONNECTIONS, set: |s, n| s.broker.connections_max = n as usize }),
    key("serverChannelMaxIdleTimeSeconds", Number { range: IDLE_CLOSE_S, set: |s, n| s.broker.idle_close_s = n }),
    key("vipChannel", Flag(|s| &mut s.broker.vip_channel)),
    key("drainTime", Number { range: (0, 600_000), set: |s, ms| s.broker.drain_time_ms = ms }),
    key("listenPort", Number { range: (3, 65535), set: |s, port| s.broker.listen_port = port as u16 }),
    key(
        "bindAddress",
        Text { accepts: "an IP address", set: |s, text| text.parse().ok().map(|ip| s.broker.bind_ip = ip) },
    ),
    key(
        "namesrvAddr",
        Text {
            accepts: "HOST:PORT, several separated by semicolons",
            set: |s, text| keys::servers(text).ok().map(|list| s.name_servers = Some(list)),
        },
    ),
    key("storePathRootDir", Text { accepts: "a path", set: |s, text| path(text).map(|path| s.root = Some(path)) }),
    key("brokerPermission", Number { range: (0, 6), set: |s, bits| s.broker.broker_permission = bits as u32 }),
    key(
        "configBlackList",
        Text {
            accepts: "keys, several separated by semicolons",
            set: |s, text| {
                s.broker.config_black_list = Some(list(text)).filter(|keys| !keys.is_empty())?;
                Some(())
            },
        },
    ),
    key("autoCreateTopicEnable", Flag(|s| &mut s.broker.auto_create_topic_enable)),
    key("defaultTopicQueueNums", Number { range: (1, 1024), set: |s, n| s.broker.default_topic_queue_nums = n as u32 }),
    key("clusterTopicEnable", Flag(|s| &mut s.broker.cluster_topic_enable)),
    key("brokerTopicEnable", Flag(|s| &mut s.broker.broker_topic_enable)),
    key("autoCreateSubscriptionGroup", Flag(|s| &mut s.broker.auto_create_subscription_group)),
    key("maxMessageSize", Number { range: (1, 1 << 30), set: |s, bytes| s.broker.max_message_size = bytes as usize }),
    key("syncFlushTimeout", Number { range: MILLISECONDS, set: |s, ms| s.broker.sync_flush_timeout_ms = ms }),
    key(
        "regionId",
        Text { accepts: "a name without blanks", set: |s, text| name(text).map(|name| s.broker.region_id = name) },
    ),
    key("traceTopicEnable", Flag(|s| &mut s.broker.trace_topic_enable)),
    key(
        "msgTraceTopicName",
        Text {
            accepts: "a name without blanks",
            set: |s, text| name(text).map(|name| s.broker.msg_trace_topic_name = name),
        },
    ),
    key("traceOn", Flag(|s| &mut s.broker.trace_on)),
    key(
        "startAcceptSendRequestTimeStamp",
        Number { range: (0, i64::MAX as u64), set: |s, ms| s.broker.start_accept_send_request_time_stamp = ms },
    ),
    key("longPollingEnable", Flag(|s| &mut s.broker.long_polling_enable)),
    key("shortPollingTimeMills", Number { range: MILLISECONDS, set: |s, ms| s.broker.short_polling_time_mills = ms }),
    key("litePullMessageEnable", Flag(|s| &mut s.broker.lite_pull_message_enable)),
    key("enablePropertyFilter", Refused { unless: &["false"], why: "filters in SQL are not built yet" }),
    key(
        "maxTransferCountOnMessageInMemory",
        Number { range: COUNT, set: |s, n| s.broker.max_transfer_count_on_message_in_memory = n as u32 },
    ),
    key(
        "maxTransferBytesOnMessageInMemory",
        Number { range: BYTES, set: |s, n| s.broker.max_transfer_bytes_on_message_in_memory = n as u32 },
    ),
    key(
        "maxTransferCountOnMessageInDisk",
        Number { range: COUNT, set: |s, n| s.broker.max_transfer_count_on_message_in_disk = n as u32 },
    ),
    key(
        "maxTransferBytesOnMessageInDisk",
        Number { range: BYTES, set: |s, n| s.broker.max_transfer_bytes_on_message_in_disk = n as u32 },
    ),
    key(
        "accessMessageInMemoryMaxRatio",
        Number { range: (0, 100), set: |s, ratio| s.broker.access_message_in_memory_max_ratio = ratio },
    ),
    key("slaveReadEnable", Flag(|s| &mut s.broker.slave_read_enable)),
    key("notifyConsumerIdsChangedEnable", Flag(|s| &mut s.broker.notify_consumer_ids_changed_enable)),
    // In Java a system property of the broker's virtual machine, rocketmq.broker.rebalance.lockMaxLiveTime.
    key(
        "rebalanceLockMaxLiveTime",
        Number { range: MILLISECONDS, set: |s, ms| s.broker.rebalance_lock_max_live_time_ms = ms },
    ),
    key(
        "flushConsumerOffsetInterval",
        Number { range: MILLISECONDS, set: |s, ms| s.broker.flush_consumer_offset_interval_ms = ms },
    ),
    key("forceRegister", Flag(|s| &mut s.broker.force_register)),
    key(
        "registerNameServerPeriod",
        Number { range: (10_000, 60_000), set: |s, ms| s.broker.register_name_server_period_ms = ms },
    ),
];

/// Keys of the store.
const STORE: &[Key<Settings>] = &[
    key(
        "storePathCommitLog",
        Text {
            accepts: "the path of one folder",
            set: |s, text| path(text).filter(|_| !text.contains(',')).map(|path| s.store.commit_log_dir = Some(path)),
        },
    ),
    renamed(
        "mappedFileSizeCommitLog",
        &["mapedFileSizeCommitLog"],
        Number { range: (4096, 1 << 40), set: |s, bytes| s.store.log_file_size = bytes },
    ),
    renamed(
        "mappedFileSizeConsumeQueue",
        &["mapedFileSizeConsumeQueue"],
        // Java rounds up to whole units of 20 bytes.
        Number { range: (20, 1 << 32), set: |s, bytes| s.store.queue_file_size = bytes.div_ceil(20) * 20 },
    ),
    key("messageIndexEnable", Flag(|s| &mut s.store.index_enable)),
    key("maxHashSlotNum", Number { range: (1, 1 << 30), set: |s, n| s.store.index_slots = n as u32 }),
    key("maxIndexNum", Number { range: (2, 1 << 30), set: |s, n| s.store.index_entries = n as u32 }),
    key(
        "flushDiskType",
        Text {
            accepts: "ASYNC_FLUSH and SYNC_FLUSH",
            set: |s, text| flush_mode(text).map(|mode| s.store.flush_mode = mode),
        },
    ),
    key("flushIntervalCommitLog", Number { range: MILLISECONDS, set: |s, ms| s.store.flush_interval_ms = ms }),
    key("flushIntervalConsumeQueue", Number { range: MILLISECONDS, set: |s, ms| s.store.derive_interval_ms = ms }),
    key("checkCRCOnRecover", Flag(|s| &mut s.store.check_crc_on_recover)),
    key(
        "messageDelayLevel",
        Text {
            accepts: "delays such as `1s 5s 1m 2h 1d`, separated by blanks",
            set: |s, text| delays(text).map(|delays| s.store.delay_levels_ms = delays),
        },
    ),
    key("fileReservedTime", Number { range: HOURS, set: |s, hours| s.store.retention.reserved_ms = hours * 3_600_000 }),
    key(
        "deleteWhen",
        Text {
            accepts: "hours of the day from 00 to 23, several separated by semicolons",
            set: |s, text| store::parse_hours(text).map(|hours| s.store.retention.delete_hours = hours),
        },
    ),
    key("cleanResourceInterval", Number { range: MILLISECONDS, set: |s, ms| s.store.retention.interval_ms = ms }),
    key("deleteFileBatchMax", Number { range: COUNT, set: |s, n| s.store.retention.files_max = n as u32 }),
    key("deleteCommitLogFilesInterval", Number { range: PAUSE, set: |s, ms| s.store.retention.log_file_pause_ms = ms }),
    key(
        "deleteConsumeQueueFilesInterval",
        Number { range: PAUSE, set: |s, ms| s.store.retention.queue_file_pause_ms = ms },
    ),
    key("diskMaxUsedSpaceRatio", Number { range: PERCENT, set: |s, n| s.store.retention.clean_percent = n as u32 }),
    key(
        "diskSpaceCleanForciblyRatio",
        Number { range: PERCENT, set: |s, n| s.store.retention.force_percent = n as u32 },
    ),
    key(
        "diskSpaceWarningLevelRatio",
        Number { range: PERCENT, set: |s, n| s.store.retention.refuse_percent = n as u32 },
    ),
    key("cleanFileForciblyEnable", Flag(|s| &mut s.store.retention.delete_unexpired)),
];

/// Keys that ask for something which is not there.
const REFUSED: &[Key<Settings>] = &[
    key("aclEnable", Refused { unless: &["false"], why: "access control is not built yet" }),
    key("authenticationEnabled", Refused { unless: &["false"], why: "access control is not built yet" }),
    key("authorizationEnabled", Refused { unless: &["false"], why: "access control is not built yet" }),
    key("migrateAuthFromV1Enabled", Refused { unless: &["false"], why: "access control is not built yet" }),
    key("tls.server.mode", Refused { unless: &["disabled", "permissive"], why: "TLS is not built yet" }),
    key("tls.enable", Refused { unless: &["false"], why: "TLS is not built yet" }),
    key("useTLS", Refused { unless: &["false"], why: "TLS is not built yet" }),
    key("tls.server.need.client.auth", Refused { unless: &["none"], why: "TLS is not built yet" }),
    key("tls.server.authClient", Refused { unless: &["false"], why: "TLS is not built yet" }),
    key("tls.client.certPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.client.keyPassword", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.client.keyPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.client.trustCertPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.config.file", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.server.certPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.server.keyPassword", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.server.keyPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.server.trustCertPath", Refused { unless: &[], why: "TLS is not built yet" }),
    key("tls.client.authServer", Refused { unless: &["false"], why: "TLS is not built yet" }),
    key("socksProxyConfig", Refused { unless: &["", "{}"], why: "connections through a SOCKS proxy are not built" }),
    key("enableDLegerCommitLog", Refused { unless: &["false"], why: "DLedger is not built" }),
    key("enableControllerMode", Refused { unless: &["false"], why: "controller mode is not built yet" }),
    key("enableSlaveActingMaster", Refused { unless: &["false"], why: "slaves are not built yet" }),
    key("enableRemoteEscape", Refused { unless: &["false"], why: "slaves are not built yet" }),
    key("duplicationEnable", Refused { unless: &["false"], why: "replication is not built yet" }),
    key("allAckInSyncStateSet", Refused { unless: &["false"], why: "replication is not built yet" }),
    key("inSyncReplicas", Refused { unless: &["1"], why: "replication is not built yet" }),
    key("minInSyncReplicas", Refused { unless: &["1"], why: "replication is not built yet" }),
    key("totalReplicas", Refused { unless: &["1"], why: "replication is not built yet" }),
    key("asyncLearner", Refused { unless: &["false"], why: "slaves are not built yet" }),
    key("lockInStrictMode", Refused { unless: &["false"], why: "replication is not built yet" }),
    key("isInBrokerContainer", Refused { unless: &["false"], why: "several brokers in one process are not built" }),
    key("inBrokerContainer", Refused { unless: &["false"], why: "several brokers in one process are not built" }),
    key("isBrokerContainer", Refused { unless: &["false"], why: "several brokers in one process are not built" }),
    key("messageStorePlugIn", Refused { unless: &[""], why: "store plug-ins are Java classes and cannot be loaded" }),
    key("storeType", Refused { unless: &["default"], why: "only Java's file store is built" }),
    key("rocksdbCQDoubleWriteEnable", Refused { unless: &["false"], why: "only Java's file store is built" }),
    key(
        "readOnlyCommitLogStorePaths",
        Refused { unless: &[""], why: "a commit log over several folders is not built" },
    ),
    key("enableConsumeQueueExt", Refused { unless: &["false"], why: "the consume queue extension is not built" }),
    key("enableCalcFilterBitMap", Refused { unless: &["false"], why: "filters in SQL are not built yet" }),
    key("filterSupportRetry", Refused { unless: &["false"], why: "filters in SQL are not built yet" }),
    key("enableLmq", Refused { unless: &["false"], why: "light message queues are not built" }),
    key("enableMultiDispatch", Refused { unless: &["false"], why: "light message queues are not built" }),
    key("enabledAppendPropCRC", Refused { unless: &["false"], why: "checksums over properties are not built" }),
    key("forceVerifyPropCRC", Refused { unless: &["false"], why: "checksums over properties are not built" }),
    key(
        "fetchNamesrvAddrByAddressServer",
        Refused { unless: &["false"], why: "name servers are given by -n or namesrvAddr" },
    ),
    key(
        "fetchNameSrvAddrByDnsLookup",
        Refused { unless: &["false"], why: "name servers are given by -n or namesrvAddr" },
    ),
    key("rejectPullConsumerEnable", Refused { unless: &["false"], why: "refusing pull consumers is not built" }),
    key(
        "disableConsumeIfConsumerReadSlowly",
        Refused { unless: &["false"], why: "cutting off slow consumers is not built" },
    ),
    key("coldDataFlowControlEnable", Refused { unless: &["false"], why: "flow control of cold reads is not built" }),
    key("coldCtrStrategyEnable", Refused { unless: &["false"], why: "flow control of cold reads is not built" }),
    key("metricsExporterType", Refused { unless: &["DISABLE"], why: "metrics are not built yet" }),
    key("useStaticSubscription", Refused { unless: &["false"], why: "static subscriptions are not built" }),
];

fn name(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

fn sync_master(text: &str) -> Option<bool> {
    match text {
        "ASYNC_MASTER" => Some(false),
        "SYNC_MASTER" => Some(true),
        _ => None,
    }
}

fn flush_mode(text: &str) -> Option<store::FlushMode> {
    match text {
        "ASYNC_FLUSH" => Some(store::FlushMode::Async),
        "SYNC_FLUSH" => Some(store::FlushMode::Sync),
        _ => None,
    }
}

fn delays(text: &str) -> Option<Vec<u64>> {
    let delay = |word: &str| {
        let unit = word.chars().next_back()?;
        let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)].into_iter().find(|(name, _)| *name == unit)?.1;
        word[..word.len() - 1].parse::<u32>().ok().map(|count| u64::from(count) * seconds * 1000)
    };
    let delays: Vec<u64> = text.split_whitespace().map(delay).collect::<Option<_>>()?;
    (!delays.is_empty()).then_some(delays)
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn list(text: &str) -> Vec<String> {
    text.split(';').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const JAVA: &str = include_str!("../../tests/golden/java-keys/broker.txt");

    #[test]
    fn every_value_that_cannot_be_used_is_named_with_what_is_accepted() {
        TABLE.check_bad_values(|| Settings::new(Path::new("")), &["messageStorePlugIn", "readOnlyCommitLogStorePaths"]);
    }

    #[test]
    fn every_key_of_java_has_exactly_one_row() {
        let missing: Vec<_> = JAVA.lines().filter(|key| !TABLE.names().any(|name| name == *key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut seen = HashSet::new();
        let twice: Vec<_> = TABLE.names().filter(|name| !seen.insert(*name)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
