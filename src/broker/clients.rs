//! Who is connected: producer and consumer groups by connection, their subscriptions, and the notice that a group has
//! changed (INTEROP 06 §5). State lives for as long as connections do; nothing of it is stored.
//!
//! A heartbeat names the groups of one client on one connection. A group's view (`GroupClients`) is immutable and
//! replaced when its subscriptions change, so that a pull takes it with one short read lock. Knows no loop: frames go out
//! through `Post`, connections are closed by whoever calls `expire`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use bytes::BytesMut;
use parking_lot::{Mutex, RwLock};

use crate::base::clock::Millis;
use crate::net::service::{Conn, ConnId};
use crate::wire::body::{ConsumeFromWhere, ConsumeType};
use crate::wire::codes::request;
use crate::wire::command::{self, FLAG_ONEWAY, Value};
use crate::wire::frame::Serialization;

use super::filter::Subscription;

/// After this long without a heartbeat that names the group, a connection no longer belongs to it.
pub const CLIENT_EXPIRY_MS: u64 = 120_000;
/// How often expiry is looked for.
pub const EXPIRY_SCAN_INTERVAL_MS: u64 = 10_000;

/// How often a group is named in the log for the same reason, milliseconds.
const WARNING_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// Puts a frame into the output of a connection, from any thread; a connection that is gone swallows it.
pub type Post = Arc<dyn Fn(ConnId, BytesMut) + Send + Sync>;

/// What one member says of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// Group.
    pub group: String,
    /// How it consumes.
    pub consume_type: ConsumeType,
    /// Whether every member gets every message.
    pub broadcasting: bool,
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Whether it belongs to a unit.
    pub unit_mode: bool,
}

/// A heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The client.
    pub client_id: String,
    /// Its producer groups.
    pub producers: Vec<String>,
    /// Its consumer groups.
    pub consumers: Vec<ConsumerBeat>,
    /// Hash of the whole heartbeat from clients that may leave out their subscriptions; 0 from all others.
    pub fingerprint: i32,
    /// Whether the subscriptions were left out because they have not changed.
    pub without_subscriptions: bool,
}

/// What a frame says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The connection.
    pub conn: ConnId,
    /// Its other end.
    pub peer: SocketAddr,
    /// Language byte.
    pub language: u8,
    /// MQVersion ordinal.
    pub version: i32,
}

impl Sender {
    /// The sender of a request.
    pub fn new(conn: &Conn, language: u8, version: i32) -> Self {
        Sender { conn: conn.id, peer: conn.peer, language, version }
    }
}

/// One client of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name.
    pub client_id: String,
    /// Its connection and how it speaks.
    pub sender: Sender,
    /// When it last said that it belongs to the group.
    pub last_beat: Millis,
    /// What it subscribes, as it said last in full; `None` for producers.
    pub subscribes: Option<Arc<str>>,
}

/// What pulls need to know of a group that has members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupClients {
    /// Whether every member gets every message.
    pub broadcasting: bool,
    /// How it consumes.
    pub consume_type: ConsumeType,
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Subscriptions by topic.
    pub subscriptions: BTreeMap<String, Arc<Subscription>>,
}

impl GroupClients {
    /// The subscription to `topic`.
    pub fn subscription(&self, topic: &str) -> Option<Arc<Subscription>> {
        self.subscriptions.get(topic).cloned()
    }
}

/// Which groups hear of changes: the broker's and each group's `notifyConsumerIdsChangedEnable`.
pub trait NotifyRule {
    /// Whether members of `group` are told when one joins or leaves.
    fn notifies(&self, group: &str) -> bool;
}

impl<F: Fn(&str) -> bool> NotifyRule for F {
    fn notifies(&self, group: &str) -> bool {
        self(group)
    }
}

#[derive(Default)]
struct ConsumerGroup {
    members: HashMap<ConnId, Member>,
    view: Arc<GroupClients>,
    fingerprint: Option<i32>,
    /// When it was last said that its members subscribe different things.
    warned: Option<Millis>,
    /// When it was last said that two of its members have one client id.
    warned_of_twins: Option<Millis>,
}

#[derive(Default)]
struct Connected {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, HashMap<ConnId, Member>>,
    /// The connection that last named itself a producer under this client id.
    producer_of_client: HashMap<String, ConnId>,
    /// Groups of a connection, so that its end costs what it holds.
    of_conn: HashMap<ConnId, GroupsOfConn>,
}

#[derive(Default)]
struct GroupsOfConn {
    consumers: BTreeSet<String>,
    producers: BTreeSet<String>,
    client_ids: BTreeSet<String>,
}

/// The connected clients.
pub struct Clients {
    post: Post,
    notify: AtomicBool,
    opaque: AtomicI32,
    /// How often two members of a group were seen to subscribe different things.
    mismatches: AtomicU64,
    /// How often two living members of a group were seen to have one client id.
    twins: AtomicU64,
    connected: Mutex<Connected>,
    views: RwLock<HashMap<String, Arc<GroupClients>>>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("groups", &self.views.read().len()).finish_non_exhaustive()
    }
}

impl Clients {
    /// Nobody yet. `notify` is the broker's `notifyConsumerIdsChangedEnable`.
    pub fn new(notify: bool, post: Post) -> Self {
        Clients {
            post,
            notify: AtomicBool::new(notify),
            opaque: AtomicI32::new(1),
            mismatches: AtomicU64::new(0),
            twins: AtomicU64::new(0),
            connected: Mutex::default(),
            views: RwLock::default(),
        }
    }

    /// Changes `notifyConsumerIdsChangedEnable`.
    pub fn set_notify(&self, notify: bool) {
        self.notify.store(notify, Ordering::Relaxed);
    }

    /// What pulls need of `group`; `None` when no client of it is connected.
    pub fn group(&self, group: &str) -> Option<Arc<GroupClients>> {
        self.views.read().get(group).cloned()
    }

    /// Takes a heartbeat in; groups for which `known` is false are passed over, as since 5.1.1. Returns the answer's
    /// IS_SUB_CHANGE: whether the client has to send its subscriptions in full next time.
    pub fn heartbeat(
        &self,
        sender: Sender,
        now: Millis,
        beat: &Heartbeat,
        known: impl Fn(&str) -> bool,
        rule: &impl NotifyRule,
    ) -> bool {
        let mut connected = self.connected.lock();
        let member = Member { client_id: beat.client_id.clone(), sender, last_beat: now, subscribes: None };
        for group in &beat.producers {
            connected.add_producer(group, &member);
        }
        // A client that sends no fingerprint is answered `true`, as Java does, and does not look at it.
        let mut send_in_full = beat.fingerprint == 0;
        for consumer in beat.consumers.iter().filter(|consumer| known(&consumer.group)) {
            let subscribes = (!beat.without_subscriptions).then(|| Arc::from(described(&consumer.subscriptions)));
            let before = connected.add_consumer(&consumer.group, &Member { subscribes, ..member.clone() });
            let group = connected.consumers.entry(consumer.group.clone()).or_default();
            if let Some(before) = before {
                self.look_for_twins(&consumer.group, group, sender.conn, before, now);
            }
            let had_other_fingerprint = group.fingerprint.is_some_and(|last| last != beat.fingerprint);
            group.fingerprint = Some(beat.fingerprint);
            let subscriptions = (!beat.without_subscriptions).then_some(consumer.subscriptions.as_slice());
            let topics_changed = group.update(consumer, subscriptions);
            send_in_full |= beat.fingerprint != 0
                && (had_other_fingerprint || (beat.without_subscriptions && group.view.subscriptions.is_empty()));
            self.publish(&consumer.group, &group.view);
            self.compare(&consumer.group, group, sender.conn, now);
            if (before.is_none() || topics_changed) && rule.notifies(&consumer.group) {
                self.notify(&consumer.group, group);
            }
        }
        send_in_full
    }

    /// A client leaves its groups in good order.
    pub fn unregister(&self, conn: ConnId, producer: Option<&str>, consumer: Option<&str>, rule: &impl NotifyRule) {
        let mut connected = self.connected.lock();
        if let Some(group) = producer {
            connected.remove_producer(group, conn);
        }
        if let Some(group) = consumer
            && connected.remove_consumer(group, conn).is_some()
        {
            self.left(&connected, group, rule.notifies(group));
        }
    }

    /// A connection ended: whoever shared a group with it is told.
    pub fn closed(&self, conn: ConnId) {
        let mut connected = self.connected.lock();
        let Some(groups) = connected.of_conn.remove(&conn) else { return };
        for group in &groups.producers {
            connected.remove_producer(group, conn);
        }
        for group in &groups.consumers {
            if connected.remove_consumer(group, conn).is_some() {
                self.left(&connected, group, true);
            }
        }
        for client_id in &groups.client_ids {
            connected.forget_producer_of_client(client_id, conn);
        }
    }

    /// Forgets who has not sent a heartbeat for `CLIENT_EXPIRY_MS`, and returns the connections to close. Nobody is
    /// notified: the others notice at their next rebalance.
    pub fn expire(&self, now: Millis) -> Vec<ConnId> {
        let mut connected = self.connected.lock();
        let old = |member: &Member| member.last_beat + CLIENT_EXPIRY_MS < now;
        let mut expired = HashSet::new();
        let mut gone_consumers = Vec::new();
        for (name, group) in &connected.consumers {
            gone_consumers
                .extend(group.members.iter().filter(|(_, member)| old(member)).map(|(id, _)| (name.clone(), *id)));
        }
        let mut gone_producers = Vec::new();
        for (name, members) in &connected.producers {
            gone_producers.extend(members.iter().filter(|(_, member)| old(member)).map(|(id, _)| (name.clone(), *id)));
        }
        for (group, conn) in gone_consumers {
            connected.remove_consumer(&group, conn);
            self.left(&connected, &group, false);
            expired.insert(conn);
        }
        for (group, conn) in gone_producers {
            connected.remove_producer(&group, conn);
            expired.insert(conn);
        }
        expired.into_iter().collect()
    }

    /// The client ids of a group, each once, sorted.
    pub fn client_ids(&self, group: &str) -> Vec<String> {
        let connected = self.connected.lock();
        let ids: BTreeSet<_> = connected
            .consumers
            .get(group)
            .map(|group| group.members.values().map(|member| member.client_id.clone()).collect())
            .unwrap_or_default();
        ids.into_iter().collect()
    }

    /// The members of a consumer group, sorted by client id and connection.
    pub fn consumers(&self, group: &str) -> Vec<Member> {
        let connected = self.connected.lock();
        sorted(connected.consumers.get(group).map(|group| &group.members))
    }

    /// The members of a producer group, sorted by client id and connection.
    pub fn producers(&self, group: &str) -> Vec<Member> {
        sorted(self.connected.lock().producers.get(group))
    }

    /// Every producer group with its members.
    pub fn all_producers(&self) -> BTreeMap<String, Vec<Member>> {
        let connected = self.connected.lock();
        connected.producers.iter().map(|(group, members)| (group.clone(), sorted(Some(members)))).collect()
    }

    /// Every consumer group that has members, with its view.
    pub fn consumer_groups(&self) -> BTreeMap<String, Arc<GroupClients>> {
        self.views.read().iter().map(|(group, view)| (group.clone(), view.clone())).collect()
    }

    /// The newest connection of one client of a consumer group.
    pub fn consumer(&self, group: &str, client_id: &str) -> Option<Member> {
        let connected = self.connected.lock();
        let members = connected.consumers.get(group)?.members.values();
        members.filter(|member| member.client_id == client_id).max_by_key(|member| member.last_beat).cloned()
    }

    /// The connection on which a client last named itself a producer.
    pub fn producer_of_client(&self, client_id: &str) -> Option<ConnId> {
        self.connected.lock().producer_of_client.get(client_id).copied()
    }

    /// Puts a frame into the output of a connection.
    pub fn post(&self, conn: ConnId, frame: BytesMut) {
        (self.post)(conn, frame);
    }

    /// A number for a request of ours.
    pub fn next_opaque(&self) -> i32 {
        self.opaque.fetch_add(1, Ordering::Relaxed)
    }

    /// How often two members of a group were seen to subscribe different things: messages are lost by it, since the last
    /// heartbeat decides for all of them.
    pub fn mismatches(&self) -> u64 {
        self.mismatches.load(Ordering::Relaxed)
    }

    fn compare(&self, name: &str, group: &mut ConsumerGroup, conn: ConnId, now: Millis) {
        let Some(new) = group.members.get(&conn) else { return };
        let Some(text) = &new.subscribes else { return };
        let differs = |other: &&Member| other.subscribes.as_ref().is_some_and(|theirs| theirs != text);
        let Some(other) = group.members.values().filter(|other| other.client_id != new.client_id).find(differs) else {
            return;
        };
        self.mismatches.fetch_add(1, Ordering::Relaxed);
        if group.warned.is_none_or(|at| at + WARNING_INTERVAL_MS <= now) {
            tracing::warn!(
                "the members of consumer group {name} do not subscribe the same, so each misses messages: client {} says {}, \
                 client {} says {}; give every member of a group the same topics and tags, or use two groups",
                new.client_id,
                text,
                other.client_id,
                other.subscribes.as_deref().unwrap_or_default(),
            );
            group.warned = Some(now);
        }
    }

    /// How often two living members of a group were seen to have one client id: they take the same queues, and others go
    /// without.
    pub fn twins(&self) -> u64 {
        self.twins.load(Ordering::Relaxed)
    }

    /// A member that is heard again after another connection spoke in its name is no forgotten connection of that other.
    fn look_for_twins(&self, name: &str, group: &mut ConsumerGroup, conn: ConnId, before: Millis, now: Millis) {
        let Some(this) = group.members.get(&conn) else { return };
        let is_twin = |other: &&Member| {
            other.sender.conn != conn && other.client_id == this.client_id && other.last_beat > before
        };
        let Some(twin) = group.members.values().find(is_twin) else { return };
        self.twins.fetch_add(1, Ordering::Relaxed);
        if group.warned_of_twins.is_none_or(|at| at + WARNING_INTERVAL_MS <= now) {
            tracing::warn!(
                "two members of consumer group {name}, at {} and {}, both call themselves {}: they take the same queues, and \
                 other queues have no owner; give each process an instanceName of its own (in containers that share an IP \
                 and a process number, set it)",
                this.sender.peer,
                twin.sender.peer,
                this.client_id,
            );
            group.warned_of_twins = Some(now);
        }
    }

    fn left(&self, connected: &Connected, group: &str, notify: bool) {
        match connected.consumers.get(group) {
            Some(rest) if notify => self.notify(group, rest),
            Some(_) => {}
            None => drop(self.views.write().remove(group)),
        }
    }

    fn publish(&self, group: &str, view: &Arc<GroupClients>) {
        if self.views.read().get(group).is_some_and(|current| Arc::ptr_eq(current, view)) {
            return;
        }
        self.views.write().insert(group.to_owned(), view.clone());
    }

    /// NOTIFY_CONSUMER_IDS_CHANGED to every connection of the group, the new one included; not to broadcast groups.
    fn notify(&self, name: &str, group: &ConsumerGroup) {
        if !self.notify.load(Ordering::Relaxed) || group.view.broadcasting {
            return;
        }
        for conn in group.members.keys() {
            let mut frame = BytesMut::new();
            command::write_request(
                &mut frame,
                Serialization::Json,
                request::NOTIFY_CONSUMER_IDS_CHANGED,
                self.next_opaque(),
                FLAG_ONEWAY,
                &[("consumerGroup", Value::Str(name))],
                &[],
            );
            (self.post)(*conn, frame);
        }
    }
}

/// What a member subscribes, for comparing and for people.
fn described(subscriptions: &[Subscription]) -> String {
    let mut parts: Vec<_> =
        subscriptions.iter().map(|one| format!("{} ({} {})", one.topic, one.expression_type, one.text)).collect();
    parts.sort();
    parts.join(", ")
}

fn sorted(members: Option<&HashMap<ConnId, Member>>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().flat_map(HashMap::values).cloned().collect();
    members.sort_by(|a, b| (&a.client_id, a.sender.peer).cmp(&(&b.client_id, b.sender.peer)));
    members
}

impl ConsumerGroup {
    /// Takes over what a member says of the group; true when a topic was added or removed.
    fn update(&mut self, beat: &ConsumerBeat, subscriptions: Option<&[Subscription]>) -> bool {
        let mut view = GroupClients::clone(&self.view);
        view.broadcasting = beat.broadcasting;
        view.consume_type = beat.consume_type;
        view.consume_from_where = beat.consume_from_where;
        let mut topics_changed = false;
        if let Some(subscriptions) = subscriptions {
            for new in subscriptions {
                match view.subscriptions.get_mut(&new.topic) {
                    Some(old) if new.version > old.version => *old = Arc::new(new.clone()),
                    Some(_) => {}
                    None => {
                        view.subscriptions.insert(new.topic.clone(), Arc::new(new.clone()));
                        topics_changed = true;
                    }
                }
            }
            let named: HashSet<&str> = subscriptions.iter().map(|new| new.topic.as_str()).collect();
            let before = view.subscriptions.len();
            view.subscriptions.retain(|topic, _| named.contains(topic.as_str()));
            topics_changed |= view.subscriptions.len() != before;
        }
        if view != *self.view {
            self.view = Arc::new(view);
        }
        topics_changed
    }
}

impl Connected {
    fn groups_of(&mut self, member: &Member) -> &mut GroupsOfConn {
        let groups = self.of_conn.entry(member.sender.conn).or_default();
        if !groups.client_ids.contains(&member.client_id) {
            groups.client_ids.insert(member.client_id.clone());
        }
        groups
    }

    fn add_producer(&mut self, group: &str, member: &Member) {
        self.groups_of(member).producers.insert(group.to_owned());
        self.producer_of_client.insert(member.client_id.clone(), member.sender.conn);
        self.producers.entry(group.to_owned()).or_default().insert(member.sender.conn, member.clone());
    }

    /// When the connection named the group before; `None` when it is new to it.
    fn add_consumer(&mut self, group: &str, member: &Member) -> Option<Millis> {
        self.groups_of(member).consumers.insert(group.to_owned());
        let members = &mut self.consumers.entry(group.to_owned()).or_default().members;
        let mut member = member.clone();
        // A heartbeat without subscriptions keeps what was said before.
        if member.subscribes.is_none() {
            member.subscribes = members.get(&member.sender.conn).and_then(|before| before.subscribes.clone());
        }
        members.insert(member.sender.conn, member).map(|before| before.last_beat)
    }

    fn remove_producer(&mut self, group: &str, conn: ConnId) {
        if let Some(groups) = self.of_conn.get_mut(&conn) {
            groups.producers.remove(group);
        }
        let Some(members) = self.producers.get_mut(group) else { return };
        if let Some(member) = members.remove(&conn)
            && self.of_conn.get(&conn).is_none_or(|groups| groups.producers.is_empty())
        {
            self.forget_producer_of_client(&member.client_id, conn);
        }
        if self.producers.get(group).is_some_and(HashMap::is_empty) {
            self.producers.remove(group);
        }
    }

    fn remove_consumer(&mut self, group: &str, conn: ConnId) -> Option<Member> {
        if let Some(groups) = self.of_conn.get_mut(&conn) {
            groups.consumers.remove(group);
        }
        let state = self.consumers.get_mut(group)?;
        let member = state.members.remove(&conn);
        if state.members.is_empty() {
            self.consumers.remove(group);
        }
        member
    }

    fn forget_producer_of_client(&mut self, client_id: &str, conn: ConnId) {
        if self.producer_of_client.get(client_id) == Some(&conn) {
            self.producer_of_client.remove(client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Posted(Arc<Mutex<Vec<ConnId>>>);

    impl Posted {
        fn clients(&self) -> Clients {
            let posted = self.0.clone();
            Clients::new(true, Arc::new(move |conn, _| posted.lock().push(conn)))
        }
        fn take(&self) -> Vec<u32> {
            let mut slots: Vec<_> = self.0.lock().drain(..).map(|conn| conn.slot).collect();
            slots.sort_unstable();
            slots
        }
    }

    fn sender(slot: u32) -> Sender {
        let conn = ConnId { loop_index: 0, slot, generation: 0 };
        Sender { conn, peer: SocketAddr::from(([127, 0, 0, 1], 40_000 + slot as u16)), language: 0, version: 479 }
    }

    fn beat(client: &str, topics: &[(&str, i64)]) -> Heartbeat {
        let subscriptions = topics
            .iter()
            .map(|(topic, version)| Subscription::parse(topic, Some("*"), None, *version).unwrap())
            .collect();
        Heartbeat {
            client_id: client.into(),
            producers: vec!["CLIENT_INNER_PRODUCER".into()],
            consumers: vec![ConsumerBeat { group: "G".into(), subscriptions, ..ConsumerBeat::default() }],
            ..Heartbeat::default()
        }
    }

    const ALL: fn(&str) -> bool = |_| true;

    #[test]
    fn everybody_in_the_group_hears_of_joins_leaves_and_changed_topics() {
        let posted = Posted::default();
        let clients = posted.clients();
        clients.heartbeat(sender(1), 0, &beat("a", &[("T", 1)]), ALL, &ALL);
        assert_eq!(posted.take(), [1]);
        clients.heartbeat(sender(2), 0, &beat("b", &[("T", 1)]), ALL, &ALL);
        assert_eq!(posted.take(), [1, 2]);
        clients.heartbeat(sender(2), 10, &beat("b", &[("T", 9)]), ALL, &ALL);
        assert_eq!(posted.take(), Vec::<u32>::new(), "a newer version of the same topic is no change");
        assert_eq!(clients.group("G").unwrap().subscription("T").unwrap().version, 9);
        clients.heartbeat(sender(2), 10, &beat("b", &[("U", 9)]), ALL, &ALL);
        assert_eq!(posted.take(), [1, 2]);
        assert!(clients.group("G").unwrap().subscription("T").is_none());
        assert_eq!(clients.client_ids("G"), ["a", "b"]);
        clients.closed(sender(1).conn);
        assert_eq!(posted.take(), [2]);
        clients.unregister(sender(2).conn, None, Some("G"), &ALL);
        assert!(clients.group("G").is_none() && clients.client_ids("G").is_empty());
        assert!(clients.producer_of_client("b").is_some());
        clients.unregister(sender(2).conn, Some("CLIENT_INNER_PRODUCER"), None, &ALL);
        assert!(clients.producer_of_client("b").is_none());
    }

    #[test]
    fn a_client_with_two_connections_is_listed_once() {
        let clients = Posted::default().clients();
        clients.heartbeat(sender(1), 0, &beat("a", &[("T", 1)]), ALL, &ALL);
        clients.heartbeat(sender(2), 5, &beat("a", &[("T", 1)]), ALL, &ALL);
        assert_eq!(clients.client_ids("G"), ["a"]);
        assert_eq!(clients.consumers("G").len(), 2);
        assert_eq!(clients.consumer("G", "a").unwrap().sender.conn, sender(2).conn);
        clients.closed(sender(2).conn);
        assert_eq!(clients.client_ids("G"), ["a"]);
    }

    #[test]
    fn silence_for_two_minutes_ends_the_membership_without_a_notice() {
        let posted = Posted::default();
        let clients = posted.clients();
        clients.heartbeat(sender(1), 0, &beat("a", &[("T", 1)]), ALL, &ALL);
        clients.heartbeat(sender(2), 100_000, &beat("b", &[("T", 1)]), ALL, &ALL);
        posted.take();
        assert!(clients.expire(CLIENT_EXPIRY_MS).is_empty());
        assert_eq!(clients.expire(CLIENT_EXPIRY_MS + 1), [sender(1).conn]);
        assert_eq!(clients.client_ids("G"), ["b"]);
        assert_eq!(posted.take(), Vec::<u32>::new());
    }

    #[test]
    fn broadcast_groups_and_groups_that_do_not_want_it_are_not_notified() {
        let posted = Posted::default();
        let clients = posted.clients();
        let mut broadcast = beat("a", &[("T", 1)]);
        broadcast.consumers[0].broadcasting = true;
        clients.heartbeat(sender(1), 0, &broadcast, ALL, &ALL);
        clients.heartbeat(sender(2), 0, &beat("b", &[("T", 1)]), ALL, &|_: &str| false);
        assert_eq!(posted.take(), Vec::<u32>::new());
        clients.heartbeat(sender(3), 0, &beat("c", &[("T", 1)]), |group| group != "G", &ALL);
        assert_eq!(clients.client_ids("G"), ["a", "b"], "a group that must not exist is passed over");
    }

    #[test]
    fn members_with_different_subscriptions_are_noticed() {
        let clients = Posted::default().clients();
        clients.heartbeat(sender(1), 0, &beat("a", &[("T", 1), ("U", 1)]), ALL, &ALL);
        clients.heartbeat(sender(2), 1, &beat("b", &[("U", 2), ("T", 2)]), ALL, &ALL);
        assert_eq!(clients.mismatches(), 0, "order and version make no difference");
        clients.heartbeat(sender(3), 2, &beat("c", &[("T", 3)]), ALL, &ALL);
        clients.heartbeat(sender(1), 3, &beat("a", &[("T", 1), ("U", 1)]), ALL, &ALL);
        assert_eq!(clients.mismatches(), 2);
        clients.closed(sender(3).conn);
        clients.heartbeat(sender(1), 4, &beat("a", &[("T", 1), ("U", 1)]), ALL, &ALL);
        assert_eq!(clients.mismatches(), 2);
    }

    #[test]
    fn two_living_clients_of_one_name_are_noticed_and_a_new_connection_is_not() {
        let clients = Posted::default().clients();
        clients.heartbeat(sender(1), 0, &beat("a", &[("T", 1)]), ALL, &ALL);
        clients.heartbeat(sender(2), 30, &beat("a", &[("T", 1)]), ALL, &ALL);
        clients.heartbeat(sender(2), 60, &beat("a", &[("T", 1)]), ALL, &ALL);
        assert_eq!(clients.twins(), 0, "the first connection may be one that nobody closed");
        clients.heartbeat(sender(1), 70, &beat("a", &[("T", 1)]), ALL, &ALL);
        assert_eq!(clients.twins(), 1);
        clients.heartbeat(sender(3), 80, &beat("b", &[("T", 1)]), ALL, &ALL);
        clients.heartbeat(sender(3), 90, &beat("b", &[("T", 1)]), ALL, &ALL);
        assert_eq!(clients.twins(), 1);
    }

    #[test]
    fn a_client_that_left_its_subscriptions_out_is_asked_for_them_when_they_are_not_known() {
        let clients = Posted::default().clients();
        let full = Heartbeat { fingerprint: 7, ..beat("a", &[("T", 1)]) };
        let short = Heartbeat { without_subscriptions: true, ..full.clone() };
        assert!(clients.heartbeat(sender(1), 0, &short, ALL, &ALL), "nothing is held yet");
        assert!(!clients.heartbeat(sender(1), 1, &full, ALL, &ALL));
        assert!(!clients.heartbeat(sender(1), 2, &short, ALL, &ALL));
        assert!(clients.group("G").unwrap().subscription("T").is_some());
        let other = Heartbeat { fingerprint: 8, ..short };
        assert!(clients.heartbeat(sender(1), 3, &other, ALL, &ALL), "another fingerprint");
        assert!(clients.heartbeat(sender(1), 3, &beat("a", &[("T", 1)]), ALL, &ALL), "first version of the heartbeat");
    }
}
