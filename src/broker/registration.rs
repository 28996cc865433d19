//! Keeps this broker's entry at every name server: REGISTER_BROKER at the start, on a timer and when topics change,
//! UNREGISTER_BROKER at the stop (INTEROP 05 §1–2). Works towards name servers of 4.9 and 5.x, Java's and ours: always
//! the full table, because a 4.9 name server never completes one that began with a part of it.
//!
//! One task per name server; a dead one delays nobody. Changes that arrive while a round is under way go with the next.
//! The list of name servers may change at any time: a new one gets a task, one that is no longer named is left.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::base::shutdown::Shutdown;
use crate::client::{Client, ClientError, Response};
use crate::net::control::kept_up;
use crate::wire::body::{DataVersion, KVTable};
use crate::wire::codes::request;
use crate::wire::command::Value;
use crate::wire::fastjson;

use super::topics::{PERM_READ, PERM_WRITE, TopicConfig, TopicTable, Topics};

/// How long one registration may take (`registerBrokerTimeoutMills` of 4.9; 5.x waits 24 s).
const REGISTER_TIMEOUT: Duration = Duration::from_secs(6);
/// How long one unregistration may take, as in Java.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long whoever changed a topic waits for the name servers: less than the three seconds of a client's request.
const CHANGE_WAIT: Duration = Duration::from_secs(2);
/// The first pause after a failed registration; it doubles up to the period.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Java's bounds of `registerNameServerPeriod`, milliseconds.
const PERIOD_MS: std::ops::RangeInclusive<u64> = 10_000..=60_000;

/// What a name server is told of this broker besides its topics.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `brokerName`.
    pub broker_name: String,
    /// `brokerClusterName`.
    pub cluster_name: String,
    /// `brokerId`.
    pub broker_id: u64,
    /// Where clients find it.
    pub broker_addr: SocketAddr,
    /// Where slaves find it.
    pub ha_server_addr: SocketAddr,
    /// `brokerPermission`, masked onto each topic's permission.
    pub broker_permission: u32,
    /// `registerNameServerPeriod`, milliseconds.
    pub period_ms: u64,
    /// `forceRegister`.
    pub force: bool,
}

/// What is known of one name server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// The newest change that it has.
    registered: u64,
    /// Whether the last call failed.
    unreachable: bool,
}

#[derive(Debug)]
struct NameServer {
    addr: String,
    standing: watch::Sender<Standing>,
}

/// The handle: tell it what changed. Clones share everything.
#[derive(Clone, Debug)]
pub struct Registration {
    client: Client,
    /// Number of changes so far.
    changes: Arc<watch::Sender<u64>>,
    servers: Arc<watch::Sender<Vec<Arc<NameServer>>>>,
    /// What is told from the next round on; none before the start.
    identity: Arc<RwLock<Option<Arc<Identity>>>>,
}

impl Registration {
    /// For these name servers; nothing is sent before `start`.
    pub fn new(namesrv_addrs: &[String]) -> Self {
        let this = Registration {
            client: Client::new(),
            changes: Arc::new(watch::Sender::new(1)),
            servers: Arc::default(),
            identity: Arc::default(),
        };
        this.change_name_servers(namesrv_addrs);
        this
    }

    /// From now on these are the name servers: new ones are told of the broker, those that are not named any more that it
    /// goes. Done when `settings_changed` is.
    pub fn change_name_servers(&self, namesrv_addrs: &[String]) {
        self.servers.send_if_modified(|servers| {
            let mut wanted: Vec<Arc<NameServer>> = Vec::with_capacity(namesrv_addrs.len());
            for addr in namesrv_addrs {
                if wanted.iter().any(|server| server.addr == *addr) {
                    continue; // Named twice.
                }
                let known = servers.iter().find(|server| server.addr == *addr).cloned();
                wanted.push(known.unwrap_or_else(|| Arc::new(NameServer::new(addr))));
            }
            let changed = !wanted.iter().map(Arc::as_ptr).eq(servers.iter().map(Arc::as_ptr));
            *servers = wanted;
            changed
        });
    }

    fn listed(&self) -> Vec<Arc<NameServer>> {
        self.servers.borrow().clone()
    }

    /// The name servers, each with whether it has this broker and answered the last call.
    pub fn standings(&self) -> Vec<(String, bool)> {
        let known = |server: &NameServer| {
            let standing = *server.standing.borrow();
            standing.registered > 0 && !standing.unreachable
        };
        self.listed().iter().map(|server| (server.addr.clone(), known(server))).collect()
    }

    /// Says that a topic changed; done when every reachable name server knows, or after two seconds.
    pub async fn topic_changed(&self, topic: &str) {
        self.told(&format!("topic {topic}")).await;
    }

    /// Changes what the name servers are told of the broker from the next round on.
    pub fn change_identity(&self, change: impl FnOnce(&mut Identity)) {
        if let Some(identity) = self.identity.write().as_mut() {
            change(Arc::make_mut(identity));
        }
    }

    /// Says that what they are told, or who is told, was changed; done as `topic_changed`.
    pub async fn settings_changed(&self) {
        self.told("the broker's new settings").await;
    }

    async fn told(&self, what: &str) {
        let change = self.change();
        if self.identity.read().is_none() {
            return; // Nobody is told anything before the start.
        }
        let all_know = async {
            for server in self.listed() {
                let mut standing = server.standing.subscribe();
                let knows = |standing: &Standing| standing.registered >= change || standing.unreachable;
                if standing.wait_for(knows).await.is_err() {
                    return;
                }
            }
        };
        if timeout(CHANGE_WAIT, all_know).await.is_err() {
            tracing::warn!("not every name server confirmed {what} within {CHANGE_WAIT:?}; it will be told again");
        }
    }

    /// Says that something changed and waits for nobody.
    pub fn changed(&self) {
        self.change();
    }

    /// Starts on the runtime `handle` what keeps the broker registered; it ends when `shutdown` says so.
    pub fn start(
        &self,
        identity: Identity,
        topics: Arc<Topics>,
        handle: &tokio::runtime::Handle,
        shutdown: &Shutdown,
    ) -> JoinHandle<()> {
        *self.identity.write() = Some(Arc::new(identity));
        let (this, shutdown) = (self.clone(), shutdown.clone());
        handle.spawn(async move { this.keep_all_registered(topics, shutdown).await })
    }

    /// One task for each name server that is listed; each ends by itself when it is not any more.
    async fn keep_all_registered(&self, topics: Arc<Topics>, mut shutdown: Shutdown) {
        let mut list = self.servers.subscribe();
        let mut tasks = JoinSet::new();
        let mut served: Vec<Arc<NameServer>> = Vec::new();
        while !shutdown.is_stopping() {
            let listed = list.borrow_and_update().clone();
            for server in listed.iter().filter(|server| !is_listed(&served, server)) {
                let (this, server) = (self.clone(), server.clone());
                let (topics, shutdown) = (topics.clone(), shutdown.clone());
                tasks.spawn(kept_up("the registration at a name server", move || {
                    let (this, server) = (this.clone(), server.clone());
                    let (topics, shutdown) = (topics.clone(), shutdown.clone());
                    async move { this.keep_registered(&server, &topics, shutdown).await }
                }));
            }
            served = listed;
            tokio::select! {
                changed = list.changed() => if changed.is_err() { break },
                Some(ended) = tasks.join_next() => log_panic(ended),
                () = shutdown.stopped() => {}
            }
        }
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    }

    /// Tells every name server that this broker goes. To be called when the tasks have ended.
    pub async fn unregister(&self, identity: &Identity) {
        let mut calls = JoinSet::new();
        for server in self.listed() {
            let (this, identity) = (self.clone(), identity.clone());
            calls.spawn(async move { this.leave(&server.addr, &identity).await });
        }
        while let Some(ended) = calls.join_next().await {
            log_panic(ended);
        }
        self.client.close();
    }

    /// UNREGISTER_BROKER at one name server.
    async fn leave(&self, addr: &str, identity: &Identity) {
        let ext = [
            ("brokerName", Value::Str(&identity.broker_name)),
            ("brokerAddr", Value::Str(&identity.broker_addr.to_string())),
            ("clusterName", Value::Str(&identity.cluster_name)),
            ("brokerId", Value::I64(identity.broker_id as i64)),
        ];
        let left = self.client.call(addr, request::UNREGISTER_BROKER, &ext, &[], UNREGISTER_TIMEOUT).await;
        if let Err(error) = left {
            tracing::info!("not unregistered, the entry will expire by itself: {error}");
        }
    }

    fn change(&self) -> u64 {
        let mut change = 0;
        self.changes.send_modify(|count| {
            *count += 1;
            change = *count;
        });
        change
    }

    async fn keep_registered(&self, server: &Arc<NameServer>, topics: &Arc<Topics>, mut shutdown: Shutdown) {
        let mut changes = self.changes.subscribe();
        let mut list = self.servers.subscribe();
        let mut pause = RETRY_INTERVAL;
        while !shutdown.is_stopping() {
            let change = *changes.borrow_and_update();
            let Some(identity) = self.identity.read().clone() else { return };
            if !is_listed(&list.borrow_and_update(), server) {
                tracing::info!("name server {} is not named any more: it is told that this broker goes", server.addr);
                self.leave(&server.addr, &identity).await;
                if self.listed().iter().any(|listed| listed.addr == server.addr) {
                    self.changed(); // It was named again meanwhile, and has to hear of the broker after this.
                }
                return;
            }
            let period = Duration::from_millis(identity.period_ms.clamp(*PERIOD_MS.start(), *PERIOD_MS.end()));
            let before = *server.standing.borrow();
            let round = async { self.round(&server.addr, &identity, topics, change > before.registered).await };
            let result = tokio::select! {
                result = round => result,
                () = shutdown.stopped() => return,
            };
            match result {
                Ok(()) => {
                    if before.unreachable {
                        tracing::info!("registered at name server {} again", server.addr);
                    }
                    server.standing.send_replace(Standing { registered: change, unreachable: false });
                    pause = period;
                }
                Err(error) => {
                    if !before.unreachable {
                        tracing::warn!("not registered, clients cannot find this broker there: {error}");
                    }
                    server.standing.send_replace(Standing { unreachable: true, ..before });
                    pause = if before.unreachable { (pause * 2).min(period) } else { RETRY_INTERVAL };
                }
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = list.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
                () = shutdown.stopped() => return,
            }
        }
    }

    /// One round at one name server: with `forceRegister=false` and nothing new it is asked first.
    async fn round(
        &self,
        addr: &str,
        identity: &Identity,
        topics: &Arc<Topics>,
        is_new: bool,
    ) -> Result<(), ClientError> {
        let table = topics.table();
        if !is_new && !identity.force && self.is_up_to_date(addr, identity, table.version).await {
            return Ok(());
        }
        let answer = self.register(addr, identity, &table).await?;
        self.take_order_topics(topics, &answer).await;
        Ok(())
    }

    /// QUERY_DATA_VERSION; any failure counts as "no".
    async fn is_up_to_date(&self, addr: &str, identity: &Identity, version: DataVersion) -> bool {
        let broker_addr = identity.broker_addr.to_string();
        let ext = [
            ("brokerName", Value::Str(&identity.broker_name)),
            ("brokerAddr", Value::Str(&broker_addr)),
            ("clusterName", Value::Str(&identity.cluster_name)),
            ("brokerId", Value::I64(identity.broker_id as i64)),
        ];
        let body = json!(version).to_string();
        let answer = self.client.call(addr, request::QUERY_DATA_VERSION, &ext, body.as_bytes(), REGISTER_TIMEOUT).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!("registering without asking: {error}");
                return false;
            }
        };
        let held = fastjson::from_slice::<DataVersion>(&answer.body).ok();
        answer.get("changed") == Some("false") && held.is_none_or(|held| held == version)
    }

    async fn register(&self, addr: &str, identity: &Identity, table: &TopicTable) -> Result<Response, ClientError> {
        let body = register_body(identity, table);
        let (broker_addr, ha_addr) = (identity.broker_addr.to_string(), identity.ha_server_addr.to_string());
        let ext = [
            ("brokerName", Value::Str(&identity.broker_name)),
            ("brokerAddr", Value::Str(&broker_addr)),
            ("clusterName", Value::Str(&identity.cluster_name)),
            ("haServerAddr", Value::Str(&ha_addr)),
            ("brokerId", Value::I64(identity.broker_id as i64)),
            ("enableActingMaster", Value::Bool(false)),
            ("compressed", Value::Bool(false)),
            // 0 means unchecked; TCP has its own checksum, and both ends of 4.9 and 5.x accept it.
            ("bodyCrc32", Value::I64(0)),
        ];
        self.client.call(addr, request::REGISTER_BROKER, &ext, body.as_bytes(), REGISTER_TIMEOUT).await
    }

    /// The name server's order configuration comes with the answer (INTEROP 05 §5).
    async fn take_order_topics(&self, topics: &Arc<Topics>, answer: &Response) {
        let ordered = match KVTable::parse_optional(&answer.body) {
            Ok(Some(body)) => body.table,
            Ok(None) => return,
            Err(error) => return tracing::warn!("a name server's order configuration cannot be read: {error}"),
        };
        let topics = topics.clone();
        let set = move || topics.set_ordered(&ordered.keys().map(String::as_str).collect::<Vec<_>>());
        match tokio::task::spawn_blocking(set).await {
            Ok(Ok(true)) => self.changed(),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!("{error}"),
            Err(error) => tracing::error!("taking over the order configuration failed: {error}"),
        }
    }
}

impl NameServer {
    fn new(addr: &str) -> Self {
        NameServer { addr: addr.to_owned(), standing: watch::Sender::new(Standing::default()) }
    }
}

fn is_listed(list: &[Arc<NameServer>], server: &Arc<NameServer>) -> bool {
    list.iter().any(|listed| Arc::ptr_eq(listed, server))
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a task for a name server ended badly: {error}");
    }
}

/// RegisterBrokerBody, uncompressed (INTEROP 04 §6): every topic, its permission cut to the broker's.
fn register_body(identity: &Identity, table: &TopicTable) -> String {
    let mask = identity.broker_permission;
    let is_limited = mask & (PERM_READ | PERM_WRITE) != PERM_READ | PERM_WRITE;
    let topics: BTreeMap<&str, TopicConfig> = table
        .iter()
        .map(|topic| {
            let perm = if is_limited { topic.perm & mask } else { topic.perm };
            (topic.topic_name.as_str(), TopicConfig { perm, ..TopicConfig::clone(topic) })
        })
        .collect();
    json!({
        "filterServerList": [],
        "topicConfigSerializeWrapper": {
            "dataVersion": table.version,
            "mappingDataVersion": DataVersion::default(),
            "topicConfigTable": topics,
            "topicQueueMappingDetailMap": {},
            "topicQueueMappingInfoMap": {},
        },
    })
    .to_string()
}
