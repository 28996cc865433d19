//! What a name server can be told: Java's `NamesrvConfig` keys, one table for the file, for code 318 (change while
//! running) and for code 319 (show). Defaults are those of 5.3.3.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::base::changes::Counts::{self, AfterRestart, AtOnce, Never};
use crate::base::changes::{self, Asked, Told};
use crate::base::keys::Does::{Flag, Number, Refused, Text};
use crate::base::keys::{Key, Table, key};
use crate::base::properties;

use super::routes::Rules;
use crate::net::limits::{CONNECTIONS, IDLE_CLOSE_S, Limits};

/// `listenPort` of a name server that was told nothing.
pub const LISTEN_PORT: u16 = 9876;

/// Configuration of one name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `bindAddress` and `listenPort`: where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Number of event loops.
    pub loops: usize,
    /// Connections at once, as far as the memory has room for them.
    pub connections_max: usize,
    /// `serverChannelMaxIdleTimeSeconds`: a connection that neither read nor wrote for so long is closed.
    pub idle_close_s: u64,
    /// Most bytes of answers to route requests that one loop keeps. Not a key: a part of the process's limit.
    pub routes_kept_len_max: usize,
    /// `kvConfigPath`: the key-value file.
    pub kv_config_path: PathBuf,
    /// `configStorePath`: where Java writes changed settings; shown, never written: changes go into the overlay.
    pub config_store_path: PathBuf,
    /// `rocketmqHome`: shown only.
    pub rocketmq_home: PathBuf,
    /// `configBlackList`: keys that code 318 may not touch, beside those that it never may.
    pub config_black_list: Vec<String>,
    /// `orderMessageEnable`: whether routes carry the order configuration.
    pub order_message_enable: bool,
    /// `returnOrderTopicConfigToBroker`: whether the answer to a registration does.
    pub return_order_topic_config_to_broker: bool,
    /// `scanNotActiveBrokerInterval`, milliseconds.
    pub scan_not_active_broker_interval_ms: u64,
    /// `supportActingMaster`.
    pub support_acting_master: bool,
    /// `enableAllTopicList`: whether code 206 is answered.
    pub enable_all_topic_list: bool,
    /// `enableTopicList`: whether codes 224, 311, 312 and 313 are answered.
    pub enable_topic_list: bool,
    /// `needWaitForService`: whether routes are refused for the first `wait_seconds_for_service`.
    pub need_wait_for_service: bool,
    /// `waitSecondsForService`.
    pub wait_seconds_for_service: u64,
    /// `deleteTopicWithBrokerRegistration`.
    pub delete_topic_with_broker_registration: bool,
}

/// Keys that code 318 never changes: with them a remote caller would decide what is written where (CVE-2023-37582).
pub const ALWAYS_BLACK: [&str; 4] = ["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];

/// Keys that cannot change while it listens.
const ONLY_AT_START: [&str; 5] =
    ["bindAddress", "connectionsMax", "eventLoops", "listenPort", "serverChannelMaxIdleTimeSeconds"];

/// How the settings change.
const RULES: changes::Rules<Config> = changes::Rules {
    table: &TABLE,
    shown: Config::shown,
    counts: |key| match key {
        key if ALWAYS_BLACK.contains(&key) => Never("it may only be set in the file that the name server starts from"),
        "data" => Never("folders may only be set in the file that the name server starts from"),
        key if ONLY_AT_START.contains(&key) => AfterRestart,
        _ => AtOnce,
    },
};

/// Most threads that serve connections of a name server.
const LOOPS_MAX: u64 = 64;

/// `routes_kept_len_max` of a name server that was told nothing.
pub const ROUTES_KEPT_LEN_MAX: usize = 64 * 1024 * 1024;

const SECOND: u64 = 1_000;

/// All keys of a name server.
pub const TABLE: Table<Config> = Table { rows: &[OWN, NOT_BUILT, TLS], unused: UNUSED };

const OWN: &[Key<Config>] = &[
    key(
        "bindAddress",
        Text { accepts: "an IP address", set: |s, text| text.parse().ok().map(|ip| s.listen.set_ip(ip)) },
    ),
    key("listenPort", Number { range: (1, 65535), set: |s, port| s.listen.set_port(port as u16) }),
    // Not Java's: there, several pools of threads do what few loops do here.
    key("eventLoops", Number { range: (1, LOOPS_MAX), set: |s, loops| s.loops = loops as usize }),
    key("connectionsMax", Number { range: CONNECTIONS, set: |s, n| s.connections_max = n as usize }),
    key("serverChannelMaxIdleTimeSeconds", Number { range: IDLE_CLOSE_S, set: |s, n| s.idle_close_s = n }),
    key("kvConfigPath", Text { accepts: "a path", set: |s, text| path(text).map(|path| s.kv_config_path = path) }),
    key(
        "configStorePath",
        Text { accepts: "a path", set: |s, text| path(text).map(|path| s.config_store_path = path) },
    ),
    key("rocketmqHome", Text { accepts: "a path", set: |s, text| path(text).map(|path| s.rocketmq_home = path) }),
    key(
        "configBlackList",
        Text {
            accepts: "keys, several separated by semicolons",
            set: |s, text| {
                s.config_black_list = list(text);
                Some(())
            },
        },
    ),
    key("orderMessageEnable", Flag(|s| &mut s.order_message_enable)),
    key("returnOrderTopicConfigToBroker", Flag(|s| &mut s.return_order_topic_config_to_broker)),
    key(
        "scanNotActiveBrokerInterval",
        Number { range: (100, 60 * SECOND), set: |s, ms| s.scan_not_active_broker_interval_ms = ms },
    ),
    key("supportActingMaster", Flag(|s| &mut s.support_acting_master)),
    key("enableAllTopicList", Flag(|s| &mut s.enable_all_topic_list)),
    key("enableTopicList", Flag(|s| &mut s.enable_topic_list)),
    key("needWaitForService", Flag(|s| &mut s.need_wait_for_service)),
    key("waitSecondsForService", Number { range: (0, 3_600), set: |s, n| s.wait_seconds_for_service = n }),
    key("deleteTopicWithBrokerRegistration", Flag(|s| &mut s.delete_topic_with_broker_registration)),
];

const NOT_BUILT: &[Key<Config>] = &[
    key("clusterTest", Refused { unless: &["false"], why: "asking a second environment for routes is not built" }),
    key("enableControllerInNamesrv", Refused { unless: &["false"], why: "the controller is not built" }),
    key(
        "notifyMinBrokerIdChanged",
        Refused { unless: &["false"], why: "telling brokers of a new acting master is not built yet" },
    ),
];

const NO_TLS: &str = "TLS is not built yet";

/// What asks for a protection that is not there.
const TLS: &[Key<Config>] = &[
    key("tls.enable", Refused { unless: &["false"], why: NO_TLS }),
    key("tls.server.mode", Refused { unless: &["disabled", "permissive"], why: NO_TLS }),
    key("tls.server.need.client.auth", Refused { unless: &["none"], why: NO_TLS }),
    key("tls.server.authClient", Refused { unless: &["false"], why: NO_TLS }),
    key("tls.client.authServer", Refused { unless: &["false"], why: NO_TLS }),
    key("useTLS", Refused { unless: &["false"], why: NO_TLS }),
    key("tls.config.file", Refused { unless: &[], why: NO_TLS }),
    key("tls.server.keyPath", Refused { unless: &[], why: NO_TLS }),
    key("tls.server.keyPassword", Refused { unless: &[], why: NO_TLS }),
    key("tls.server.certPath", Refused { unless: &[], why: NO_TLS }),
    key("tls.server.trustCertPath", Refused { unless: &[], why: NO_TLS }),
    key("tls.client.keyPath", Refused { unless: &[], why: NO_TLS }),
    key("tls.client.keyPassword", Refused { unless: &[], why: NO_TLS }),
    key("tls.client.certPath", Refused { unless: &[], why: NO_TLS }),
    key("tls.client.trustCertPath", Refused { unless: &[], why: NO_TLS }),
    key("socksProxyConfig", Refused { unless: &["", "{}"], why: "connections through a SOCKS proxy are not built" }),
];

const UNUSED: &[(&str, &str)] = &[
    (
        "the controller (enableControllerInNamesrv) is not built",
        "controllerDLegerGroup controllerDLegerPeers controllerDLegerSelfId \
         controllerRequestThreadPoolQueueCapacity controllerStorePath controllerThreadPoolNums controllerType \
         electMasterMaxRetryCount enableElectUncleanMaster isProcessReadEvent jRaftControllerRPCAddr \
         jRaftElectionTimeoutMs jRaftGroupId jRaftInitConf jRaftScanWaitTimeoutMs jRaftServerId \
         jRaftSnapshotIntervalSecs jraftConfig mappedFileSize metricGrpcExporterIntervalInMills \
         metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills metricsExporterType \
         metricsGrpcExporterHeader metricsGrpcExporterTarget metricsInDelta metricsLabel metricsPromExporterHost \
         metricsPromExporterPort notifyBrokerRoleChanged processReadEvent scanInactiveMasterInterval",
    ),
    (
        "requests run on event loops, not in thread pools",
        "clientRequestThreadPoolNums clientRequestThreadPoolQueueCapacity defaultThreadPoolNums \
         defaultThreadPoolQueueCapacity serverCallbackExecutorThreads serverNettyWorkerGroupEnable \
         serverSelectorThreads serverWorkerThreads useEpollNativeSelector",
    ),
    ("a broker that goes is removed at once", "unRegisterBrokerQueueCapacity"),
    (
        "buffers and bounds of connections are fixed",
        "enableShutdownGracefully serverAsyncSemaphoreValue serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable serverSocketBacklog serverSocketRcvBufSize \
         serverSocketSndBufSize shutdownWaitTimeSeconds writeBufferHighWaterMark writeBufferLowWaterMark",
    ),
    ("there is no second environment", "productEnvName"),
    ("TLS is not built yet", "tls.test.mode.enable"),
    (
        "of Java's network library or of its client side, which a name server does not use",
        "channelNotActiveInterval clientAsyncSemaphoreValue clientCallbackExecutorThreads \
         clientChannelMaxIdleTimeSeconds clientCloseSocketIfTimeout clientOnewaySemaphoreValue \
         clientPooledByteBufAllocatorEnable clientSocketRcvBufSize clientSocketSndBufSize clientWorkerThreads \
         com.rocketmq.remoting.client.channel.maxIdleTimeSeconds \
         com.rocketmq.remoting.client.closeSocketIfTimeout com.rocketmq.remoting.client.connect.timeout \
         com.rocketmq.remoting.client.worker.size com.rocketmq.remoting.clientAsyncSemaphoreValue \
         com.rocketmq.remoting.clientOnewaySemaphoreValue \
         com.rocketmq.remoting.nettyPooledByteBufAllocatorEnable com.rocketmq.remoting.socket.backlog \
         com.rocketmq.remoting.socket.rcvbuf.size com.rocketmq.remoting.socket.sndbuf.size \
         com.rocketmq.remoting.write.buffer.high.water.mark com.rocketmq.remoting.write.buffer.low.water.mark \
         connectTimeoutMillis disableCallbackExecutor disableNettyWorkerGroup enableReconnectForGoAway \
         isScanAvailableNameSrv maxReconnectIntervalTimeSeconds scanAvailableNameSrv",
    ),
];

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), LISTEN_PORT),
            loops: 1,
            connections_max: Limits::default().connections_max,
            idle_close_s: Limits::default().idle_close_ms / SECOND,
            routes_kept_len_max: ROUTES_KEPT_LEN_MAX,
            kv_config_path: PathBuf::from("kvConfig.json"),
            config_store_path: PathBuf::from("namesrv.properties"),
            rocketmq_home: PathBuf::new(),
            config_black_list: ALWAYS_BLACK[..3].iter().map(|key| (*key).to_owned()).collect(),
            order_message_enable: false,
            return_order_topic_config_to_broker: true,
            scan_not_active_broker_interval_ms: 5 * SECOND,
            support_acting_master: false,
            enable_all_topic_list: true,
            enable_topic_list: true,
            need_wait_for_service: false,
            wait_seconds_for_service: 45,
            delete_topic_with_broker_registration: false,
        }
    }
}

/// When a changed value of a key counts.
pub fn counts(key: &str) -> Counts {
    (RULES.counts)(key)
}

/// Why code 318 changed nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpdateError {
    /// Java's answer to a key of the black list: code 16.
    #[error("Can not update config in black list. ({0} may only be set in the file, before the start)")]
    Black(String),
    /// The body is not in the properties format; Java's answer.
    #[error("string2Properties error: {0}")]
    Format(#[from] properties::BadEscape),
    /// Keys with a value that cannot be used.
    #[error("Can not update config, nothing was changed: {0}")]
    Value(String),
    /// The changes could not be kept, or not be applied.
    #[error("Can not update config, nothing was changed: {0}")]
    Keep(String),
}

impl Config {
    /// Defaults with the files in `folder`, which has to be absolute (Java's is `~/namesrv`).
    pub fn in_folder(folder: &Path) -> Self {
        let (kv_config_path, config_store_path) = (folder.join("kvConfig.json"), folder.join("namesrv.properties"));
        Config { kv_config_path, config_store_path, ..Config::default() }
    }

    /// Where settings are kept that were changed while it ran: beside the key-value file.
    pub fn overlay_path(&self) -> PathBuf {
        self.kv_config_path.with_file_name(changes::FILE_NAME)
    }

    /// The switches that the route table depends on.
    pub fn rules(&self) -> Rules {
        Rules {
            delete_absent_topics: self.delete_topic_with_broker_registration,
            acting_master: self.support_acting_master,
            notify_lowest_id: false,
        }
    }

    /// Code 318: the configuration with what counts at once of the changes that were asked for, and what becomes of each
    /// key. One key that cannot be changed refuses all of them. `kept` is the value of the overlay.
    pub fn updated(
        &self,
        asked: Asked,
        kept: impl Fn(&str) -> Option<String>,
    ) -> Result<(Config, Vec<Told>), UpdateError> {
        let Asked { own, mut told } = asked;
        if let Some(black) = own.iter().find(|named| self.is_black(&named.entry.key)) {
            return Err(UpdateError::Black(black.entry.key.clone()));
        }
        let (config, own) = RULES.judge(self, &own, kept);
        told.extend(own);
        let refused: Vec<_> = told.iter().filter(|told| told.is_refused()).map(ToString::to_string).collect();
        if refused.is_empty() { Ok((config, told)) } else { Err(UpdateError::Value(refused.join("; "))) }
    }

    /// What a file that was read again asks for: the configuration with what counts at once, and what becomes of each key.
    pub fn reloaded(&self, wanted: &Config) -> (Config, Vec<Told>) {
        RULES.differences(self, wanted)
    }

    /// Code 319: every key with its value, as a properties text.
    pub fn properties(&self) -> String {
        self.shown().into_iter().fold(String::new(), |text, (key, value)| text + key + "=" + &value + "\n")
    }

    fn is_black(&self, key: &str) -> bool {
        ALWAYS_BLACK.contains(&key) || self.config_black_list.iter().any(|black| black == key)
    }

    /// The keys that mean something here, those that are refused with the value that asks for nothing, in the order
    /// of names.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        vec![
            ("bindAddress", self.listen.ip().to_string()),
            ("clusterTest", false.to_string()),
            ("configBlackList", self.config_black_list.join(";")),
            ("configStorePath", self.config_store_path.display().to_string()),
            ("connectionsMax", self.connections_max.to_string()),
            ("deleteTopicWithBrokerRegistration", self.delete_topic_with_broker_registration.to_string()),
            ("enableAllTopicList", self.enable_all_topic_list.to_string()),
            ("enableControllerInNamesrv", false.to_string()),
            ("enableTopicList", self.enable_topic_list.to_string()),
            ("eventLoops", self.loops.to_string()),
            ("kvConfigPath", self.kv_config_path.display().to_string()),
            ("listenPort", self.listen.port().to_string()),
            ("needWaitForService", self.need_wait_for_service.to_string()),
            ("notifyMinBrokerIdChanged", false.to_string()),
            ("orderMessageEnable", self.order_message_enable.to_string()),
            ("returnOrderTopicConfigToBroker", self.return_order_topic_config_to_broker.to_string()),
            ("rocketmqHome", self.rocketmq_home.display().to_string()),
            ("scanNotActiveBrokerInterval", self.scan_not_active_broker_interval_ms.to_string()),
            ("serverChannelMaxIdleTimeSeconds", self.idle_close_s.to_string()),
            ("supportActingMaster", self.support_acting_master.to_string()),
            ("waitSecondsForService", self.wait_seconds_for_service.to_string()),
        ]
    }
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
    use crate::base::changes::Named;

    #[test]
    fn what_is_shown_reads_back_as_the_same_and_every_key_that_counts_is_shown() {
        let mut config = Config { rocketmq_home: "/opt/rocketmq".into(), ..Config::default() };
        config.support_acting_master = true;
        config.wait_seconds_for_service = 7;
        config.config_black_list = vec!["a".into(), "b".into()];
        let mut read = Config::default();
        let outcome = TABLE.apply(&properties::parse(config.properties().as_bytes()).unwrap(), &mut read);
        assert!(outcome.problems.is_empty() && outcome.warnings.is_empty(), "{outcome:?}");
        assert_eq!(read, config);
        let shown: Vec<&str> = config.shown().into_iter().map(|(key, _)| key).collect();
        let mut known: Vec<&str> = OWN.iter().chain(NOT_BUILT).map(|row| row.name).collect();
        known.sort_unstable();
        assert_eq!(shown, known);
    }

    #[test]
    fn every_value_that_cannot_be_used_is_named_with_what_is_accepted() {
        TABLE.check_bad_values(Config::default, &["configBlackList"]);
    }

    #[test]
    fn every_key_of_java_has_exactly_one_row() {
        const JAVA: &str = include_str!("../../tests/golden/java-keys/namesrv.txt");
        let missing: Vec<_> = JAVA.lines().filter(|key| !TABLE.names().any(|name| name == *key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut names: Vec<_> = TABLE.names().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    fn updated(config: &Config, text: &str) -> Result<(Config, String), UpdateError> {
        let asked = |entry: properties::Entry| Named { asked: entry.key.clone(), entry };
        let own = properties::parse(text.as_bytes()).unwrap().into_iter().map(asked).collect();
        let updated = config.updated(Asked { own, told: Vec::new() }, |_| None);
        updated.map(|(config, told)| (config, changes::told(&told)))
    }

    #[test]
    fn a_forbidden_key_refuses_the_whole_update() {
        let config = Config { config_black_list: vec!["enableTopicList".into()], ..Config::default() };
        for key in ALWAYS_BLACK.iter().chain(&["enableTopicList"]) {
            let error = updated(&config, &format!("supportActingMaster=true\n{key}=false\n")).unwrap_err();
            assert_eq!(error, UpdateError::Black((*key).to_owned()));
            assert!(error.to_string().starts_with("Can not update config in black list."));
        }
    }

    #[test]
    fn an_update_tells_of_each_key_and_refuses_values_that_mean_nothing() {
        let config = Config::default();
        let text = "supportActingMaster=true\nserverWorkerThreads=4\nnoSuchKey=1\nenableTopicList=true\nlistenPort=1\n";
        let (changed, told) = updated(&config, text).unwrap();
        assert_eq!(changed, Config { support_acting_master: true, ..config.clone() });
        let expected = "supportActingMaster=true: applied, was false; serverWorkerThreads: ignored, requests run on event loops, \
                        not in thread pools; noSuchKey: ignored, no key that is known here; enableTopicList=true: unchanged; \
                        listenPort=1: stored, needs a restart, until then 9876";
        assert_eq!(told, expected);
        for bad in ["supportActingMaster=maybe", "waitSecondsForService=-1", "listenPort=0", "clusterTest=true"] {
            let error = updated(&config, &format!("enableTopicList=false\n{bad}\n")).unwrap_err();
            assert!(matches!(&error, UpdateError::Value(told) if told.starts_with(bad)), "{error}");
        }
        assert_eq!(updated(&config, "listenPort=9876\n").unwrap().1, "listenPort=9876: unchanged");
    }
}
