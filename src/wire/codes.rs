//! Request and response codes: ONE table that says of every number any release knows who serves it, what permission
//! it takes, whether it may run on an event loop, or why it is not served (INTEROP 02). Says nothing about headers
//! or bodies.

use Action::*;
use Permission::*;
use Server::*;
use Speed::*;
use Status::*;

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The name server.
    NameServer,
    /// The broker.
    Broker,
    /// A client, asked by a broker.
    Client,
    /// Java's controller.
    Controller,
    /// Nobody in any release.
    Nobody,
}

/// Where a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speed {
    /// On the event loop: no wait, no lock, no disk.
    Fast,
    /// On the control runtime.
    Slow,
}

/// Whether our side of a request exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Answered, at this speed.
    Served(Speed),
    /// We send it and others answer.
    Sent,
    /// Not built yet: it comes with this theme. Answered with REQUEST_CODE_NOT_SUPPORTED.
    Later(&'static str),
    /// Not going to be built, for this reason. Answered with REQUEST_CODE_NOT_SUPPORTED.
    Never(&'static str),
}

/// What a request does to its resource, as ACL 2.0 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Publish.
    Pub,
    /// Subscribe.
    Sub,
    /// Publish or subscribe.
    PubOrSub,
    /// Read.
    Get,
    /// Subscribe or read.
    SubOrGet,
    /// Create.
    Create,
    /// Change.
    Update,
    /// Delete.
    Delete,
    /// List.
    List,
}

/// What a request needs permission for (ACL 2.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing is checked.
    Open,
    /// The topic and the group that its header names.
    Fields(Action),
    /// All topics.
    Topics(Action),
    /// The groups of its body.
    Groups(Action),
    /// The cluster.
    Cluster(Action),
}

/// A row of [`REQUESTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number on the wire.
    pub code: i32,
    /// The name in Java's sources and logs.
    pub name: &'static str,
    /// Who answers it.
    pub server: Server,
    /// What it needs permission for.
    pub permission: Permission,
    /// Whether our side exists.
    pub status: Status,
}

/// The row of a request code, `None` for a number that no release knows.
pub fn request(code: i32) -> Option<&'static Request> {
    REQUESTS.binary_search_by_key(&code, |row| row.code).ok().map(|at| &REQUESTS[at])
}

/// Java's name of a response code, for messages to people.
pub fn response_name(code: i32) -> Option<&'static str> {
    RESPONSES.iter().find(|(number, _)| *number == code).map(|(_, name)| *name)
}

/// A request code with its name for logs and remarks, like `PULL_MESSAGE (11)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestName(pub i32);

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match request(self.0) {
            Some(row) => write!(f, "{} ({})", row.name, self.0),
            None => write!(f, "request code {}", self.0),
        }
    }
}

macro_rules! requests {
    ($($name:ident = $code:literal, $server:ident, $permission:expr, $status:expr;)*) => {
        /// The request codes by name.
        pub mod request {
            $(
                #[doc = concat!("Code ", $code, ", see [`REQUESTS`](super::REQUESTS).")]
                pub const $name: i32 = $code;
            )*
        }

        /// Every request code of every release, ascending.
        pub const REQUESTS: &[Request] = &[$(
            Request {
                code: $code,
                name: stringify!($name),
                server: $server,
                permission: $permission,
                status: $status,
            },
        )*];
    };
}

macro_rules! responses {
    ($(#[doc = $doc:literal] $name:ident = $code:literal;)*) => {
        /// The response codes by name.
        pub mod response {
            $(
                #[doc = $doc]
                pub const $name: i32 = $code;
            )*
        }

        /// Every response code, by number; 209 to 211 with their 5.x meaning (INTEROP 02 §2).
        pub const RESPONSES: &[(i32, &str)] = &[$(($code, stringify!($name)),)*];
    };
}

requests! {
    SEND_MESSAGE = 10, Broker, Fields(Pub), Served(Fast);
    PULL_MESSAGE = 11, Broker, Fields(Sub), Served(Fast);
    QUERY_MESSAGE = 12, Broker, Fields(SubOrGet), Served(Slow);
    QUERY_BROKER_OFFSET = 13, Nobody, Open, Never("no release sends it");
    QUERY_CONSUMER_OFFSET = 14, Broker, Fields(Get), Served(Fast);
    UPDATE_CONSUMER_OFFSET = 15, Broker, Fields(Sub), Served(Fast);
    UPDATE_AND_CREATE_TOPIC = 17, Broker, Fields(Create), Served(Slow);
    UPDATE_AND_CREATE_TOPIC_LIST = 18, Broker, Fields(Create), Served(Slow);
    GET_ALL_TOPIC_CONFIG = 21, Broker, Topics(List), Served(Slow);
    GET_TOPIC_CONFIG_LIST = 22, Nobody, Open, Never("no release sends it");
    GET_TOPIC_NAME_LIST = 23, Nobody, Open, Never("no release sends it");
    UPDATE_BROKER_CONFIG = 25, Broker, Open, Served(Slow);
    GET_BROKER_CONFIG = 26, Broker, Open, Served(Slow);
    TRIGGER_DELETE_FILES = 27, Nobody, Open, Never("no release sends it");
    GET_BROKER_RUNTIME_INFO = 28, Broker, Open, Served(Slow);
    SEARCH_OFFSET_BY_TIMESTAMP = 29, Broker, Fields(Get), Served(Slow);
    GET_MAX_OFFSET = 30, Broker, Fields(Get), Served(Fast);
    GET_MIN_OFFSET = 31, Broker, Fields(Get), Served(Fast);
    GET_EARLIEST_MSG_STORETIME = 32, Broker, Fields(Get), Served(Slow);
    VIEW_MESSAGE_BY_ID = 33, Broker, Fields(Get), Served(Slow);
    HEART_BEAT = 34, Broker, Groups(PubOrSub), Served(Fast);
    UNREGISTER_CLIENT = 35, Broker, Fields(PubOrSub), Served(Fast);
    CONSUMER_SEND_MSG_BACK = 36, Broker, Fields(Sub), Served(Slow);
    END_TRANSACTION = 37, Broker, Fields(Pub), Later("transactions");
    GET_CONSUMER_LIST_BY_GROUP = 38, Broker, Fields(Sub), Served(Fast);
    CHECK_TRANSACTION_STATE = 39, Client, Fields(Pub), Later("transactions");
    NOTIFY_CONSUMER_IDS_CHANGED = 40, Client, Fields(Sub), Sent;
    LOCK_BATCH_MQ = 41, Broker, Fields(Sub), Served(Fast);
    UNLOCK_BATCH_MQ = 42, Broker, Fields(Sub), Served(Fast);
    GET_ALL_CONSUMER_OFFSET = 43, Broker, Open, Served(Slow);
    GET_ALL_DELAY_OFFSET = 45, Broker, Open, Served(Slow);
    CHECK_CLIENT_CONFIG = 46, Broker, Open, Served(Slow);
    GET_CLIENT_CONFIG = 47, NameServer, Open, Never("served by 5.0.0 to 5.1.3 name servers only");
    UPDATE_AND_CREATE_ACL_CONFIG = 50, Broker, Open, Later("ACL");
    DELETE_ACL_CONFIG = 51, Broker, Open, Later("ACL");
    GET_BROKER_CLUSTER_ACL_INFO = 52, Broker, Open, Later("ACL");
    UPDATE_GLOBAL_WHITE_ADDRS_CONFIG = 53, Broker, Open, Later("ACL");
    GET_BROKER_CLUSTER_ACL_CONFIG = 54, Broker, Open, Later("ACL");
    GET_TIMER_CHECK_POINT = 60, Broker, Open, Later("slaves");
    GET_TIMER_METRICS = 61, Broker, Open, Later("slaves");
    PUT_KV_CONFIG = 100, NameServer, Cluster(Update), Served(Slow);
    GET_KV_CONFIG = 101, NameServer, Cluster(Get), Served(Fast);
    DELETE_KV_CONFIG = 102, NameServer, Cluster(Update), Served(Slow);
    REGISTER_BROKER = 103, NameServer, Cluster(Update), Served(Slow);
    UNREGISTER_BROKER = 104, NameServer, Cluster(Update), Served(Fast);
    GET_ROUTEINFO_BY_TOPIC = 105, NameServer, Cluster(Get), Served(Fast);
    GET_BROKER_CLUSTER_INFO = 106, NameServer, Open, Served(Fast);
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200, Broker, Open, Served(Slow);
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201, Broker, Open, Served(Slow);
    GET_TOPIC_STATS_INFO = 202, Broker, Fields(Get), Served(Slow);
    GET_CONSUMER_CONNECTION_LIST = 203, Broker, Fields(Get), Served(Slow);
    GET_PRODUCER_CONNECTION_LIST = 204, Broker, Cluster(Get), Served(Slow);
    WIPE_WRITE_PERM_OF_BROKER = 205, NameServer, Cluster(Update), Served(Fast);
    GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206, NameServer, Open, Served(Slow);
    DELETE_SUBSCRIPTIONGROUP = 207, Broker, Fields(Delete), Served(Slow);
    GET_CONSUME_STATS = 208, Broker, Fields(Get), Served(Slow);
    SUSPEND_CONSUMER = 209, Nobody, Open, Never("no release sends it");
    RESUME_CONSUMER = 210, Nobody, Open, Never("no release sends it");
    RESET_CONSUMER_OFFSET_IN_CONSUMER = 211, Nobody, Open, Never("no release sends it");
    RESET_CONSUMER_OFFSET_IN_BROKER = 212, Nobody, Open, Never("no release sends it");
    ADJUST_CONSUMER_THREAD_POOL = 213, Nobody, Open, Never("no release sends it");
    WHO_CONSUME_THE_MESSAGE = 214, Nobody, Open, Never("no release sends it");
    DELETE_TOPIC_IN_BROKER = 215, Broker, Fields(Delete), Served(Slow);
    DELETE_TOPIC_IN_NAMESRV = 216, NameServer, Cluster(Update), Served(Fast);
    REGISTER_TOPIC_IN_NAMESRV = 217, NameServer, Cluster(Update), Served(Fast);
    GET_KVLIST_BY_NAMESPACE = 219, NameServer, Cluster(Get), Served(Fast);
    RESET_CONSUMER_CLIENT_OFFSET = 220, Client, Open, Sent;
    GET_CONSUMER_STATUS_FROM_CLIENT = 221, Client, Open, Sent;
    INVOKE_BROKER_TO_RESET_OFFSET = 222, Broker, Fields(Update), Served(Slow);
    INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223, Broker, Fields(Get), Served(Slow);
    GET_TOPICS_BY_CLUSTER = 224, NameServer, Topics(List), Served(Slow);
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST = 225, Broker, Open, Served(Slow);
    QUERY_TOPIC_CONSUME_BY_WHO = 300, Broker, Fields(Get), Served(Slow);
    REGISTER_FILTER_SERVER = 301, Broker, Open, Never("filter servers are gone since 5.1.1");
    REGISTER_MESSAGE_FILTER_CLASS = 302, Nobody, Open, Never("filter servers are gone since 5.1.1");
    QUERY_CONSUME_TIME_SPAN = 303, Broker, Fields(Get), Served(Slow);
    GET_SYSTEM_TOPIC_LIST_FROM_NS = 304, NameServer, Open, Served(Fast);
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER = 305, Broker, Open, Served(Slow);
    CLEAN_EXPIRED_CONSUMEQUEUE = 306, Broker, Open, Served(Slow);
    GET_CONSUMER_RUNNING_INFO = 307, Broker, Fields(Get), Served(Slow);
    QUERY_CORRECTION_OFFSET = 308, Broker, Fields(Get), Served(Slow);
    CONSUME_MESSAGE_DIRECTLY = 309, Broker, Fields(Sub), Served(Slow);
    SEND_MESSAGE_V2 = 310, Broker, Fields(Pub), Served(Fast);
    GET_UNIT_TOPIC_LIST = 311, NameServer, Open, Served(Slow);
    GET_HAS_UNIT_SUB_TOPIC_LIST = 312, NameServer, Open, Served(Slow);
    GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST = 313, NameServer, Open, Served(Slow);
    CLONE_GROUP_OFFSET = 314, Broker, Fields(Update), Served(Slow);
    VIEW_BROKER_STATS_DATA = 315, Broker, Cluster(Get), Served(Slow);
    CLEAN_UNUSED_TOPIC = 316, Broker, Open, Served(Slow);
    GET_BROKER_CONSUME_STATS = 317, Broker, Cluster(Get), Served(Slow);
    UPDATE_NAMESRV_CONFIG = 318, NameServer, Open, Served(Slow);
    GET_NAMESRV_CONFIG = 319, NameServer, Open, Served(Fast);
    SEND_BATCH_MESSAGE = 320, Broker, Open, Served(Fast);
    QUERY_CONSUME_QUEUE = 321, Broker, Fields(Get), Served(Slow);
    QUERY_DATA_VERSION = 322, NameServer, Cluster(Get), Served(Fast);
    RESUME_CHECK_HALF_MESSAGE = 323, Broker, Fields(Update), Later("transactions");
    SEND_REPLY_MESSAGE = 324, Broker, Open, Served(Slow);
    SEND_REPLY_MESSAGE_V2 = 325, Broker, Open, Served(Slow);
    PUSH_REPLY_MESSAGE_TO_CLIENT = 326, Client, Fields(Sub), Sent;
    ADD_WRITE_PERM_OF_BROKER = 327, NameServer, Cluster(Update), Served(Fast);
    GET_ALL_PRODUCER_INFO = 328, Broker, Cluster(Get), Served(Slow);
    DELETE_EXPIRED_COMMITLOG = 329, Broker, Open, Served(Slow);
    QUERY_TOPICS_BY_CONSUMER = 343, Broker, Fields(Get), Served(Slow);
    QUERY_SUBSCRIPTION_BY_CONSUMER = 345, Broker, Fields(Get), Served(Slow);
    GET_TOPIC_CONFIG = 351, Broker, Fields(Get), Served(Slow);
    GET_SUBSCRIPTIONGROUP_CONFIG = 352, Broker, Fields(Get), Served(Slow);
    UPDATE_AND_GET_GROUP_FORBIDDEN = 353, Broker, Fields(Update), Later("admin commands");
    CHECK_ROCKSDB_CQ_WRITE_PROGRESS = 354, Broker, Fields(Get), Never("our queues are not kept in RocksDB");
    EXPORT_ROCKSDB_CONFIG_TO_JSON = 355, Broker, Cluster(Get), Never("our queues are not kept in RocksDB");
    LITE_PULL_MESSAGE = 361, Broker, Open, Served(Fast);
    RECALL_MESSAGE = 370, Broker, Fields(Pub), Later("timers");
    QUERY_ASSIGNMENT = 400, Broker, Open, Later("POP");
    SET_MESSAGE_REQUEST_MODE = 401, Broker, Open, Later("POP");
    GET_ALL_MESSAGE_REQUEST_MODE = 402, Broker, Open, Later("slaves");
    UPDATE_AND_CREATE_STATIC_TOPIC = 513, Broker, Open, Later("static topics");
    GET_BROKER_MEMBER_GROUP = 901, NameServer, Fields(Get), Served(Fast);
    ADD_BROKER = 902, Broker, Cluster(Update), Never("broker containers are a Java process model");
    REMOVE_BROKER = 903, Broker, Cluster(Update), Never("broker containers are a Java process model");
    BROKER_HEARTBEAT = 904, NameServer, Cluster(Update), Served(Fast);
    NOTIFY_MIN_BROKER_ID_CHANGE = 905, Broker, Cluster(Update), Later("slaves");
    EXCHANGE_BROKER_HA_INFO = 906, Broker, Cluster(Update), Later("slaves");
    GET_BROKER_HA_STATUS = 907, Broker, Open, Later("slaves");
    RESET_MASTER_FLUSH_OFFSET = 908, Broker, Cluster(Update), Later("slaves");
    CONTROLLER_ALTER_SYNC_STATE_SET = 1001, Controller, Cluster(Update), Later("the controller");
    CONTROLLER_ELECT_MASTER = 1002, Controller, Cluster(Update), Later("the controller");
    CONTROLLER_REGISTER_BROKER = 1003, Controller, Cluster(Update), Later("the controller");
    CONTROLLER_GET_REPLICA_INFO = 1004, Controller, Cluster(Get), Later("the controller");
    CONTROLLER_GET_METADATA_INFO = 1005, Controller, Open, Later("the controller");
    CONTROLLER_GET_SYNC_STATE_DATA = 1006, Controller, Open, Later("the controller");
    GET_BROKER_EPOCH_CACHE = 1007, Broker, Open, Later("the controller");
    NOTIFY_BROKER_ROLE_CHANGED = 1008, Broker, Cluster(Update), Later("the controller");
    UPDATE_CONTROLLER_CONFIG = 1009, Controller, Open, Later("the controller");
    GET_CONTROLLER_CONFIG = 1010, Controller, Open, Later("the controller");
    CLEAN_BROKER_DATA = 1011, Controller, Cluster(Update), Later("the controller");
    CONTROLLER_GET_NEXT_BROKER_ID = 1012, Controller, Cluster(Get), Later("the controller");
    CONTROLLER_APPLY_BROKER_ID = 1013, Controller, Cluster(Update), Later("the controller");
    BROKER_CLOSE_CHANNEL_REQUEST = 1014, Controller, Open, Never("entries of the Java controller log, never on the wire");
    CHECK_NOT_ACTIVE_BROKER_REQUEST = 1015, Controller, Open, Never("entries of the Java controller log, never on the wire");
    GET_BROKER_LIVE_INFO_REQUEST = 1016, Controller, Open, Never("entries of the Java controller log, never on the wire");
    GET_SYNC_STATE_DATA_REQUEST = 1017, Nobody, Open, Never("no release sends it");
    RAFT_BROKER_HEART_BEAT_EVENT_REQUEST = 1018, Controller, Open, Never("entries of the Java controller log, never on the wire");
    UPDATE_COLD_DATA_FLOW_CTR_CONFIG = 2001, Broker, Open, Never("cold data is served by the reader pool");
    REMOVE_COLD_DATA_FLOW_CTR_CONFIG = 2002, Broker, Open, Never("cold data is served by the reader pool");
    GET_COLD_DATA_FLOW_CTR_INFO = 2003, Broker, Open, Never("cold data is served by the reader pool");
    SET_COMMITLOG_READ_MODE = 2004, Broker, Open, Never("cold data is served by the reader pool");
    AUTH_CREATE_USER = 3001, Broker, Cluster(Update), Later("ACL");
    AUTH_UPDATE_USER = 3002, Broker, Cluster(Update), Later("ACL");
    AUTH_DELETE_USER = 3003, Broker, Cluster(Update), Later("ACL");
    AUTH_GET_USER = 3004, Broker, Cluster(Get), Later("ACL");
    AUTH_LIST_USER = 3005, Broker, Cluster(Get), Later("ACL");
    AUTH_CREATE_ACL = 3006, Broker, Cluster(Update), Later("ACL");
    AUTH_UPDATE_ACL = 3007, Broker, Cluster(Update), Later("ACL");
    AUTH_DELETE_ACL = 3008, Broker, Cluster(Update), Later("ACL");
    AUTH_GET_ACL = 3009, Broker, Cluster(Get), Later("ACL");
    AUTH_LIST_ACL = 3010, Broker, Cluster(Get), Later("ACL");
    POP_MESSAGE = 200050, Broker, Fields(Sub), Later("POP");
    ACK_MESSAGE = 200051, Broker, Fields(Sub), Later("POP");
    PEEK_MESSAGE = 200052, Broker, Fields(Sub), Later("POP");
    CHANGE_MESSAGE_INVISIBLETIME = 200053, Broker, Fields(Sub), Later("POP");
    NOTIFICATION = 200054, Broker, Fields(Sub), Later("POP");
    POLLING_INFO = 200055, Broker, Fields(Get), Later("POP");
    POP_ROLLBACK = 200056, Broker, Open, Later("POP");
    BATCH_ACK_MESSAGE = 200151, Broker, Open, Later("POP");
}

responses! {
    /// Internal RPC: timeout.
    RPC_TIME_OUT = -1006;
    /// Internal RPC: send failed.
    RPC_SEND_TO_CHANNEL_FAILED = -1004;
    /// Internal RPC: no address.
    RPC_ADDR_IS_NULL = -1002;
    /// Internal broker-to-broker RPC failure (not on the wire as a server answer).
    RPC_UNKNOWN = -1000;
    /// Call succeeded.
    SUCCESS = 0;
    /// Generic failure, detail in remark.
    SYSTEM_ERROR = 1;
    /// Server overloaded or request waited too long; client should back off or try another broker.
    SYSTEM_BUSY = 2;
    /// Unknown request code.
    REQUEST_CODE_NOT_SUPPORTED = 3;
    /// Transaction step failed (not set by any 5.3.3 main code).
    TRANSACTION_FAILED = 4;
    /// Stored but disk flush not confirmed in time; send result is a soft failure.
    FLUSH_DISK_TIMEOUT = 10;
    /// Stored but no usable slave (sync master); also: operation refused on a slave.
    SLAVE_NOT_AVAILABLE = 11;
    /// Stored but slave copy not confirmed in time.
    FLUSH_SLAVE_TIMEOUT = 12;
    /// Message breaks a limit (size, properties, topic length) or receipt handle/queue is invalid.
    MESSAGE_ILLEGAL = 13;
    /// Store cannot accept writes now.
    SERVICE_NOT_AVAILABLE = 14;
    /// Client version cannot do this (proxy remoting).
    VERSION_NOT_SUPPORTED = 15;
    /// Broker, topic or group permission, ACL or config black list forbids it.
    NO_PERMISSION = 16;
    /// Topic unknown on this server.
    TOPIC_NOT_EXIST = 17;
    /// Topic exists already (defined, not used).
    TOPIC_EXIST_ALREADY = 18;
    /// No message at the offset after the long poll ended.
    PULL_NOT_FOUND = 19;
    /// Nothing matched or transient state; pull again from nextBeginOffset at once.
    PULL_RETRY_IMMEDIATELY = 20;
    /// Offset outside the queue range; use nextBeginOffset.
    PULL_OFFSET_MOVED = 21;
    /// Queried item absent (offset, key-value, message by key).
    QUERY_NOT_FOUND = 22;
    /// Filter expression cannot be parsed.
    SUBSCRIPTION_PARSE_FAILED = 23;
    /// Broker has no subscription of this group for the topic.
    SUBSCRIPTION_NOT_EXIST = 24;
    /// Broker subscription version is older than the client one.
    SUBSCRIPTION_NOT_LATEST = 25;
    /// Consumer group not configured and auto-create off.
    SUBSCRIPTION_GROUP_NOT_EXIST = 26;
    /// Compiled SQL filter missing on broker.
    FILTER_DATA_NOT_EXIST = 27;
    /// Compiled SQL filter is older than the client one.
    FILTER_DATA_NOT_LATEST = 28;
    /// Argument invalid (5.x).
    INVALID_PARAMETER = 29;
    /// Legacy transaction answer, unused.
    TRANSACTION_SHOULD_COMMIT = 200;
    /// Legacy transaction answer, unused.
    TRANSACTION_SHOULD_ROLLBACK = 201;
    /// Legacy transaction answer, unused.
    TRANSACTION_STATE_UNKNOW = 202;
    /// Legacy transaction answer, unused.
    TRANSACTION_STATE_GROUP_WRONG = 203;
    /// Legacy unit-routing code; client treats it as retryable.
    NO_BUYER_ID = 204;
    /// Legacy unit-routing code; client treats it as retryable.
    NOT_IN_CURRENT_UNIT = 205;
    /// No live client in the group.
    CONSUMER_NOT_ONLINE = 206;
    /// Relayed call to a consumer timed out.
    CONSUME_MSG_TIMEOUT = 207;
    /// Ack/renew offset outside the queue range.
    NO_MESSAGE = 208;
    /// Too many parked pop requests.
    POLLING_FULL = 209;
    /// Pop long poll ended without messages, or request arrived too late.
    POLLING_TIMEOUT = 210;
    /// Named broker not in this container.
    BROKER_NOT_EXIST = 211;
    /// Index dispatch still behind (defined, not used).
    BROKER_DISPATCH_NOT_COMPLETE = 212;
    /// Client-side admin result: group is in broadcast mode.
    BROADCAST_CONSUMPTION = 213;
    /// Throttled; client slows pulling.
    FLOW_CONTROL = 215;
    /// Broker is not leader of the static-topic queue.
    NOT_LEADER_FOR_QUEUE = 501;
    /// Operation not allowed in this state (transaction checks, recall).
    ILLEGAL_OPERATION = 604;
    /// Server is shutting down; client reconnects elsewhere and resends.
    GO_AWAY = 1500;
    /// Master epoch in request is stale.
    CONTROLLER_FENCED_MASTER_EPOCH = 2000;
    /// In-sync-set epoch in request is stale.
    CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH = 2001;
    /// Sender is not the current master.
    CONTROLLER_INVALID_MASTER = 2002;
    /// New in-sync set names unknown replicas.
    CONTROLLER_INVALID_REPLICAS = 2003;
    /// No master elected.
    CONTROLLER_MASTER_NOT_AVAILABLE = 2004;
    /// Malformed controller request.
    CONTROLLER_INVALID_REQUEST = 2005;
    /// A named replica is not alive.
    CONTROLLER_BROKER_NOT_ALIVE = 2006;
    /// This controller is not the raft leader.
    CONTROLLER_NOT_LEADER = 2007;
    /// Broker name unknown to controller.
    CONTROLLER_BROKER_METADATA_NOT_EXIST = 2008;
    /// Clean request names live or bad brokers.
    CONTROLLER_INVALID_CLEAN_BROKER_METADATA = 2009;
    /// Broker must register first.
    CONTROLLER_BROKER_NEED_TO_BE_REGISTERED = 2010;
    /// Election refused: master alive.
    CONTROLLER_MASTER_STILL_EXIST = 2011;
    /// No candidate could be elected.
    CONTROLLER_ELECT_MASTER_FAILED = 2012;
    /// In-sync-set change refused.
    CONTROLLER_ALTER_SYNC_STATE_SET_FAILED = 2013;
    /// Broker id already taken or wrong.
    CONTROLLER_BROKER_ID_INVALID = 2014;
    /// JRaft internal failure.
    CONTROLLER_JRAFT_INTERNAL_ERROR = 2015;
    /// No live record for the broker.
    CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS = 2016;
    /// ACL 2.0 user unknown (defined, not used).
    USER_NOT_EXIST = 3001;
    /// ACL 2.0 policy unknown (defined, not used).
    POLICY_NOT_EXIST = 3002;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the constants of every release from 4.9.4 to 5.3.3 (INTEROP 02 §1), written down apart from the table.
    const KNOWN: &[(&str, i32)] = &[
        ("SEND_MESSAGE", 10),
        ("PULL_MESSAGE", 11),
        ("QUERY_MESSAGE", 12),
        ("QUERY_BROKER_OFFSET", 13),
        ("QUERY_CONSUMER_OFFSET", 14),
        ("UPDATE_CONSUMER_OFFSET", 15),
        ("UPDATE_AND_CREATE_TOPIC", 17),
        ("UPDATE_AND_CREATE_TOPIC_LIST", 18),
        ("GET_ALL_TOPIC_CONFIG", 21),
        ("GET_TOPIC_CONFIG_LIST", 22),
        ("GET_TOPIC_NAME_LIST", 23),
        ("UPDATE_BROKER_CONFIG", 25),
        ("GET_BROKER_CONFIG", 26),
        ("TRIGGER_DELETE_FILES", 27),
        ("GET_BROKER_RUNTIME_INFO", 28),
        ("SEARCH_OFFSET_BY_TIMESTAMP", 29),
        ("GET_MAX_OFFSET", 30),
        ("GET_MIN_OFFSET", 31),
        ("GET_EARLIEST_MSG_STORETIME", 32),
        ("VIEW_MESSAGE_BY_ID", 33),
        ("HEART_BEAT", 34),
        ("UNREGISTER_CLIENT", 35),
        ("CONSUMER_SEND_MSG_BACK", 36),
        ("END_TRANSACTION", 37),
        ("GET_CONSUMER_LIST_BY_GROUP", 38),
        ("CHECK_TRANSACTION_STATE", 39),
        ("NOTIFY_CONSUMER_IDS_CHANGED", 40),
        ("LOCK_BATCH_MQ", 41),
        ("UNLOCK_BATCH_MQ", 42),
        ("GET_ALL_CONSUMER_OFFSET", 43),
        ("GET_ALL_DELAY_OFFSET", 45),
        ("CHECK_CLIENT_CONFIG", 46),
        ("GET_CLIENT_CONFIG", 47),
        ("UPDATE_AND_CREATE_ACL_CONFIG", 50),
        ("DELETE_ACL_CONFIG", 51),
        ("GET_BROKER_CLUSTER_ACL_INFO", 52),
        ("UPDATE_GLOBAL_WHITE_ADDRS_CONFIG", 53),
        ("GET_BROKER_CLUSTER_ACL_CONFIG", 54),
        ("GET_TIMER_CHECK_POINT", 60),
        ("GET_TIMER_METRICS", 61),
        ("PUT_KV_CONFIG", 100),
        ("GET_KV_CONFIG", 101),
        ("DELETE_KV_CONFIG", 102),
        ("REGISTER_BROKER", 103),
        ("UNREGISTER_BROKER", 104),
        ("GET_ROUTEINFO_BY_TOPIC", 105),
        ("GET_BROKER_CLUSTER_INFO", 106),
        ("UPDATE_AND_CREATE_SUBSCRIPTIONGROUP", 200),
        ("GET_ALL_SUBSCRIPTIONGROUP_CONFIG", 201),
        ("GET_TOPIC_STATS_INFO", 202),
        ("GET_CONSUMER_CONNECTION_LIST", 203),
        ("GET_PRODUCER_CONNECTION_LIST", 204),
        ("WIPE_WRITE_PERM_OF_BROKER", 205),
        ("GET_ALL_TOPIC_LIST_FROM_NAMESERVER", 206),
        ("DELETE_SUBSCRIPTIONGROUP", 207),
        ("GET_CONSUME_STATS", 208),
        ("SUSPEND_CONSUMER", 209),
        ("RESUME_CONSUMER", 210),
        ("RESET_CONSUMER_OFFSET_IN_CONSUMER", 211),
        ("RESET_CONSUMER_OFFSET_IN_BROKER", 212),
        ("ADJUST_CONSUMER_THREAD_POOL", 213),
        ("WHO_CONSUME_THE_MESSAGE", 214),
        ("DELETE_TOPIC_IN_BROKER", 215),
        ("DELETE_TOPIC_IN_NAMESRV", 216),
        ("REGISTER_TOPIC_IN_NAMESRV", 217),
        ("GET_KVLIST_BY_NAMESPACE", 219),
        ("RESET_CONSUMER_CLIENT_OFFSET", 220),
        ("GET_CONSUMER_STATUS_FROM_CLIENT", 221),
        ("INVOKE_BROKER_TO_RESET_OFFSET", 222),
        ("INVOKE_BROKER_TO_GET_CONSUMER_STATUS", 223),
        ("GET_TOPICS_BY_CLUSTER", 224),
        ("UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST", 225),
        ("QUERY_TOPIC_CONSUME_BY_WHO", 300),
        ("REGISTER_FILTER_SERVER", 301),
        ("REGISTER_MESSAGE_FILTER_CLASS", 302),
        ("QUERY_CONSUME_TIME_SPAN", 303),
        ("GET_SYSTEM_TOPIC_LIST_FROM_NS", 304),
        ("GET_SYSTEM_TOPIC_LIST_FROM_BROKER", 305),
        ("CLEAN_EXPIRED_CONSUMEQUEUE", 306),
        ("GET_CONSUMER_RUNNING_INFO", 307),
        ("QUERY_CORRECTION_OFFSET", 308),
        ("CONSUME_MESSAGE_DIRECTLY", 309),
        ("SEND_MESSAGE_V2", 310),
        ("GET_UNIT_TOPIC_LIST", 311),
        ("GET_HAS_UNIT_SUB_TOPIC_LIST", 312),
        ("GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST", 313),
        ("CLONE_GROUP_OFFSET", 314),
        ("VIEW_BROKER_STATS_DATA", 315),
        ("CLEAN_UNUSED_TOPIC", 316),
        ("GET_BROKER_CONSUME_STATS", 317),
        ("UPDATE_NAMESRV_CONFIG", 318),
        ("GET_NAMESRV_CONFIG", 319),
        ("SEND_BATCH_MESSAGE", 320),
        ("QUERY_CONSUME_QUEUE", 321),
        ("QUERY_DATA_VERSION", 322),
        ("RESUME_CHECK_HALF_MESSAGE", 323),
        ("SEND_REPLY_MESSAGE", 324),
        ("SEND_REPLY_MESSAGE_V2", 325),
        ("PUSH_REPLY_MESSAGE_TO_CLIENT", 326),
        ("ADD_WRITE_PERM_OF_BROKER", 327),
        ("GET_ALL_PRODUCER_INFO", 328),
        ("DELETE_EXPIRED_COMMITLOG", 329),
        ("QUERY_TOPICS_BY_CONSUMER", 343),
        ("QUERY_SUBSCRIPTION_BY_CONSUMER", 345),
        ("GET_TOPIC_CONFIG", 351),
        ("GET_SUBSCRIPTIONGROUP_CONFIG", 352),
        ("UPDATE_AND_GET_GROUP_FORBIDDEN", 353),
        ("CHECK_ROCKSDB_CQ_WRITE_PROGRESS", 354),
        ("EXPORT_ROCKSDB_CONFIG_TO_JSON", 355),
        ("LITE_PULL_MESSAGE", 361),
        ("RECALL_MESSAGE", 370),
        ("QUERY_ASSIGNMENT", 400),
        ("SET_MESSAGE_REQUEST_MODE", 401),
        ("GET_ALL_MESSAGE_REQUEST_MODE", 402),
        ("UPDATE_AND_CREATE_STATIC_TOPIC", 513),
        ("GET_BROKER_MEMBER_GROUP", 901),
        ("ADD_BROKER", 902),
        ("REMOVE_BROKER", 903),
        ("BROKER_HEARTBEAT", 904),
        ("NOTIFY_MIN_BROKER_ID_CHANGE", 905),
        ("EXCHANGE_BROKER_HA_INFO", 906),
        ("GET_BROKER_HA_STATUS", 907),
        ("RESET_MASTER_FLUSH_OFFSET", 908),
        ("CONTROLLER_ALTER_SYNC_STATE_SET", 1001),
        ("CONTROLLER_ELECT_MASTER", 1002),
        ("CONTROLLER_REGISTER_BROKER", 1003),
        ("CONTROLLER_GET_REPLICA_INFO", 1004),
        ("CONTROLLER_GET_METADATA_INFO", 1005),
        ("CONTROLLER_GET_SYNC_STATE_DATA", 1006),
        ("GET_BROKER_EPOCH_CACHE", 1007),
        ("NOTIFY_BROKER_ROLE_CHANGED", 1008),
        ("UPDATE_CONTROLLER_CONFIG", 1009),
        ("GET_CONTROLLER_CONFIG", 1010),
        ("CLEAN_BROKER_DATA", 1011),
        ("CONTROLLER_GET_NEXT_BROKER_ID", 1012),
        ("CONTROLLER_APPLY_BROKER_ID", 1013),
        ("BROKER_CLOSE_CHANNEL_REQUEST", 1014),
        ("CHECK_NOT_ACTIVE_BROKER_REQUEST", 1015),
        ("GET_BROKER_LIVE_INFO_REQUEST", 1016),
        ("GET_SYNC_STATE_DATA_REQUEST", 1017),
        ("RAFT_BROKER_HEART_BEAT_EVENT_REQUEST", 1018),
        ("UPDATE_COLD_DATA_FLOW_CTR_CONFIG", 2001),
        ("REMOVE_COLD_DATA_FLOW_CTR_CONFIG", 2002),
        ("GET_COLD_DATA_FLOW_CTR_INFO", 2003),
        ("SET_COMMITLOG_READ_MODE", 2004),
        ("AUTH_CREATE_USER", 3001),
        ("AUTH_UPDATE_USER", 3002),
        ("AUTH_DELETE_USER", 3003),
        ("AUTH_GET_USER", 3004),
        ("AUTH_LIST_USER", 3005),
        ("AUTH_CREATE_ACL", 3006),
        ("AUTH_UPDATE_ACL", 3007),
        ("AUTH_DELETE_ACL", 3008),
        ("AUTH_GET_ACL", 3009),
        ("AUTH_LIST_ACL", 3010),
        ("POP_MESSAGE", 200050),
        ("ACK_MESSAGE", 200051),
        ("PEEK_MESSAGE", 200052),
        ("CHANGE_MESSAGE_INVISIBLETIME", 200053),
        ("NOTIFICATION", 200054),
        ("POLLING_INFO", 200055),
        ("POP_ROLLBACK", 200056),
        ("BATCH_ACK_MESSAGE", 200151),
    ];

    #[test]
    fn every_known_code_has_exactly_one_row() {
        assert!(REQUESTS.windows(2).all(|pair| pair[0].code < pair[1].code), "sorted, no duplicates");
        assert_eq!(REQUESTS.len(), KNOWN.len());
        for (name, code) in KNOWN {
            let row = request(*code).unwrap_or_else(|| panic!("{name} has no row"));
            assert_eq!(row.name, *name);
        }
        assert_eq!(request(999), None);
        assert_eq!(RequestName(11).to_string(), "PULL_MESSAGE (11)");
    }

    #[test]
    fn every_row_says_something() {
        for row in REQUESTS {
            match (row.status, row.server) {
                (Served(_), NameServer | Broker) | (Sent, Client) => {}
                (Later(theme), _) => assert!(theme.len() > 2, "{} needs a theme", row.name),
                (Never(why), _) => assert!(why.len() > 10, "{} needs a reason", row.name),
                _ => panic!("{} cannot be {:?} by {:?}", row.name, row.status, row.server),
            }
        }
    }

    #[test]
    fn response_codes_are_unique_and_sorted() {
        assert!(RESPONSES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(response_name(response::PULL_NOT_FOUND), Some("PULL_NOT_FOUND"));
    }
}
