//! The broker's settings for tools: told, and changed while it runs (INTEROP 06 §12).

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::base::changes::Counts::{self, AfterRestart, AtOnce, Never};
use crate::base::changes::{self, Asked, Rules, Told};
use crate::base::properties;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::config::{ALWAYS_BLACK, Config};
use crate::broker::handles::Handles;
use crate::broker::keys::{Settings, TABLE};
use crate::net::request::OwnedRequest;
use crate::store::{self, FlushMode, Store};
use crate::wire::body::DataVersion;
use crate::wire::codes::response;

const IDENTITY: Counts = Never("it says which broker this is: set it in the file that the broker starts from");
const FOLDER: Counts = Never("folders may only be set in the file that the broker starts from");
const FILE_SIZE: Counts = Never("the size of files cannot change for a store that has some");

/// A setting by Java's name, and its value as Java prints it.
type Row = (&'static str, Counts, fn(&Settings) -> String);

/// How a broker's settings change.
const RULES: Rules<Settings> = Rules {
    table: &TABLE,
    shown: |settings| ROWS.iter().map(|(name, _, value)| (*name, value(settings))).collect(),
    counts: |key| ROWS.iter().find(|(name, ..)| *name == key).map_or(Never("it never changes here"), |row| row.1),
};

/// The settings that GET_BROKER_CONFIG tells.
const ROWS: &[Row] = &[
    ("accessMessageInMemoryMaxRatio", AtOnce, |s| s.broker.access_message_in_memory_max_ratio.to_string()),
    ("autoCreateSubscriptionGroup", AtOnce, |s| s.broker.auto_create_subscription_group.to_string()),
    ("autoCreateTopicEnable", AtOnce, |s| s.broker.auto_create_topic_enable.to_string()),
    ("bindAddress", AfterRestart, |s| s.broker.bind_ip.to_string()),
    ("brokerClusterName", IDENTITY, |s| s.broker.broker_cluster_name.clone()),
    ("brokerIP1", AfterRestart, |s| s.advertised.unwrap_or(s.broker.broker_ip1).to_string()),
    ("brokerId", IDENTITY, |s| s.broker.broker_id.to_string()),
    ("brokerName", IDENTITY, |s| s.name.as_ref().unwrap_or(&s.broker.broker_name).clone()),
    ("brokerPermission", AtOnce, |s| s.broker.broker_permission.to_string()),
    ("brokerRole", IDENTITY, |s| role_text(s.broker.sync_master).to_owned()),
    ("brokerTopicEnable", AfterRestart, |s| s.broker.broker_topic_enable.to_string()),
    ("checkCRCOnRecover", AfterRestart, |s| s.store.check_crc_on_recover.to_string()),
    ("cleanFileForciblyEnable", AtOnce, |s| s.store.retention.delete_unexpired.to_string()),
    ("cleanResourceInterval", AtOnce, |s| s.store.retention.interval_ms.to_string()),
    ("clusterTopicEnable", AfterRestart, |s| s.broker.cluster_topic_enable.to_string()),
    ("configBlackList", AtOnce, |s| s.broker.config_black_list.join(";")),
    ("connectionsMax", AfterRestart, |s| s.broker.connections_max.to_string()),
    ("defaultTopicQueueNums", AtOnce, |s| s.broker.default_topic_queue_nums.to_string()),
    ("deleteCommitLogFilesInterval", AtOnce, |s| s.store.retention.log_file_pause_ms.to_string()),
    ("deleteConsumeQueueFilesInterval", AtOnce, |s| s.store.retention.queue_file_pause_ms.to_string()),
    ("deleteFileBatchMax", AtOnce, |s| s.store.retention.files_max.to_string()),
    ("deleteWhen", AtOnce, |s| store::hours_text(&s.store.retention.delete_hours)),
    ("diskMaxUsedSpaceRatio", AtOnce, |s| s.store.retention.clean_percent.to_string()),
    ("diskSpaceCleanForciblyRatio", AtOnce, |s| s.store.retention.force_percent.to_string()),
    ("diskSpaceWarningLevelRatio", AtOnce, |s| s.store.retention.refuse_percent.to_string()),
    ("drainTime", AtOnce, |s| s.broker.drain_time_ms.to_string()),
    ("enablePropertyFilter", AfterRestart, |s| s.broker.enable_property_filter.to_string()),
    ("eventLoops", AfterRestart, |s| s.broker.loops.to_string()),
    ("fileReservedTime", AtOnce, |s| (s.store.retention.reserved_ms / 3_600_000).to_string()),
    ("flushConsumerOffsetInterval", AtOnce, |s| s.broker.flush_consumer_offset_interval_ms.to_string()),
    ("flushDiskType", AfterRestart, |s| flush_text(s.store.flush_mode).to_owned()),
    ("flushIntervalCommitLog", AtOnce, |s| s.store.flush_interval_ms.to_string()),
    ("flushIntervalConsumeQueue", AtOnce, |s| s.store.derive_interval_ms.to_string()),
    ("forceRegister", AtOnce, |s| s.broker.force_register.to_string()),
    ("listenPort", AfterRestart, |s| s.broker.listen_port.to_string()),
    ("litePullMessageEnable", AtOnce, |s| s.broker.lite_pull_message_enable.to_string()),
    ("longPollingEnable", AtOnce, |s| s.broker.long_polling_enable.to_string()),
    ("mappedFileSizeCommitLog", FILE_SIZE, |s| s.store.log_file_size.to_string()),
    ("mappedFileSizeConsumeQueue", FILE_SIZE, |s| s.store.queue_file_size.to_string()),
    ("maxHashSlotNum", AfterRestart, |s| s.store.index_slots.to_string()),
    ("maxIndexNum", AfterRestart, |s| s.store.index_entries.to_string()),
    ("maxMessageSize", AtOnce, |s| s.broker.max_message_size.to_string()),
    ("maxTransferBytesOnMessageInDisk", AtOnce, |s| s.broker.max_transfer_bytes_on_message_in_disk.to_string()),
    ("maxTransferBytesOnMessageInMemory", AtOnce, |s| s.broker.max_transfer_bytes_on_message_in_memory.to_string()),
    ("maxTransferCountOnMessageInDisk", AtOnce, |s| s.broker.max_transfer_count_on_message_in_disk.to_string()),
    ("maxTransferCountOnMessageInMemory", AtOnce, |s| s.broker.max_transfer_count_on_message_in_memory.to_string()),
    ("messageDelayLevel", AfterRestart, |s| delay_text(&s.store.delay_levels_ms)),
    ("messageIndexEnable", AfterRestart, |s| s.store.index_enable.to_string()),
    ("msgTraceTopicName", AfterRestart, |s| s.broker.msg_trace_topic_name.clone()),
    ("namesrvAddr", AtOnce, |s| s.name_servers.as_ref().unwrap_or(&s.broker.namesrv_addrs).join(";")),
    ("notifyConsumerIdsChangedEnable", AtOnce, |s| s.broker.notify_consumer_ids_changed_enable.to_string()),
    ("rebalanceLockMaxLiveTime", AfterRestart, |s| s.broker.rebalance_lock_max_live_time_ms.to_string()),
    ("regionId", AtOnce, |s| s.broker.region_id.clone()),
    ("registerNameServerPeriod", AtOnce, |s| s.broker.register_name_server_period_ms.to_string()),
    ("serverChannelMaxIdleTimeSeconds", AfterRestart, |s| s.broker.idle_close_s.to_string()),
    ("shortPollingTimeMills", AtOnce, |s| s.broker.short_polling_time_mills.to_string()),
    ("slaveReadEnable", AtOnce, |s| s.broker.slave_read_enable.to_string()),
    ("startAcceptSendRequestTimeStamp", AtOnce, |s| s.broker.start_accept_send_request_time_stamp.to_string()),
    ("storePathCommitLog", FOLDER, |s| s.store.commit_log_dir().display().to_string()),
    ("storePathRootDir", FOLDER, |s| s.root.as_ref().unwrap_or(&s.store.root).display().to_string()),
    ("syncFlushTimeout", AtOnce, |s| s.broker.sync_flush_timeout_ms.to_string()),
    ("traceOn", AtOnce, |s| s.broker.trace_on.to_string()),
    ("traceTopicEnable", AfterRestart, |s| s.broker.trace_topic_enable.to_string()),
    ("vipChannel", AfterRestart, |s| s.broker.vip_channel.to_string()),
];

/// GET_BROKER_CONFIG: properties text with the settings in force, and the version that clients need.
pub(super) fn get(handles: &Handles) -> Answered {
    let settings = in_force(&handles.config.get(), &handles.store);
    let mut text = String::new();
    for (name, _, value) in ROWS {
        let value = value(&settings);
        // As Java, which leaves out what nobody set.
        if !value.is_empty() {
            // Writing into a String cannot fail.
            let _infallible = writeln!(text, "{name}={value}");
        }
    }
    let counter = handles.config.generation() as i64;
    let version = DataVersion { counter, timestamp: handles.stats.started as i64, ..DataVersion::default() };
    let version = serde_json::to_string(&version).map_err(Refusal::system)?;
    Ok(Answer::body(text).and("version", version))
}

/// Every key that does something with its value, as a file would have given it.
pub fn shown(settings: &Settings) -> Vec<(&'static str, String)> {
    (RULES.shown)(settings)
}

/// When a changed value of a key counts.
pub fn counts(key: &str) -> Counts {
    (RULES.counts)(key)
}

/// UPDATE_BROKER_CONFIG: all of it or, with the reason, nothing; the remark says what became of each key. What was changed
/// is kept in the overlay, and is on the disk when this is answered; the file that the broker starts from is not touched.
pub(super) async fn update(handles: &Arc<Handles>, request: &OwnedRequest) -> Answered {
    let (shared, body, by) = (handles.clone(), request.body.clone(), request.conn.peer.to_string());
    let before = handles.config.get();
    let told = super::blocking(move || asked(&shared, &body, &by)).await?.inspect_err(|refusal| {
        tracing::info!("an update of the settings from {} was refused: {}", request.conn.peer, refusal.remark);
    })?;
    announce(handles, &before).await;
    let remark = (!told.is_empty()).then(|| handles.changes.say(&told).into());
    Ok(Answer { remark, ..Answer::empty() })
}

/// Takes over what a file that was read again asks for, as far as it can count while the broker runs.
pub async fn reload(handles: &Arc<Handles>, wanted: Settings) -> Result<Vec<Told>, String> {
    let shared = handles.clone();
    let work = move || {
        let mut told = Vec::new();
        let change = |before: &Config| {
            let before = in_force(before, &shared.store);
            let (mut after, differences) = RULES.differences(&before, &wanted);
            // No text says that there is none any more.
            after.name_servers = Some(wanted.broker.namesrv_addrs.clone());
            told = differences;
            let problems = after.broker.check();
            if !problems.is_empty() {
                return Err(problems.join("; "));
            }
            consequences(&shared, &before.broker, &after.broker)?;
            shared.store.change(&after.store);
            Ok(broker_of(after))
        };
        shared.config.update(change, |_, after| tell_parts(&shared, after))?;
        Ok::<_, String>(told)
    };
    let before = handles.config.get();
    let told = super::blocking(work).await.map_err(|refusal| refusal.remark.into_owned())??;
    announce(handles, &before).await;
    Ok(told)
}

/// Whom a change of the settings concerns that do not look them up: held pulls, the name servers.
async fn announce(handles: &Arc<Handles>, before: &Config) {
    // Held pulls are looked at again: the broker's permission may have gone.
    handles.appender.rules_changed();
    let config = handles.config.get();
    let told = |config: &Config| {
        let (servers, queues) = (config.namesrv_addrs.clone(), config.default_topic_queue_nums);
        (config.broker_permission, config.register_name_server_period_ms, config.force_register, servers, queues)
    };
    if told(before) != told(&config) {
        handles.registration.settings_changed().await;
    }
}

fn asked(handles: &Handles, body: &[u8], by: &str) -> Result<Vec<Told>, Refusal> {
    let entries = properties::parse(body)
        .map_err(|error| Refusal::system(format!("string2Properties error: {error}; nothing was changed")))?;
    let current = in_force(&handles.config.get(), &handles.store);
    let black =
        |key: &str| ALWAYS_BLACK.contains(&key) || current.broker.config_black_list.iter().any(|black| black == key);
    // What is told may come back as it was.
    let stays = |key: &str, text: &str| ROWS.iter().any(|(name, _, value)| *name == key && value(&current) == text);
    if let Some(entry) = entries.iter().find(|entry| black(&entry.key) && !stays(&entry.key, &entry.value)) {
        let remark = format!(
            "Can not update config in black list. {} is in configBlackList: set it in the file that the broker starts \
             from; nothing was changed",
            entry.key
        );
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let Asked { own, mut told } = handles.changes.sort(entries);
    let asked: Vec<_> = own.iter().map(|named| named.entry.clone()).collect();
    let overlay = &handles.changes.overlay;
    let change = |before: &Config| {
        let before = in_force(before, &handles.store);
        let (after, own) = RULES.judge(&before, &own, |key| overlay.get(key));
        told.extend(own);
        let refused: Vec<_> = told.iter().filter(|told| told.is_refused()).map(ToString::to_string).collect();
        // What is stored must not keep the broker from its next start either.
        let mut next = before.clone();
        TABLE.apply(&asked, &mut next);
        let checked = || next.broker.check().into_iter().chain(next.store.check()).collect();
        let problems: Vec<_> = if refused.is_empty() { checked() } else { refused };
        if !problems.is_empty() {
            return Err(Refusal::system(format!("nothing was changed: {}", problems.join("; "))));
        }
        let keep = changes::to_keep(&told, by, handles.clock.now());
        if keep.is_empty() {
            return Ok(broker_of(after));
        }
        // On the disk before it counts, and back if it cannot count.
        let kept = overlay.keep(&keep).map_err(|error| Refusal::system(format!("nothing was changed: {error}")))?;
        let applied = consequences(handles, &before.broker, &after.broker);
        if let Err(problem) = applied.and_then(|()| handles.changes.apply(&told)) {
            let restored = overlay.restore(kept).map_or_else(|error| format!("; {error}"), |()| String::new());
            return Err(Refusal::system(format!("nothing was changed: {problem}{restored}")));
        }
        tracing::info!("{by} changed settings, kept in {}: {}", overlay.path().display(), handles.changes.say(&told));
        handles.store.change(&after.store);
        Ok(broker_of(after))
    };
    handles.config.update(change, |_, after| tell_parts(handles, after))?;
    Ok(told)
}

/// What is written somewhere else when the settings change.
fn consequences(handles: &Handles, before: &Config, after: &Config) -> Result<(), String> {
    if before.default_topic_queue_nums != after.default_topic_queue_nums {
        handles.topics.set_template_queues(after.default_topic_queue_nums).map_err(|error| error.to_string())?;
    }
    if before.auto_create_topic_enable != after.auto_create_topic_enable {
        let (enabled, queues) = (after.auto_create_topic_enable, after.default_topic_queue_nums);
        handles.topics.set_auto_create(enabled, queues).map_err(|error| error.to_string())?;
    }
    if before.broker_permission != after.broker_permission {
        handles.topics.touch().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Parts that keep a setting themselves.
fn tell_parts(handles: &Handles, after: &Config) {
    handles.groups.set_auto_create(after.auto_create_subscription_group);
    handles.clients.set_notify(after.notify_consumer_ids_changed_enable);
    handles.registration.change_name_servers(&after.namesrv_addrs);
    handles.registration.change_identity(|identity| {
        identity.broker_permission = after.broker_permission;
        identity.period_ms = after.register_name_server_period_ms;
        identity.force = after.force_register;
    });
}

/// The broker's part of settings, with the name servers that a key may have put beside it.
fn broker_of(settings: Settings) -> Config {
    let Settings { mut broker, name_servers, .. } = settings;
    broker.namesrv_addrs = name_servers.unwrap_or(broker.namesrv_addrs);
    broker
}

/// The settings in force, as a file would have given them.
fn in_force(broker: &Config, store: &Store) -> Settings {
    Settings { broker: broker.clone(), store: store.settings(), ..Settings::new(Path::new("")) }
}

fn role_text(sync_master: bool) -> &'static str {
    if sync_master { "SYNC_MASTER" } else { "ASYNC_MASTER" }
}

fn flush_text(mode: FlushMode) -> &'static str {
    match mode {
        FlushMode::Async => "ASYNC_FLUSH",
        FlushMode::Sync => "SYNC_FLUSH",
    }
}

fn delay_text(levels_ms: &[u64]) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let text = |ms: &u64| {
        let (unit, length) =
            UNITS.iter().find(|(_, length)| *ms >= *length && ms.is_multiple_of(*length)).unwrap_or(&UNITS[3]);
        format!("{}{unit}", ms / length)
    };
    levels_ms.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::base::keys::Does;
    use crate::broker::fixture::Broker;
    use crate::wire::codes::request::{GET_BROKER_CONFIG, UPDATE_BROKER_CONFIG};

    #[test]
    fn every_key_that_does_something_is_told() {
        let rows =
            TABLE.rows.iter().flat_map(|rows| rows.iter()).filter(|key| !matches!(key.does, Does::Refused { .. }));
        let missing: Vec<_> =
            rows.map(|key| key.name).filter(|name| !ROWS.iter().any(|(row, ..)| row == name)).collect();
        assert_eq!(missing, [""; 0]);
        assert!(ROWS.is_sorted_by_key(|(name, ..)| *name));
        assert_eq!(delay_text(&[1000, 60_000, 7_200_000, 90_000]), "1s 1m 2h 90s");
    }

    fn told(broker: &Broker, name: &str) -> String {
        let text = String::from_utf8(broker.call(1, GET_BROKER_CONFIG, &[], &[]).body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
    }

    #[test]
    fn what_is_told_can_be_sent_back_and_changes_nothing() {
        let broker = Broker::new("config-round");
        let before = broker.call(1, GET_BROKER_CONFIG, &[], &[]).body;
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], &before);
        assert_eq!(answer.code, 0, "{}", answer.remark);
        assert!(answer.remark.split("; ").all(|told| told.ends_with(": unchanged")), "{}", answer.remark);
        assert_eq!(broker.call(1, GET_BROKER_CONFIG, &[], &[]).body, before);
        assert!(!broker.handles.changes.overlay.path().exists(), "nothing was changed, so nothing is kept");
    }

    #[test]
    fn changes_count_at_once_and_are_told() {
        let broker = Broker::new("config-live");
        let version = |broker: &Broker| broker.handles.topics.table().version.counter;
        let before = version(&broker);
        let body = b"brokerPermission=4\nmaxMessageSize=1000\nautoCreateSubscriptionGroup=false\nautoCreateTopicEnable=false\n";
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], body);
        let expected = "brokerPermission=4: applied, was 6; maxMessageSize=1000: applied, was 4194304; \
                        autoCreateSubscriptionGroup=false: applied, was true; autoCreateTopicEnable=false: applied, was true";
        assert_eq!((answer.code, answer.remark.as_str()), (0, expected));
        assert_eq!(told(&broker, "brokerPermission"), "4");
        assert_eq!(told(&broker, "maxMessageSize"), "1000");
        assert!(version(&broker) > before, "name servers see that something changed");
        assert!(broker.handles.groups.get_or_create("late").is_none());
        assert!(broker.handles.topics.create_in_send("t", "TBW102", 4, false).is_err());
        assert_eq!(broker.call(1, UPDATE_BROKER_CONFIG, &[], b"autoCreateTopicEnable=true").code, 0);
        assert!(broker.handles.topics.create_in_send("t", "TBW102", 4, false).is_ok());
        assert_eq!(broker.call(1, UPDATE_BROKER_CONFIG, &[], b"defaultTopicQueueNums=3").code, 0);
        let made = broker.handles.topics.create_in_send("u", "TBW102", 4, false).unwrap().topic;
        assert_eq!((made.write_queue_nums, made.read_queue_nums), (3, 3), "the template has fewer now");
    }

    #[test]
    fn what_cannot_be_done_is_refused_whole_with_its_reason() {
        let broker = Broker::new("config-bad");
        let before = broker.call(1, GET_BROKER_CONFIG, &[], &[]).body;
        for (body, code, told) in [
            (
                "maxMessageSize=1000\nbrokerPermission=9",
                1,
                "brokerPermission=9: refused, accepted is a whole number from 0 to 6",
            ),
            (
                "traceOn=false\nstorePathRootDir=/tmp/x",
                1,
                "storePathRootDir=/tmp/x: refused, folders may only be set in",
            ),
            (
                "traceOn=false\nmapedFileSizeCommitLog=8192",
                1,
                "mapedFileSizeCommitLog=8192: refused, the size of files",
            ),
            ("traceOn=perhaps", 1, "traceOn=perhaps: refused, accepted are true and false"),
            ("brokerRole=SLAVE", 1, "replication"),
            ("brokerName=other", 1, "brokerName=other: refused, it says which broker this is"),
            ("traceOn=false\nbrokerConfigPath=/tmp/x", 16, "Can not update config in black list."),
            ("a=\\uZ", 1, "string2Properties error"),
        ] {
            let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], body.as_bytes());
            assert_eq!(answer.code, code, "{body}: {}", answer.remark);
            assert!(answer.remark.contains(told), "{body}: {}", answer.remark);
            assert_eq!(broker.call(1, GET_BROKER_CONFIG, &[], &[]).body, before, "{body} changed something");
            assert_eq!(broker.handles.changes.overlay.all(), [], "{body} is kept");
        }
    }

    #[test]
    fn what_was_changed_is_on_the_disk_when_it_is_answered_with_who_when_and_what_was() {
        let broker = Broker::new("config-kept");
        let body = b"maxMessageSize=1000\nflushDiskType=SYNC_FLUSH\ntraceOn=true\nnoSuchKey=1\n";
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], body);
        let expected = "maxMessageSize=1000: applied, was 4194304; flushDiskType=SYNC_FLUSH: stored, needs a restart, until \
                        then ASYNC_FLUSH; traceOn=true: unchanged; noSuchKey: ignored, no key that is known here";
        assert_eq!((answer.code, answer.remark.as_str()), (0, expected));
        assert_eq!(told(&broker, "flushDiskType"), "ASYNC_FLUSH", "what is told is in force");
        let path = broker.dir.join("config").join(changes::FILE_NAME);
        let kept = changes::Overlay::read(&RealDisk, &path).unwrap();
        let change = |key: &str, value: &str, was: &str| changes::Change {
            key: key.to_owned(),
            value: value.to_owned(),
            was: was.to_owned(),
            by: Broker::conn(1).peer.to_string(),
            at: crate::broker::fixture::START,
        };
        let size = change("maxMessageSize", "1000", "4194304");
        assert_eq!(kept, [size.clone(), change("flushDiskType", "SYNC_FLUSH", "ASYNC_FLUSH")]);
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], b"flushDiskType=ASYNC_FLUSH");
        assert_eq!(answer.remark, "flushDiskType=ASYNC_FLUSH: applied, was SYNC_FLUSH from the next start on");
        assert_eq!(changes::Overlay::read(&RealDisk, &path).unwrap()[1].value, "ASYNC_FLUSH");
    }

    #[test]
    fn what_cannot_be_kept_is_not_changed() {
        let broker = Broker::new("config-unkept");
        std::fs::create_dir_all(broker.dir.join("config").join("overlay.properties.tmp")).unwrap();
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], b"maxMessageSize=1000");
        assert!(answer.code == 1 && answer.remark.starts_with("nothing was changed: cannot "), "{}", answer.remark);
        assert_eq!(told(&broker, "maxMessageSize"), "4194304");
    }

    #[test]
    fn a_file_that_was_read_again_changes_what_can_change_and_names_the_rest() {
        let broker = Broker::new("config-reload");
        let mut wanted = in_force(&broker.handles.config.get(), &broker.handles.store);
        wanted.broker.max_message_size = 1000;
        wanted.store.flush_mode = FlushMode::Sync;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let lines = runtime.block_on(reload(&broker.handles, wanted)).unwrap();
        let expected = "flushDiskType=SYNC_FLUSH: needs a restart, until then ASYNC_FLUSH; maxMessageSize=1000: applied, was 4194304";
        assert_eq!(changes::told(&lines), expected);
        assert_eq!(told(&broker, "maxMessageSize"), "1000");
        assert_eq!(broker.handles.changes.overlay.all(), [], "what a file says is kept by the file");
    }

    #[test]
    fn intervals_and_name_servers_change_at_once_and_a_file_may_name_none_any_more() {
        let broker = Broker::new("config-live-parts");
        let body =
            b"flushIntervalCommitLog=20\nflushIntervalConsumeQueue=30\nnamesrvAddr=127.0.0.1:1;127.0.0.1:2;127.0.0.1:1";
        let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], body);
        assert!(answer.remark.split("; ").all(|told| told.contains(": applied, was ")), "{}", answer.remark);
        let settings = broker.handles.store.settings();
        assert_eq!((settings.flush_interval_ms, settings.derive_interval_ms), (20, 30));
        assert_eq!(told(&broker, "flushIntervalCommitLog"), "20");
        let servers = || broker.handles.registration.standings().into_iter().map(|(addr, _)| addr).collect::<Vec<_>>();
        assert_eq!(servers(), ["127.0.0.1:1", "127.0.0.1:2"], "one named twice is one");
        let mut wanted = in_force(&broker.handles.config.get(), &broker.handles.store);
        wanted.broker.namesrv_addrs = Vec::new();
        wanted.store.flush_interval_ms = 40;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let lines = runtime.block_on(reload(&broker.handles, wanted)).unwrap();
        assert!(lines.iter().all(|told| matches!(told.fate, changes::Fate::Applied { .. })), "{lines:?}");
        assert_eq!((servers(), broker.handles.config.get().namesrv_addrs.len()), (Vec::new(), 0));
        assert_eq!(broker.handles.store.settings().flush_interval_ms, 40);
    }

    #[test]
    fn the_black_list_of_the_file_is_obeyed_and_told() {
        let broker = Broker::open(crate::broker::state_file::scratch::dir("config-black"), |config| {
            config.config_black_list = vec!["maxMessageSize".to_owned(), "traceOn".to_owned()];
        });
        assert_eq!(told(&broker, "configBlackList"), "maxMessageSize;traceOn");
        for body in ["traceOn=false", "regionId=r\nmaxMessageSize=5", "configBlackList=", "brokerConfigPath=/tmp/x"] {
            let answer = broker.call(1, UPDATE_BROKER_CONFIG, &[], body.as_bytes());
            assert_eq!(answer.code, 16, "{body}: {}", answer.remark);
            assert_eq!((told(&broker, "traceOn"), told(&broker, "regionId")), ("true".into(), "DefaultRegion".into()));
        }
        assert_eq!(broker.call(1, UPDATE_BROKER_CONFIG, &[], b"regionId=r").code, 0);
    }

    #[test]
    fn unknown_names_are_ignored_and_named() {
        let broker = Broker::new("config-unknown");
        let answer =
            broker.call(1, UPDATE_BROKER_CONFIG, &[], b"traceOn=false\ntraceOnn=1\nsendMessageThreadPoolNums=4");
        assert_eq!(answer.code, 0, "{}", answer.remark);
        assert!(
            answer.remark.contains("traceOnn: ignored, no key that is known here; did you mean traceOn?"),
            "{}",
            answer.remark
        );
        assert!(answer.remark.contains("sendMessageThreadPoolNums: ignored, "), "{}", answer.remark);
        assert_eq!(told(&broker, "traceOn"), "false");
    }
}
