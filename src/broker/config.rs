//! What a broker can be told. Field names are Java's keys in snake case (INTEROP 06); defaults are those of 5.3.3
//! unless a line says otherwise. Knows no file format: `app` reads `broker.conf` into it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::flush_wait::FLUSH_WAITS_MAX;
use super::hold::HELD_PULLS_MAX;
use crate::base::local_time::Zone;
use crate::net::limits::Limits;
use crate::store;

/// Keys that no administrator changes from afar, whatever `configBlackList` says, as in Java.
pub const ALWAYS_BLACK: [&str; 2] = ["configBlackList", "brokerConfigPath"];

/// Configuration of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `brokerName`.
    pub broker_name: String,
    /// `brokerClusterName`.
    pub broker_cluster_name: String,
    /// `brokerId`: 0 is the master, the only role that is built.
    pub broker_id: u64,
    /// `brokerRole` is SYNC_MASTER: a send is answered when a slave has it. No slave can be: SLAVE_NOT_AVAILABLE.
    pub sync_master: bool,
    /// `brokerIP1`: the address that clients are told and that offset message ids carry.
    pub broker_ip1: IpAddr,
    /// Local address of the listeners.
    pub bind_ip: IpAddr,
    /// `listenPort`; 0 takes any free port and opens no VIP listener.
    pub listen_port: u16,
    /// Whether `listenPort − 2` is opened for the VIP channel of clients before 4.5.
    pub vip_channel: bool,
    /// `storePathRootDir`.
    pub store_path_root_dir: PathBuf,
    /// `namesrvAddr`, split.
    pub namesrv_addrs: Vec<String>,
    /// Number of event loops.
    pub loops: usize,
    /// Connections at once, as far as the memory has room for them.
    pub connections_max: usize,
    /// `serverChannelMaxIdleTimeSeconds`: a connection that neither read nor wrote for so long is closed.
    pub idle_close_s: u64,
    /// `brokerPermission`: 4 read, 2 write.
    pub broker_permission: u32,
    /// `autoCreateTopicEnable`.
    pub auto_create_topic_enable: bool,
    /// `defaultTopicQueueNums`.
    pub default_topic_queue_nums: u32,
    /// `clusterTopicEnable`.
    pub cluster_topic_enable: bool,
    /// `brokerTopicEnable`.
    pub broker_topic_enable: bool,
    /// `autoCreateSubscriptionGroup`.
    pub auto_create_subscription_group: bool,
    /// `maxMessageSize`: largest body in bytes.
    pub max_message_size: usize,
    /// `syncFlushTimeout`, milliseconds: after it a send under sync flush answers FLUSH_DISK_TIMEOUT.
    pub sync_flush_timeout_ms: u64,
    /// `regionId`: MSG_REGION of answers and stored messages.
    pub region_id: String,
    /// `configBlackList`: keys that UPDATE_BROKER_CONFIG may not touch, beside those that it never may.
    pub config_black_list: Vec<String>,
    /// `traceOn`: TRACE_ON of answers and stored messages.
    pub trace_on: bool,
    /// `startAcceptSendRequestTimeStamp`, milliseconds since the epoch; sends before it are refused.
    pub start_accept_send_request_time_stamp: u64,
    /// `longPollingEnable`.
    pub long_polling_enable: bool,
    /// `shortPollingTimeMills`.
    pub short_polling_time_mills: u64,
    /// `litePullMessageEnable`.
    pub lite_pull_message_enable: bool,
    /// `enablePropertyFilter`: SQL92; not built, `true` refuses the start.
    pub enable_property_filter: bool,
    /// `maxTransferCountOnMessageInMemory`.
    pub max_transfer_count_on_message_in_memory: u32,
    /// `maxTransferBytesOnMessageInMemory`.
    pub max_transfer_bytes_on_message_in_memory: u32,
    /// `maxTransferCountOnMessageInDisk`.
    pub max_transfer_count_on_message_in_disk: u32,
    /// `maxTransferBytesOnMessageInDisk`.
    pub max_transfer_bytes_on_message_in_disk: u32,
    /// `accessMessageInMemoryMaxRatio`, per cent of RAM behind the log's end that counts as being in memory.
    pub access_message_in_memory_max_ratio: u64,
    /// `slaveReadEnable`: whether slow readers are sent to the group's other broker.
    pub slave_read_enable: bool,
    /// `notifyConsumerIdsChangedEnable`.
    pub notify_consumer_ids_changed_enable: bool,
    /// `rebalanceLockMaxLiveTime`, milliseconds: how long a queue stays with an orderly consumer that is silent. In Java
    /// the system property `rocketmq.broker.rebalance.lockMaxLiveTime`.
    pub rebalance_lock_max_live_time_ms: u64,
    /// `flushConsumerOffsetInterval`, milliseconds.
    pub flush_consumer_offset_interval_ms: u64,
    /// `registerNameServerPeriod`, milliseconds.
    pub register_name_server_period_ms: u64,
    /// `forceRegister`: whether every round registers, without asking first whether a name server needs it.
    pub force_register: bool,
    /// How long a stop goes on serving producers after name servers were told to send them elsewhere, milliseconds. Not
    /// Java's.
    pub drain_time_ms: u64,
    /// `traceTopicEnable`: whether the trace topic exists from the start.
    pub trace_topic_enable: bool,
    /// `msgTraceTopicName`.
    pub msg_trace_topic_name: String,
    /// Bounds of an event loop's memory. Not a key: a part of the process's limit.
    pub memory: LoopMemory,
    /// The machine's time zone: totals of today and yesterday turn at its midnight. Not a key.
    pub zone: Zone,
}

/// What one event loop may hold in memory, apart from its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopMemory {
    /// Bytes of the messages of one tick.
    pub batch_len_max: usize,
    /// Bytes of sends that wait for their topic to be made.
    pub waiting_sends_len_max: usize,
    /// Held pulls; a pull that finds no room is answered PULL_NOT_FOUND at once and comes back by itself.
    pub held_pulls_max: usize,
    /// Sends that wait for the disk.
    pub flush_waits_max: usize,
}

impl Default for LoopMemory {
    fn default() -> Self {
        LoopMemory {
            batch_len_max: store::BATCH_BYTES_MAX / 2,
            waiting_sends_len_max: 64 << 20,
            held_pulls_max: HELD_PULLS_MAX,
            flush_waits_max: FLUSH_WAITS_MAX,
        }
    }
}

/// Most event loops; more than this many threads for sockets never helped anybody.
pub const LOOPS_MAX: usize = 64;
/// Largest `maxMessageSize` in bytes: the index of a record in a tick's batch has 32 bits.
pub const MESSAGE_SIZE_MAX: usize = 1 << 30;

/// `listenPort` of a broker that was told nothing.
pub const LISTEN_PORT: u16 = 10911;

impl Default for Config {
    fn default() -> Self {
        Config {
            broker_name: "broker-a".into(),
            broker_cluster_name: "DefaultCluster".into(),
            broker_id: 0,
            sync_master: false,
            broker_ip1: IpAddr::V4(Ipv4Addr::LOCALHOST),
            bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen_port: LISTEN_PORT,
            vip_channel: true,
            store_path_root_dir: PathBuf::from("store"),
            namesrv_addrs: Vec::new(),
            loops: 1,
            connections_max: Limits::default().connections_max,
            idle_close_s: Limits::default().idle_close_ms / 1_000,
            broker_permission: 6,
            auto_create_topic_enable: true,
            default_topic_queue_nums: 8,
            cluster_topic_enable: true,
            broker_topic_enable: true,
            auto_create_subscription_group: true,
            max_message_size: 4 * 1024 * 1024,
            sync_flush_timeout_ms: 5_000,
            region_id: "DefaultRegion".into(),
            config_black_list: ALWAYS_BLACK.map(str::to_owned).into(),
            trace_on: true,
            start_accept_send_request_time_stamp: 0,
            long_polling_enable: true,
            short_polling_time_mills: 1_000,
            lite_pull_message_enable: true,
            enable_property_filter: false,
            max_transfer_count_on_message_in_memory: 32,
            max_transfer_bytes_on_message_in_memory: 256 * 1024,
            max_transfer_count_on_message_in_disk: 8,
            max_transfer_bytes_on_message_in_disk: 64 * 1024,
            access_message_in_memory_max_ratio: 40,
            slave_read_enable: false,
            notify_consumer_ids_changed_enable: true,
            rebalance_lock_max_live_time_ms: 60_000,
            flush_consumer_offset_interval_ms: 5_000,
            register_name_server_period_ms: 30_000,
            force_register: true,
            drain_time_ms: 3_000,
            trace_topic_enable: false,
            msg_trace_topic_name: "RMQ_SYS_TRACE_TOPIC".into(),
            memory: LoopMemory::default(),
            zone: Zone::default(),
        }
    }
}

impl Config {
    /// All problems at once, each with the key's Java name, what was found and what is allowed.
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut need = |fine: bool, problem: String| {
            if !fine {
                problems.push(problem);
            }
        };
        need(!self.broker_name.trim().is_empty(), "brokerName is empty".into());
        need(!self.broker_cluster_name.trim().is_empty(), "brokerClusterName is empty".into());
        need(self.broker_id == 0, format!("brokerId is {}: only masters (brokerId 0) are built", self.broker_id));
        need(
            !self.vip_channel || self.listen_port == 0 || self.listen_port > 2,
            format!("listenPort is {}: it must be at least 3, since listenPort - 2 is opened too", self.listen_port),
        );
        need(
            (1..=LOOPS_MAX).contains(&self.loops),
            format!("the number of event loops is {}: 1 to {LOOPS_MAX} are possible", self.loops),
        );
        need(
            (1..=MESSAGE_SIZE_MAX).contains(&self.max_message_size),
            format!("maxMessageSize is {}: 1 to {MESSAGE_SIZE_MAX} bytes are possible", self.max_message_size),
        );
        need(
            self.access_message_in_memory_max_ratio <= 100,
            format!(
                "accessMessageInMemoryMaxRatio is {}: 0 to 100 per cent are possible",
                self.access_message_in_memory_max_ratio
            ),
        );
        need(!self.enable_property_filter, "enablePropertyFilter is true: SQL filters are not built yet".into());
        problems
    }

    /// The address that is stored in records and message ids.
    pub fn store_host(&self) -> SocketAddr {
        SocketAddr::new(self.broker_ip1, self.listen_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_all_problems_are_told_at_once() {
        assert_eq!(Config::default().check(), Vec::<String>::new());
        let bad = Config {
            broker_name: " ".into(),
            broker_id: 1,
            listen_port: 2,
            loops: 0,
            max_message_size: 0,
            access_message_in_memory_max_ratio: 101,
            enable_property_filter: true,
            ..Config::default()
        };
        let problems = bad.check();
        for key in [
            "brokerName",
            "brokerId",
            "listenPort",
            "event loops",
            "maxMessageSize",
            "accessMessageInMemoryMaxRatio",
            "enablePropertyFilter",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(key)), "{key} in {problems:?}");
        }
    }
}
