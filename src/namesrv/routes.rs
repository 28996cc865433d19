//! The route table as a pure state machine: `(now, event) -> answer` and a list of actions. No socket, no file, no
//! clock, no bytes inside, so that its rules can be enumerated (INTEROP 05 §1–§4, the 5.3.3 column).
//!
//! ```text
//! topics     topic   -> broker name -> queues           what the route answer lists
//! brokers    name    -> cluster, id -> address, zone    where it is
//! clusters   cluster -> broker names
//! live       cluster, address -> last beat, timeout, DataVersion, connection, HA address
//! ```
//!
//! A broker name has one cluster, that of its first registration. Everything is listed in the order of names, so that
//! a client that compares two answers sees only real changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thiserror::Error;

use crate::base::clock::Millis;
use crate::net::service::ConnId;
use crate::wire::body::{DataVersion, TopicQueueMappingInfo};

/// Id of a broker name's master.
pub const MASTER_ID: i64 = 0;
/// Silence after which a broker is gone, unless its registration names another time.
pub const BROKER_TIMEOUT_MS: u64 = 120_000;
/// Permission bit: messages may be read.
pub const PERM_READ: i32 = 4;
/// Permission bit: messages may be written.
pub const PERM_WRITE: i32 = 2;
/// Topics with this prefix are the brokers' own way of asking who else has their name; never with an acting master.
pub const SYNC_MEMBER_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Most topics in the table: several times what a broker can carry, and a bound on memory (about 300 bytes each).
pub const TOPICS_MAX: usize = 500_000;
/// Most broker names in the table.
pub const BROKER_NAMES_MAX: usize = 10_000;
/// Most addresses of one broker name.
pub const MEMBERS_MAX: usize = 1_000;
/// Most filter servers of one broker.
pub const FILTER_SERVERS_MAX: usize = 100;
/// Longest name of a topic, broker, cluster or zone and longest address, in bytes; Java's topics end at 255.
pub const NAME_LEN_MAX: usize = 1_024;

/// Gap between two calls of `expire` above which it was the name server that slept (or the clock that was set), not
/// the brokers. Several times the scan interval.
pub const PAUSE_MS: u64 = 30_000;

/// Bit of `topic_sys_flag`: the topic belongs to a unit.
const FLAG_UNIT: i32 = 1;
/// Bit of `topic_sys_flag`: the topic is subscribed by a unit.
const FLAG_UNIT_SUB: i32 = 2;

/// What one broker name has of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Queues that are read.
    pub read: i32,
    /// Queues that are written.
    pub write: i32,
    /// `PERM_READ`, `PERM_WRITE` and 1 (inherit).
    pub perm: i32,
    /// Bit 0 unit, bit 1 subscribed by a unit.
    pub topic_sys_flag: i32,
}

/// A registration (code 103), decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration<'a> {
    /// Cluster that the broker says it belongs to.
    pub cluster: &'a str,
    /// Its name.
    pub broker: &'a str,
    /// Its advertised address.
    pub addr: &'a str,
    /// 0 for the master.
    pub id: i64,
    /// Where its slaves find it.
    pub ha_addr: &'a str,
    /// Zone of the sender.
    pub zone: Option<&'a str>,
    /// Silence after which it is gone; absent means `BROKER_TIMEOUT_MS`.
    pub timeout_ms: Option<u64>,
    /// Present from 5.x brokers only: whether a slave may stand in for the master.
    pub acting_master: Option<bool>,
    /// Version of `topics`.
    pub version: DataVersion,
    /// Topics, the whole table or a part.
    pub topics: Vec<(&'a str, Queues)>,
    /// Static topics.
    pub mappings: Vec<TopicQueueMappingInfo>,
    /// Filter servers; absent (old brokers) leaves them as they are.
    pub filter_servers: Option<Vec<String>>,
}

/// A broker as the codes 104, 322 and 904 name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Its cluster.
    pub cluster: &'a str,
    /// Its name.
    pub broker: &'a str,
    /// Its address.
    pub addr: &'a str,
    /// Its id.
    pub id: i64,
}

/// Switches of the configuration that the table's rules depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `deleteTopicWithBrokerRegistration`: topics absent from a registration are removed.
    pub delete_absent_topics: bool,
    /// `supportActingMaster`: routes show the lowest slave as master when there is none.
    pub acting_master: bool,
    /// `notifyMinBrokerIdChanged`: members are told when the lowest id changes.
    pub notify_lowest_id: bool,
}

/// The answer to an accepted registration: the master's addresses for a slave, nothing for a master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Address of the broker name's master.
    pub master_addr: Option<String>,
    /// Where the master serves its slaves.
    pub ha_addr: Option<String>,
}

/// A registration that was not accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// One topic from a broker that is not known: its whole table has to come first (INTEROP 05 §1.5).
    #[error(
        "register broker failed: broker {broker} id {id} is not registered here and sent one topic only; \
         it has to send its whole topic table first"
    )]
    WholeTableFirst {
        /// Broker name.
        broker: String,
        /// Broker id.
        id: i64,
    },
    /// A bound of this table.
    #[error("register broker failed: {what} would be {found}, more than the limit of {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// What it would have been.
        found: usize,
        /// The bound.
        limit: usize,
    },
}

/// Something to do outside of the table, or worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A broker that was not there before.
    Appeared {
        /// Broker name.
        broker: String,
        /// Broker id.
        id: i64,
        /// Its address.
        addr: String,
    },
    /// An id went to another address while the first holder was alive: a restart, or two brokers with one name.
    Moved {
        /// Broker name.
        broker: String,
        /// Broker id.
        id: i64,
        /// The address that held it.
        from: String,
        /// The address that holds it now.
        to: String,
    },
    /// A broker is gone.
    Gone {
        /// Broker name; empty when the table knew its address only.
        broker: String,
        /// Its address.
        addr: String,
        /// Why.
        why: Gone,
    },
    /// A registration was ignored: another address holds this id with a newer state.
    Superseded {
        /// Broker name.
        broker: String,
        /// Broker id.
        id: i64,
        /// The address that was ignored.
        addr: String,
        /// The address that stays.
        holder: String,
    },
    /// Close the connection of a broker that expired.
    Close(ConnId),
    /// Code 905, oneway, to each of `to`.
    LowestIdChanged {
        /// Addresses to tell.
        to: Vec<String>,
        /// The lowest id now.
        min_id: i64,
        /// Its address.
        min_addr: String,
        /// The address that went, if one did.
        offline_addr: Option<String>,
        /// HA address of the broker that came, if one did.
        ha_addr: Option<String>,
    },
}

/// Why a broker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It said so (code 104).
    Unregistered,
    /// The connection of its last registration closed.
    ConnectionLost,
    /// It was silent for so long, in milliseconds.
    Silent(u64),
}

/// One broker name in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broker {
    /// Cluster of its first registration.
    pub cluster: String,
    /// Id -> address.
    pub addrs: BTreeMap<i64, String>,
    /// Whether a slave may stand in for the master.
    pub acting_master: bool,
    /// Zone of whoever registered last.
    pub zone: Option<String>,
}

/// The route of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Broker name -> queues.
    pub queues: BTreeMap<String, Queues>,
    /// Broker name -> addresses, those of `queues` that are registered.
    pub brokers: BTreeMap<String, Broker>,
    /// Broker address -> filter servers.
    pub filter_servers: BTreeMap<String, Vec<String>>,
    /// Broker name -> mapping, for static topics.
    pub mappings: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// Why there is no route, for the person who reads the remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Nobody has the topic.
    UnknownTopic {
        /// Registered broker names.
        brokers: usize,
        /// A topic whose name differs only in upper and lower case or blanks.
        similar: Option<String>,
    },
    /// Queues are known, but none of their brokers is registered.
    NoBroker {
        /// The broker names that are missing.
        names: Vec<String>,
    },
}

/// Which topics `Routes::topics_by_unit` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Topics of units (code 311).
    Unit,
    /// Topics subscribed by units (code 312).
    Subscribed,
    /// Topics subscribed by units that are no unit topics (code 313).
    SubscribedOnly,
}

/// What a registration says of a broker that is alive.
#[derive(Clone, Debug)]
struct Live {
    last_beat: Millis,
    timeout_ms: u64,
    version: DataVersion,
    conn: ConnId,
    ha_addr: String,
}

/// Cluster and address: the key of the live and filter-server tables.
type Member = (String, String);

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    topics: HashMap<String, BTreeMap<String, Queues>>,
    mappings: HashMap<String, BTreeMap<String, TopicQueueMappingInfo>>,
    brokers: BTreeMap<String, Broker>,
    clusters: BTreeMap<String, BTreeSet<String>>,
    live: HashMap<Member, Live>,
    filter_servers: HashMap<Member, Vec<String>>,
    generation: u64,
    last_expire: Option<Millis>,
}

impl Routes {
    /// Grows whenever an answer of `route` may have changed: an answer may be kept as long as it stands.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    // === Brokers ===

    /// Code 103. `conn` becomes the broker's connection, whose loss means its own.
    pub fn register(
        &mut self,
        now: Millis,
        conn: ConnId,
        new: &Registration<'_>,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) -> Result<Registered, Refusal> {
        self.check_limits(new)?;
        let member = (new.cluster.to_owned(), new.addr.to_owned());
        self.clusters.entry(new.cluster.to_owned()).or_default().insert(new.broker.to_owned());
        let mut first = !self.brokers.contains_key(new.broker);
        let broker = self
            .brokers
            .entry(new.broker.to_owned())
            .or_insert_with(|| Broker { cluster: new.cluster.to_owned(), ..Broker::default() });
        let before = if first { None } else { Some(broker.clone()) };
        broker.acting_master = new.acting_master.unwrap_or(false);
        broker.zone = new.zone.map(str::to_owned);
        let lowest_before = broker.addrs.first_key_value().map_or(MASTER_ID, |(id, _)| *id);
        // A slave that became master, or the other way round: an address has one id.
        broker.addrs.retain(|id, addr| *id == new.id || addr != new.addr);

        if let Some(holder) = broker.addrs.get(&new.id).filter(|holder| *holder != new.addr)
            && let Some(live) = self.live.get(&(new.cluster.to_owned(), holder.clone()))
            && live.version.state_version > new.version.state_version
        {
            let (broker, addr) = (new.broker.to_owned(), new.addr.to_owned());
            actions.push(Action::Superseded { broker, id: new.id, addr, holder: holder.clone() });
            self.live.remove(&member);
            self.generation += 1;
            return Ok(Registered::default());
        }
        if !broker.addrs.contains_key(&new.id) && new.topics.len() == 1 {
            self.generation += 1;
            return Err(Refusal::WholeTableFirst { broker: new.broker.to_owned(), id: new.id });
        }
        let holder = broker.addrs.insert(new.id, new.addr.to_owned());
        let appeared = holder.is_none();
        first |= appeared;
        let lowest = broker.addrs.first_key_value().map_or(new.id, |(id, _)| *id);
        let acting_master = broker.acting_master;
        let addrs = broker.addrs.clone();
        if before.as_ref() != Some(&*broker) {
            self.generation += 1;
        }
        let (name, addr) = (new.broker.to_owned(), new.addr.to_owned());
        match holder {
            None => actions.push(Action::Appeared { broker: name, id: new.id, addr }),
            Some(from) if from != addr && self.live.contains_key(&(new.cluster.to_owned(), from.clone())) => {
                actions.push(Action::Moved { broker: name, id: new.id, from, to: addr });
            }
            Some(_) => {}
        }

        let stands_in = new.acting_master.is_some() && new.id != MASTER_ID && new.id == lowest;
        if new.id == MASTER_ID || stands_in {
            let changed = first || self.live.get(&member).is_none_or(|live| live.version != new.version);
            self.apply_topics(new, changed, stands_in && acting_master, rules);
        }
        let timeout_ms = new.timeout_ms.unwrap_or(BROKER_TIMEOUT_MS);
        let live = Live { last_beat: now, timeout_ms, version: new.version, conn, ha_addr: new.ha_addr.to_owned() };
        self.live.insert(member.clone(), live);
        self.set_filter_servers(member, new.filter_servers.as_deref());

        if new.id < lowest_before && rules.notify_lowest_id {
            actions.push(lowest_id_changed(&addrs, None, Some(new.ha_addr.to_owned())));
        }
        Ok(self.master_of(new, &addrs))
    }

    /// Code 104; an unknown broker is as good as unregistered.
    pub fn unregister(&mut self, gone: &Identity<'_>, rules: Rules, actions: &mut Vec<Action>) {
        let member = (gone.cluster.to_owned(), gone.addr.to_owned());
        if self.forget(&member, gone.broker, gone.id, rules, actions) {
            let (broker, addr) = (gone.broker.to_owned(), gone.addr.to_owned());
            actions.push(Action::Gone { broker, addr, why: Gone::Unregistered });
        }
    }

    /// Code 904: a sign of life. An unknown broker has to register.
    pub fn heartbeat(&mut self, now: Millis, cluster: &str, addr: &str) {
        if let Some(live) = self.live.get_mut(&(cluster.to_owned(), addr.to_owned())) {
            live.last_beat = now;
        }
    }

    /// Code 322: whether the broker's table differs from what is known, and what is known. A sign of life, too.
    pub fn query_version(
        &mut self,
        now: Millis,
        cluster: &str,
        addr: &str,
        version: Option<DataVersion>,
    ) -> (bool, Option<DataVersion>) {
        match self.live.get_mut(&(cluster.to_owned(), addr.to_owned())) {
            Some(live) => {
                live.last_beat = now;
                (version != Some(live.version), Some(live.version))
            }
            None => (true, None),
        }
    }

    /// A connection closed: the brokers that registered through it are gone.
    pub fn connection_lost(&mut self, conn: ConnId, rules: Rules, actions: &mut Vec<Action>) {
        let lost = self.live.iter().filter(|(_, live)| live.conn == conn).map(|(member, _)| member.clone());
        let mut lost: Vec<Member> = lost.collect();
        lost.sort();
        for member in lost {
            self.drop_member(&member, Gone::ConnectionLost, rules, actions);
        }
    }

    /// Drops the brokers that were silent for longer than they said they would be, and closes their connections.
    ///
    /// After a pause of our own (a stopped process, a clock that was set) nobody is thrown out for the time in which
    /// we could not listen.
    pub fn expire(&mut self, now: Millis, rules: Rules, actions: &mut Vec<Action>) {
        let slept = now.saturating_sub(self.last_expire.unwrap_or(now));
        self.last_expire = Some(now);
        for live in self.live.values_mut() {
            let forgiven = if slept > PAUSE_MS { slept } else { 0 };
            live.last_beat = (live.last_beat + forgiven).min(now);
        }
        let silent = |live: &Live| now - live.last_beat;
        let mut expired: Vec<(Member, u64, ConnId)> = self
            .live
            .iter()
            .filter(|(_, live)| silent(live) > live.timeout_ms)
            .map(|(member, live)| (member.clone(), silent(live), live.conn))
            .collect();
        expired.sort_by(|a, b| a.0.cmp(&b.0));
        for (member, silent_ms, conn) in expired {
            actions.push(Action::Close(conn));
            self.drop_member(&member, Gone::Silent(silent_ms), rules, actions);
        }
    }

    /// Code 901: the addresses of a broker name; the cluster is not looked at.
    pub fn member_group(&self, broker: &str) -> BTreeMap<i64, String> {
        self.brokers.get(broker).map(|broker| broker.addrs.clone()).unwrap_or_default()
    }

    // === Topics ===

    /// Code 217: queues of one topic by broker name, up to the first broker that is not registered; of a new topic
    /// all or nothing.
    pub fn register_topic(&mut self, topic: &str, queues: &[(String, Queues)]) {
        let registered = queues.iter().take_while(|(broker, _)| self.brokers.contains_key(broker)).count();
        let known = self.topics.contains_key(topic);
        if registered == 0 || topic.len() > NAME_LEN_MAX || !known && self.topics.len() >= TOPICS_MAX {
            return;
        }
        if known || registered == queues.len() {
            let row = self.topics.entry(topic.to_owned()).or_default();
            row.extend(queues[..registered].iter().cloned());
            self.generation += 1;
        }
    }

    /// Code 216: forgets a topic, everywhere or on the brokers of one cluster. The next registration that names it
    /// brings it back.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let removed = match cluster.filter(|cluster| !cluster.is_empty()) {
            None => self.topics.remove(topic).is_some(),
            Some(cluster) => {
                let names = self.clusters.get(cluster);
                let Some((names, row)) = names.zip(self.topics.get_mut(topic)) else { return };
                row.retain(|broker, _| !names.contains(broker));
                if row.is_empty() {
                    self.topics.remove(topic);
                }
                true
            }
        };
        self.generation += u64::from(removed);
    }

    /// Code 205: takes the write permission from all topics of a broker name; returns how many topics it has.
    pub fn wipe_write_perm(&mut self, broker: &str) -> usize {
        self.set_perm(broker, |perm| perm & !PERM_WRITE)
    }

    /// Code 327: sets all topics of a broker name to read and write; returns how many topics it has.
    pub fn add_write_perm(&mut self, broker: &str) -> usize {
        self.set_perm(broker, |_| PERM_READ | PERM_WRITE)
    }

    /// Code 105: the route of a topic; of one zone, if the client wants the brokers of its zone only.
    pub fn route(&self, topic: &str, zone: Option<&str>, rules: Rules) -> Result<Route, Miss> {
        let Some(queues) = self.topics.get(topic) else { return Err(self.unknown(topic)) };
        let registered = |name: &String| Some((name.clone(), self.brokers.get(name)?.clone()));
        let mut route = Route {
            queues: queues.clone(),
            brokers: queues.keys().filter_map(registered).collect(),
            filter_servers: BTreeMap::new(),
            mappings: self.mappings.get(topic).cloned(),
        };
        if route.brokers.is_empty() {
            return Err(Miss::NoBroker { names: queues.keys().cloned().collect() });
        }
        if !self.filter_servers.is_empty() {
            self.add_filter_servers(&mut route);
        }
        if rules.acting_master && !topic.starts_with(SYNC_MEMBER_TOPIC_PREFIX) {
            route.show_acting_masters();
        }
        if let Some(zone) = zone {
            route.keep_zone(zone);
        }
        Ok(route)
    }

    // === Lists ===

    /// Code 106: broker name -> broker.
    pub fn brokers(&self) -> &BTreeMap<String, Broker> {
        &self.brokers
    }

    /// Code 106: cluster -> broker names.
    pub fn clusters(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.clusters
    }

    /// How many topics there are.
    pub fn topics_count(&self) -> usize {
        self.topics.len()
    }

    /// Code 206: all topics, by name.
    pub fn topics(&self) -> Vec<&str> {
        self.topics_where(|_| true)
    }

    /// Code 224: the topics that a broker of `cluster` has.
    pub fn topics_of_cluster(&self, cluster: &str) -> Vec<&str> {
        let Some(names) = self.clusters.get(cluster) else { return Vec::new() };
        self.topics_where(|row| row.keys().any(|broker| names.contains(broker)))
    }

    /// Codes 311 to 313; the first broker's flags speak for the topic.
    pub fn topics_by_unit(&self, unit: Unit) -> Vec<&str> {
        self.topics_where(|row| {
            let flags = row.values().next().map_or(0, |queues| queues.topic_sys_flag);
            match unit {
                Unit::Unit => flags & FLAG_UNIT != 0,
                Unit::Subscribed => flags & FLAG_UNIT_SUB != 0,
                Unit::SubscribedOnly => flags & (FLAG_UNIT_SUB | FLAG_UNIT) == FLAG_UNIT_SUB,
            }
        })
    }

    /// Code 304: cluster names and broker names (every one is a topic of its brokers), and some broker's address.
    pub fn system_topics(&self) -> (Vec<&str>, Option<&str>) {
        let names = self.clusters.keys().chain(self.brokers.keys()).map(String::as_str);
        let addr = self.brokers.values().find_map(|broker| broker.addrs.values().next());
        (names.collect::<BTreeSet<_>>().into_iter().collect(), addr.map(String::as_str))
    }

    // === The rules, one by one ===

    fn check_limits(&self, new: &Registration<'_>) -> Result<(), Refusal> {
        let limit =
            |what, found, limit| if found > limit { Err(Refusal::Limit { what, found, limit }) } else { Ok(()) };
        let names = [new.cluster, new.broker, new.addr, new.ha_addr, new.zone.unwrap_or("")];
        let names = names.into_iter().chain(new.topics.iter().map(|(topic, _)| *topic));
        let servers = new.filter_servers.as_deref().unwrap_or(&[]);
        let longest = names.chain(servers.iter().map(String::as_str)).map(str::len).max().unwrap_or(0);
        limit("bytes of a name", longest, NAME_LEN_MAX)?;
        limit("filter servers of a broker", servers.len(), FILTER_SERVERS_MAX)?;
        limit("mappings of a broker", new.mappings.len(), TOPICS_MAX)?;
        match self.brokers.get(new.broker) {
            None => limit("broker names", self.brokers.len() + 1, BROKER_NAMES_MAX)?,
            Some(broker) if broker.addrs.contains_key(&new.id) => {}
            Some(broker) => limit("members of a broker name", broker.addrs.len() + 1, MEMBERS_MAX)?,
        }
        // Counting the new ones costs a look-up each, so it waits until it can matter.
        if self.topics.len() + new.topics.len() > TOPICS_MAX {
            let unknown = new.topics.iter().filter(|(topic, _)| !self.topics.contains_key(*topic)).count();
            limit("topics", self.topics.len() + unknown, TOPICS_MAX)?;
        }
        Ok(())
    }

    /// A topic is applied when its broker's table changed, or when this broker name does not have it yet; topics
    /// that are absent stay, because a registration may be a part.
    fn apply_topics(&mut self, new: &Registration<'_>, changed: bool, read_only: bool, rules: Rules) {
        if rules.delete_absent_topics && new.mappings.is_empty() {
            self.delete_absent_topics(new);
        }
        let mut moved = false;
        for (topic, queues) in &new.topics {
            let mut queues = *queues;
            if read_only {
                queues.perm &= !PERM_WRITE;
            }
            let row = match self.topics.get_mut(*topic) {
                Some(row) => row,
                None => self.topics.entry((*topic).to_owned()).or_default(),
            };
            match row.get_mut(new.broker) {
                Some(known) if changed && *known != queues => *known = queues,
                Some(_) => continue,
                None => drop(row.insert(new.broker.to_owned(), queues)),
            }
            moved = true;
        }
        if changed {
            for mapping in &new.mappings {
                let row = self.mappings.entry(mapping.topic.clone()).or_default();
                moved |= row.insert(mapping.bname.clone(), mapping.clone()).as_ref() != Some(mapping);
            }
        }
        self.generation += u64::from(moved);
    }

    fn delete_absent_topics(&mut self, new: &Registration<'_>) {
        let present: BTreeSet<&str> = new.topics.iter().map(|(topic, _)| *topic).collect();
        let mut moved = false;
        self.topics.retain(|topic, row| {
            if !present.contains(topic.as_str()) {
                moved |= row.remove(new.broker).is_some();
            }
            !row.is_empty()
        });
        self.generation += u64::from(moved);
    }

    fn set_filter_servers(&mut self, member: Member, servers: Option<&[String]>) {
        let Some(servers) = servers else { return };
        let before = match servers {
            [] => self.filter_servers.remove(&member),
            servers => self.filter_servers.insert(member, servers.to_vec()),
        };
        if before.as_deref().unwrap_or(&[]) != servers {
            self.generation += 1;
        }
    }

    /// Slaves learn their master here and nowhere else; a master that is not alive is no master.
    fn master_of(&self, new: &Registration<'_>, addrs: &BTreeMap<i64, String>) -> Registered {
        let master = addrs.get(&MASTER_ID).filter(|_| new.id != MASTER_ID);
        let live = master.and_then(|addr| self.live.get(&(new.cluster.to_owned(), addr.clone())));
        Registered {
            master_addr: master.filter(|_| live.is_some()).cloned(),
            ha_addr: live.map(|live| live.ha_addr.clone()),
        }
    }

    /// A member that expired or lost its connection, under every broker name that holds its address; unless the
    /// address is alive in that name's own cluster.
    fn drop_member(&mut self, member: &Member, why: Gone, rules: Rules, actions: &mut Vec<Action>) {
        self.live.remove(member);
        self.filter_servers.remove(member);
        let addr = &member.1;
        let held_by = |(name, broker): (&String, &Broker)| {
            let id = broker.addrs.iter().find(|(_, held)| *held == addr).map(|(id, _)| *id)?;
            let elsewhere = self.live.contains_key(&(broker.cluster.clone(), addr.clone()));
            (!elsewhere).then(|| (name.clone(), id))
        };
        let names: Vec<(String, i64)> = self.brokers.iter().filter_map(held_by).collect();
        for (name, id) in &names {
            self.forget(member, name, *id, rules, actions);
        }
        let broker = names.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(",");
        actions.push(Action::Gone { broker, addr: addr.clone(), why });
    }

    /// Removes a member by its address; `id` only decides whether the others have to be told. Returns whether there
    /// was anything to remove.
    fn forget(&mut self, member: &Member, name: &str, id: i64, rules: Rules, actions: &mut Vec<Action>) -> bool {
        let addr = &member.1;
        let mut known = self.live.remove(member).is_some();
        known |= self.filter_servers.remove(member).is_some();
        let Some(broker) = self.brokers.get_mut(name) else { return known };
        let was_lowest = broker.addrs.first_key_value().is_some_and(|(lowest, _)| *lowest == id);
        let members = broker.addrs.len();
        broker.addrs.retain(|_, held| held != addr);
        known |= broker.addrs.len() < members;
        if broker.addrs.is_empty() {
            self.remove_broker(name);
        } else {
            if was_lowest && broker.acting_master && rules.notify_lowest_id {
                actions.push(lowest_id_changed(&broker.addrs, Some(addr.clone()), None));
            }
            if broker.acting_master && !broker.addrs.contains_key(&MASTER_ID) {
                // What is left may be read only, until a member registers with its own permissions.
                self.set_perm(name, |perm| perm & !PERM_WRITE);
            }
        }
        self.generation += u64::from(known);
        known
    }

    /// From every cluster that lists it: a name that moved to another cluster is in two.
    fn remove_broker(&mut self, name: &str) {
        self.brokers.remove(name);
        self.clusters.retain(|_, names| {
            names.remove(name);
            !names.is_empty()
        });
        self.topics.retain(|_, row| {
            row.remove(name);
            !row.is_empty()
        });
    }

    fn set_perm(&mut self, broker: &str, perm: impl Fn(i32) -> i32) -> usize {
        let mut count = 0;
        for queues in self.topics.values_mut().filter_map(|row| row.get_mut(broker)) {
            queues.perm = perm(queues.perm);
            count += 1;
        }
        self.generation += u64::from(count > 0);
        count
    }

    fn add_filter_servers(&self, route: &mut Route) {
        for broker in route.brokers.values() {
            for addr in broker.addrs.values() {
                if let Some(servers) = self.filter_servers.get(&(broker.cluster.clone(), addr.clone())) {
                    route.filter_servers.insert(addr.clone(), servers.clone());
                }
            }
        }
    }

    fn topics_where(&self, wanted: impl Fn(&BTreeMap<String, Queues>) -> bool) -> Vec<&str> {
        let listed = self.topics.iter().filter(|(_, row)| wanted(row)).map(|(topic, _)| topic.as_str());
        let mut topics: Vec<&str> = listed.collect();
        topics.sort_unstable();
        topics
    }

    fn unknown(&self, topic: &str) -> Miss {
        let similar = self.topics.keys().filter(|known| known.trim().eq_ignore_ascii_case(topic.trim())).min();
        Miss::UnknownTopic { brokers: self.brokers.len(), similar: similar.cloned() }
    }
}

impl Route {
    /// A broker name without a master, whose queues nobody may write, is shown with its lowest slave as the master.
    fn show_acting_masters(&mut self) {
        for (name, broker) in &mut self.brokers {
            let writable = self.queues.get(name).is_none_or(|queues| queues.perm & PERM_WRITE != 0);
            if !broker.acting_master || writable || broker.addrs.contains_key(&MASTER_ID) {
                continue;
            }
            if let Some((_, addr)) = broker.addrs.pop_first() {
                broker.addrs.insert(MASTER_ID, addr);
            }
        }
    }

    /// Keeps the brokers of a zone, and those without a master, whose slaves may be the only way to read.
    fn keep_zone(&mut self, zone: &str) {
        let stays = |broker: &Broker| {
            !broker.addrs.contains_key(&MASTER_ID)
                || broker.zone.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(zone))
        };
        let (kept, removed) = std::mem::take(&mut self.brokers).into_iter().partition(|(_, broker)| stays(broker));
        self.brokers = kept;
        for (name, broker) in removed as BTreeMap<String, Broker> {
            self.queues.remove(&name);
            for addr in broker.addrs.values() {
                self.filter_servers.remove(addr);
            }
        }
    }
}

/// When somebody went, all that are left are told; when somebody came, all but the newcomer, or itself if alone.
fn lowest_id_changed(addrs: &BTreeMap<i64, String>, offline: Option<String>, ha_addr: Option<String>) -> Action {
    let (min_id, min_addr) = addrs.first_key_value().map(|(id, addr)| (*id, addr.clone())).unwrap_or_default();
    let everybody = offline.is_some() || addrs.len() == 1;
    let to = addrs.iter().filter(|(id, _)| everybody || **id != min_id).map(|(_, addr)| addr.clone()).collect();
    Action::LowestIdChanged { to, min_id, min_addr, offline_addr: offline, ha_addr }
}

#[cfg(test)]
mod tests;
