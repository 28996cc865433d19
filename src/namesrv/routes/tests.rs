//! The rules of INTEROP 05 §1 to §4, enumerated where they can be.

use super::*;

const MINUTE: Millis = 60_000;
const START: Millis = 1_700_000_000_000;
const V1: DataVersion = DataVersion { state_version: 0, timestamp: 1, counter: 1 };
const V2: DataVersion = DataVersion { state_version: 0, timestamp: 1, counter: 2 };
const RW: Queues = Queues { read: 4, write: 4, perm: 6, topic_sys_flag: 0 };
const OLD: Queues = Queues { read: 1, write: 1, perm: 6, topic_sys_flag: 0 };
const ACTING: Rules = Rules { delete_absent_topics: false, acting_master: true, notify_lowest_id: true };

fn conn(slot: u32) -> ConnId {
    ConnId { loop_index: 0, slot, generation: 1 }
}

/// A registration of member `id` of broker name `b` at address `10.0.0.<id>:10911`.
fn member(id: i64, topics: &[&'static str]) -> Registration<'static> {
    let addr: &'static str = ["10.0.0.0:10911", "10.0.0.1:10911", "10.0.0.2:10911", "10.0.0.3:10911"][id as usize];
    Registration {
        cluster: "c",
        broker: "b",
        addr,
        id,
        ha_addr: "ha",
        version: V1,
        topics: topics.iter().map(|topic| (*topic, RW)).collect(),
        ..Registration::default()
    }
}

#[derive(Default)]
struct Table {
    routes: Routes,
    rules: Rules,
    actions: Vec<Action>,
}

impl Table {
    fn with(rules: Rules) -> Self {
        Table { rules, ..Table::default() }
    }

    fn at(&mut self, now: Millis, slot: u32, new: &Registration<'_>) -> Result<Registered, Refusal> {
        self.routes.register(now, conn(slot), new, self.rules, &mut self.actions)
    }

    fn put(&mut self, new: &Registration<'_>) -> Registered {
        self.at(START, new.id as u32, new).unwrap()
    }

    fn route(&self, topic: &str) -> Result<Route, Miss> {
        self.routes.route(topic, None, self.rules)
    }

    fn queues(&self, topic: &str, broker: &str) -> Option<Queues> {
        self.routes.topics.get(topic)?.get(broker).copied()
    }

    fn addrs(&self, broker: &str) -> Vec<(i64, String)> {
        self.routes.member_group(broker).into_iter().collect()
    }

    fn expire(&mut self, now: Millis) {
        self.routes.expire(now, self.rules, &mut self.actions);
    }

    fn notices(&mut self) -> Vec<Action> {
        let all = std::mem::take(&mut self.actions);
        all.into_iter().filter(|action| matches!(action, Action::LowestIdChanged { .. })).collect()
    }
}

/// How the broker name and the sender stood before its registration.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    NameUnknown,
    IdUnknown,
    SameVersion,
    OtherVersion,
}

#[test]
fn which_topics_a_registration_applies_follows_the_decision_table() {
    // sender: (its id, ids that are registered beside it)
    let senders: [(i64, &[i64]); 4] = [(0, &[3]), (1, &[2]), (1, &[0]), (2, &[1])];
    let befores = [Before::NameUnknown, Before::IdUnknown, Before::SameVersion, Before::OtherVersion];
    let mut rows = 0;
    for acting_master in [None, Some(false), Some(true)] {
        for (id, others) in senders {
            for before in befores {
                for topic_known in [false, true] {
                    for table in [&[][..], &["T"][..], &["T", "U"][..]] {
                        if topic_known && before == Before::NameUnknown {
                            continue;
                        }
                        let row =
                            format!("{acting_master:?} {id} beside {others:?} {before:?} {topic_known} {table:?}");
                        check_row(acting_master, id, others, before, topic_known, table, &row);
                        rows += 1;
                    }
                }
            }
        }
    }
    assert_eq!(rows, 3 * 4 * 7 * 3);
}

fn check_row(
    acting_master: Option<bool>,
    id: i64,
    others: &[i64],
    before: Before,
    topic_known: bool,
    table: &[&'static str],
    row: &str,
) {
    let mut t = Table::default();
    let with = |mut new: Registration<'static>| {
        new.acting_master = acting_master;
        new
    };
    if before != Before::NameUnknown {
        for other in others {
            t.put(&with(member(*other, &[])));
        }
    }
    if matches!(before, Before::SameVersion | Before::OtherVersion) {
        t.put(&with(member(id, &[])));
    }
    if topic_known {
        t.routes.register_topic("T", &[("b".to_owned(), OLD)]);
    }
    let mut new = with(member(id, table));
    if before == Before::OtherVersion {
        new.version = V2;
    }
    let got = t.at(START, 9, &new);

    let id_known = matches!(before, Before::SameVersion | Before::OtherVersion);
    if !id_known && table.len() == 1 {
        assert!(matches!(got, Err(Refusal::WholeTableFirst { .. })), "{row}");
        assert_eq!(t.queues("T", "b"), topic_known.then_some(OLD), "{row}");
        return;
    }
    got.unwrap();
    let alone = before == Before::NameUnknown;
    let lowest = alone || others.iter().all(|other| id < *other);
    let speaks = id == MASTER_ID || acting_master.is_some() && lowest;
    let changed = !id_known || before == Before::OtherVersion;
    let read_only = id != MASTER_ID && acting_master == Some(true);
    let applied = Queues { perm: if read_only { 4 } else { 6 }, ..RW };
    let expected = |named: bool, old: Option<Queues>| match old {
        Some(old) => Some(if named && speaks && changed { applied } else { old }),
        None => (named && speaks).then_some(applied),
    };
    assert_eq!(t.queues("T", "b"), expected(table.contains(&"T"), topic_known.then_some(OLD)), "{row}");
    assert_eq!(t.queues("U", "b"), expected(table.contains(&"U"), None), "{row}");
    assert_eq!(t.routes.live[&("c".to_owned(), new.addr.to_owned())].version, new.version, "{row}");
}

#[test]
fn a_refused_first_registration_leaves_the_name_without_addresses_as_java_does() {
    let mut t = Table::default();
    let refused = t.at(START, 0, &member(0, &["T"])).unwrap_err();
    assert!(refused.to_string().starts_with("register broker failed"));
    assert!(t.routes.brokers()["b"].addrs.is_empty());
    assert_eq!(t.routes.clusters()["c"].len(), 1);
    t.put(&member(0, &["T", "U"]));
    assert_eq!(t.queues("T", "b"), Some(RW));
}

#[test]
fn topics_that_a_registration_does_not_name_stay_unless_the_rule_deletes_them() {
    for delete_absent_topics in [false, true] {
        for static_topics in [false, true] {
            let mut t = Table::with(Rules { delete_absent_topics, ..Rules::default() });
            t.put(&member(0, &["T", "U"]));
            let mut part = member(0, &["U"]);
            if static_topics {
                part.mappings = vec![TopicQueueMappingInfo {
                    bname: "b".into(),
                    topic: "S".into(),
                    ..TopicQueueMappingInfo::default()
                }];
            }
            t.put(&part);
            assert_eq!(t.queues("T", "b").is_some(), !delete_absent_topics || static_topics);
            assert_eq!(t.queues("U", "b"), Some(RW));
        }
    }
}

#[test]
fn a_table_that_comes_in_several_registrations_is_merged() {
    let mut t = Table::default();
    t.put(&member(0, &["A", "B"]));
    t.put(&member(0, &["C", "D"]));
    t.put(&member(0, &["E"]));
    assert_eq!(t.routes.topics(), ["A", "B", "C", "D", "E"]);
}

#[test]
fn an_address_has_one_id_so_a_slave_that_becomes_master_leaves_its_old_id() {
    let mut t = Table::default();
    t.put(&member(1, &[]));
    let promoted = Registration { id: 0, ..member(1, &["T", "U"]) };
    t.put(&promoted);
    assert_eq!(t.addrs("b"), [(0, "10.0.0.1:10911".to_owned())]);
}

#[test]
fn a_second_holder_of_an_id_is_ignored_only_when_the_first_has_a_newer_state() {
    for (old_state, new_state, alive) in
        (0..3).flat_map(|old| (0..3).flat_map(move |new| [(old, new, true), (old, new, false)]))
    {
        let mut t = Table::default();
        let state = |state_version| DataVersion { state_version, ..V1 };
        t.put(&Registration { version: state(old_state), ..member(0, &["T", "U"]) });
        if !alive {
            t.routes.live.clear();
        }
        let rival = Registration { addr: "10.9.9.9:10911", version: state(new_state), ..member(0, &["T", "U"]) };
        t.put(&rival);
        let ignored = alive && old_state > new_state;
        let holder = if ignored { "10.0.0.0:10911" } else { "10.9.9.9:10911" };
        assert_eq!(t.addrs("b"), [(0, holder.to_owned())], "{old_state} {new_state} {alive}");
        assert_eq!(t.actions.iter().any(|action| matches!(action, Action::Superseded { .. })), ignored);
        assert_eq!(t.routes.live.contains_key(&("c".to_owned(), "10.9.9.9:10911".to_owned())), !ignored);
    }
}

#[test]
fn a_slave_is_told_its_living_master_and_a_master_nothing() {
    let mut t = Table::default();
    assert_eq!(t.put(&member(0, &["T", "U"])), Registered::default());
    let told = Registered { master_addr: Some("10.0.0.0:10911".into()), ha_addr: Some("ha".into()) };
    assert_eq!(t.put(&member(1, &[])), told);
    t.routes.live.remove(&("c".to_owned(), "10.0.0.0:10911".to_owned()));
    assert_eq!(t.put(&member(1, &[])), Registered::default());
}

#[test]
fn acting_master_and_zone_are_those_of_whoever_registered_last() {
    let mut t = Table::default();
    t.put(&Registration { acting_master: Some(true), zone: Some("z"), ..member(0, &["T", "U"]) });
    assert_eq!((t.routes.brokers()["b"].acting_master, t.routes.brokers()["b"].zone.as_deref()), (true, Some("z")));
    t.put(&member(1, &[]));
    assert_eq!((t.routes.brokers()["b"].acting_master, t.routes.brokers()["b"].zone.as_deref()), (false, None));
}

#[test]
fn a_broker_name_keeps_the_cluster_of_its_first_registration_and_is_listed_in_both() {
    let mut t = Table::default();
    t.put(&member(0, &["T", "U"]));
    t.put(&Registration { cluster: "other", ..member(0, &["T", "U"]) });
    assert_eq!(t.routes.brokers()["b"].cluster, "c");
    assert_eq!(t.routes.clusters().keys().collect::<Vec<_>>(), ["c", "other"]);
    t.routes.unregister(
        &Identity { cluster: "other", broker: "b", addr: "10.0.0.0:10911", id: 0 },
        t.rules,
        &mut t.actions,
    );
    assert!(t.routes.brokers().is_empty() && t.routes.clusters().is_empty());
}

#[test]
fn filter_servers_are_kept_replaced_or_removed() {
    let mut t = Table::default();
    let with = |servers: Option<&[&str]>| Registration {
        filter_servers: servers.map(|servers| servers.iter().map(|server| (*server).to_owned()).collect()),
        ..member(0, &["T", "U"])
    };
    t.put(&with(Some(&["f:1"])));
    assert_eq!(t.route("T").unwrap().filter_servers["10.0.0.0:10911"], ["f:1"]);
    t.put(&with(None));
    assert_eq!(t.route("T").unwrap().filter_servers["10.0.0.0:10911"], ["f:1"]);
    t.put(&with(Some(&[])));
    assert!(t.route("T").unwrap().filter_servers.is_empty());
}

#[test]
fn unregistering_removes_by_address_and_the_last_member_takes_name_cluster_and_topics_along() {
    let mut t = Table::default();
    t.put(&member(0, &["T", "U"]));
    t.put(&member(1, &[]));
    t.put(&Registration { broker: "other", cluster: "c", addr: "10.8.8.8:10911", ..member(0, &["U", "V"]) });
    // The id is wrong; the address decides.
    let gone = |id, addr| Identity { cluster: "c", broker: "b", addr, id };
    t.routes.unregister(&gone(0, "10.0.0.1:10911"), t.rules, &mut t.actions);
    assert_eq!(t.addrs("b"), [(0, "10.0.0.0:10911".to_owned())]);
    assert_eq!(t.routes.topics(), ["T", "U", "V"]);
    t.routes.unregister(&gone(0, "10.0.0.0:10911"), t.rules, &mut t.actions);
    assert_eq!(t.routes.topics(), ["U", "V"]);
    assert_eq!(t.routes.clusters()["c"].iter().collect::<Vec<_>>(), ["other"]);
    let before = (t.routes.generation(), t.actions.len());
    t.routes.unregister(&gone(7, "nobody:1"), t.rules, &mut t.actions);
    assert_eq!((t.routes.generation(), t.actions.len()), before, "an unknown broker changes nothing");
}

#[test]
fn without_a_master_a_name_with_acting_master_loses_write_and_others_do_not() {
    for acting_master in [None, Some(false), Some(true)] {
        for lost in [0, 1] {
            let mut t = Table::default();
            for id in [0, 1] {
                t.put(&Registration { acting_master, ..member(id, &["T", "U"]) });
            }
            let addr = if lost == 0 { "10.0.0.0:10911" } else { "10.0.0.1:10911" };
            t.routes.unregister(&Identity { cluster: "c", broker: "b", addr, id: lost }, t.rules, &mut t.actions);
            let wiped = acting_master == Some(true) && lost == 0;
            assert_eq!(t.queues("T", "b").unwrap().perm, if wiped { 4 } else { 6 }, "{acting_master:?} lost {lost}");
        }
    }
}

#[test]
fn heartbeat_and_version_query_refresh_a_living_broker_and_never_make_one() {
    let mut t = Table::default();
    t.routes.heartbeat(START, "c", "10.0.0.0:10911");
    assert_eq!(t.routes.query_version(START, "c", "10.0.0.0:10911", Some(V1)), (true, None));
    assert!(t.routes.live.is_empty());
    t.put(&member(0, &["T", "U"]));
    assert_eq!(t.routes.query_version(START + MINUTE, "c", "10.0.0.0:10911", Some(V1)), (false, Some(V1)));
    assert_eq!(t.routes.query_version(START + MINUTE, "c", "10.0.0.0:10911", Some(V2)), (true, Some(V1)));
    assert_eq!(t.routes.query_version(START + MINUTE, "c", "10.0.0.0:10911", None), (true, Some(V1)));
    let state = Some(DataVersion { state_version: 1, ..V1 });
    assert_eq!(t.routes.query_version(START + MINUTE, "c", "10.0.0.0:10911", state), (true, Some(V1)));
    assert_eq!(t.routes.query_version(START + MINUTE, "x", "10.0.0.0:10911", Some(V1)), (true, None));
    t.routes.heartbeat(START + 2 * MINUTE, "c", "10.0.0.0:10911");
    for now in (START + 2 * MINUTE..START + 4 * MINUTE).step_by(5_000) {
        t.expire(now);
    }
    assert_eq!(t.addrs("b").len(), 1, "the beat at two minutes counts for two more");
    t.expire(START + 4 * MINUTE + 1);
    assert!(t.addrs("b").is_empty());
}

#[test]
fn a_broker_expires_one_millisecond_after_its_own_timeout() {
    for (timeout_ms, limit) in [(None, 120_000), (Some(10_000), 10_000), (Some(1), 1)] {
        let mut t = Table::default();
        t.put(&Registration { timeout_ms, ..member(0, &["T", "U"]) });
        for now in (START..START + limit).step_by(5_000) {
            t.expire(now);
        }
        t.expire(START + limit);
        assert_eq!(t.addrs("b").len(), 1, "{timeout_ms:?}");
        t.expire(START + limit + 1);
        assert!(t.addrs("b").is_empty(), "{timeout_ms:?}");
        assert!(t.actions.contains(&Action::Close(conn(0))));
        assert!(t.actions.contains(&Action::Gone {
            broker: "b".into(),
            addr: "10.0.0.0:10911".into(),
            why: Gone::Silent(limit + 1)
        }));
        assert_eq!(t.route("T"), Err(Miss::UnknownTopic { brokers: 0, similar: None }));
    }
}

#[test]
fn a_pause_of_the_name_server_or_a_clock_that_jumps_throws_nobody_out() {
    let mut t = Table::default();
    t.put(&member(0, &["T", "U"]));
    t.expire(START + 100_000);
    t.expire(START + 60 * MINUTE);
    assert_eq!(t.addrs("b").len(), 1, "an hour of pause is not the broker's silence");
    // Set back: the broker's last beat is never in the future, so it still expires in time.
    t.expire(START);
    for now in (START..=START + 121_000).step_by(5_000) {
        t.expire(now);
    }
    t.expire(START + 121_000);
    assert!(t.addrs("b").is_empty());
}

#[test]
fn the_loss_of_a_connection_takes_the_brokers_whose_last_registration_came_through_it() {
    let mut t = Table::default();
    t.at(START, 1, &member(0, &["T", "U"])).unwrap();
    t.at(START, 1, &Registration { broker: "other", addr: "10.7.7.7:1", ..member(0, &["T", "U"]) }).unwrap();
    t.at(START, 2, &member(1, &[])).unwrap();
    // It came back over another connection before the old one was seen to close.
    t.at(START, 3, &member(0, &["T", "U"])).unwrap();
    t.routes.connection_lost(conn(1), t.rules, &mut t.actions);
    assert_eq!(t.addrs("b").len(), 2);
    assert!(t.addrs("other").is_empty());
    t.routes.connection_lost(conn(99), t.rules, &mut t.actions);
    t.routes.connection_lost(conn(3), t.rules, &mut t.actions);
    assert_eq!(t.addrs("b"), [(1, "10.0.0.1:10911".to_owned())]);
    // 322 and 904 do not move a broker to another connection: they do not even name one.
    let reused = ConnId { generation: 2, ..conn(2) };
    t.routes.connection_lost(reused, t.rules, &mut t.actions);
    assert_eq!(t.addrs("b").len(), 1, "a reused slot is another connection");
}

#[test]
fn register_topic_takes_what_is_in_front_of_the_first_unknown_broker_and_a_new_topic_whole_or_not() {
    let queue = |broker: &str| (broker.to_owned(), OLD);
    // (topic known, queue data in the request, queue data afterwards)
    let rows: [(bool, &[&str], &[&str]); 7] = [
        (false, &[], &[]),
        (false, &["a"], &["a"]),
        (false, &["a", "b"], &["a", "b"]),
        (false, &["a", "x"], &[]),
        (true, &["a", "x", "c"], &["a", "b"]),
        (true, &["x", "a"], &["b"]),
        (true, &["a", "c"], &["a", "b", "c"]),
    ];
    for (known, sent, after) in rows {
        let mut t = Table::default();
        for broker in ["a", "b", "c"] {
            t.put(&Registration { broker, ..member(0, &[]) });
        }
        if known {
            t.routes.register_topic("T", &[queue("b")]);
        }
        let sent: Vec<_> = sent.iter().map(|broker| queue(broker)).collect();
        t.routes.register_topic("T", &sent);
        let got: Vec<String> = t.route("T").map(|route| route.queues.into_keys().collect()).unwrap_or_default();
        assert_eq!(got, after, "known {known}, sent {sent:?}");
    }
}

#[test]
fn deleting_a_topic_everywhere_or_in_one_cluster_and_it_returns_with_the_next_registration() {
    // (cluster in the request, brokers that still have it)
    let rows: [(Option<&str>, &[&str]); 5] =
        [(None, &[]), (Some(""), &[]), (Some("c"), &["d"]), (Some("e"), &["b"]), (Some("nowhere"), &["b", "d"])];
    for (cluster, after) in rows {
        let mut t = Table::default();
        let other = Registration { cluster: "e", broker: "d", addr: "10.6.6.6:1", ..member(0, &["T", "U"]) };
        t.put(&member(0, &["T", "U"]));
        t.put(&other);
        t.routes.delete_topic("T", cluster);
        let left: Vec<String> = t.route("T").map(|route| route.queues.into_keys().collect()).unwrap_or_default();
        assert_eq!(left, after, "{cluster:?}");
        t.put(&member(0, &["T", "U"]));
        t.put(&other);
        assert_eq!(t.route("T").unwrap().queues.len(), 2, "an unchanged registration brings it back");
    }
}

#[test]
fn wiped_write_permission_lasts_until_the_topics_are_applied_again() {
    let mut t = Table::default();
    t.put(&member(0, &["T", "U"]));
    assert_eq!(t.routes.wipe_write_perm("nobody"), 0);
    assert_eq!(t.routes.wipe_write_perm("b"), 2);
    assert_eq!(t.routes.wipe_write_perm("b"), 2);
    assert_eq!(t.queues("T", "b").unwrap().perm, 4);
    t.put(&member(0, &["T", "U"]));
    assert_eq!(t.queues("T", "b").unwrap().perm, 4, "an unchanged registration does not undo it");
    t.put(&Registration { version: V2, ..member(0, &["T", "U"]) });
    assert_eq!(t.queues("T", "b").unwrap().perm, 6);
    t.put(&Registration { topics: vec![("T", Queues { perm: 7, ..RW }), ("U", RW)], ..member(0, &[]) });
    assert_eq!(t.routes.add_write_perm("b"), 2);
    assert_eq!(t.queues("T", "b").unwrap().perm, 6, "inherit is lost, as in Java");
}

#[test]
fn an_acting_master_is_shown_exactly_when_the_table_says_so() {
    for number in 0..32 {
        let bit = |place: u32| number & (1 << place) != 0;
        let (supported, acting, with_master, writable, sync_topic) = (bit(0), bit(1), bit(2), bit(3), bit(4));
        let topic = if sync_topic { "rmq_sys_SYNC_BROKER_MEMBER_b" } else { "T" };
        let mut t = Table::with(Rules { acting_master: supported, ..Rules::default() });
        let header = Some(acting);
        if with_master {
            t.put(&Registration { acting_master: header, ..member(0, &[]) });
        }
        t.put(&Registration { acting_master: header, ..member(2, &[]) });
        t.put(&Registration { acting_master: header, ..member(1, &[]) });
        t.routes.register_topic(topic, &[("b".into(), Queues { perm: if writable { 6 } else { 4 }, ..RW })]);
        let ids: Vec<i64> = t.route(topic).unwrap().brokers["b"].addrs.keys().copied().collect();
        let shown = supported && acting && !with_master && !writable && !sync_topic;
        let plain: &[i64] = if with_master { &[0, 1, 2] } else { &[1, 2] };
        assert_eq!(ids, if shown { &[0, 2] } else { plain }, "row {number:05b}");
    }
}

#[test]
fn a_zone_keeps_its_own_brokers_and_those_without_a_master() {
    let mut t = Table::default();
    let brokers = [("own", Some("Z"), 0), ("other", Some("y"), 0), ("none", None, 0), ("headless", Some("y"), 1)];
    for (broker, zone, id) in brokers {
        let addr = match broker {
            "own" => "1:1",
            "other" => "2:1",
            "none" => "3:1",
            _ => "4:1",
        };
        let servers = Some(vec![format!("filter-of-{broker}")]);
        let acting_master = Some(false);
        t.put(&Registration { broker, zone, addr, acting_master, filter_servers: servers, ..member(id, &["T", "U"]) });
    }
    let names = |route: Route| {
        assert_eq!(route.queues.keys().collect::<Vec<_>>(), route.brokers.keys().collect::<Vec<_>>());
        assert_eq!(route.filter_servers.len(), route.brokers.len());
        route.brokers.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(t.routes.route("T", None, t.rules).unwrap()), ["headless", "none", "other", "own"]);
    assert_eq!(names(t.routes.route("T", Some("z"), t.rules).unwrap()), ["headless", "own"]);
    assert_eq!(names(t.routes.route("T", Some("nowhere"), t.rules).unwrap()), ["headless"]);
}

#[test]
fn members_are_told_of_a_new_lowest_id_as_java_tells_them() {
    let mut t = Table::with(ACTING);
    let with = |id| Registration { acting_master: Some(true), ..member(id, &["T", "U"]) };
    t.put(&with(2));
    assert_eq!(t.notices(), [], "the first one changes nothing for anybody");
    t.put(&with(1));
    let notice =
        |to: &[&str], min_id, min_addr: &str, offline: Option<&str>, ha: Option<&str>| Action::LowestIdChanged {
            to: to.iter().map(|addr| (*addr).to_owned()).collect(),
            min_id,
            min_addr: min_addr.to_owned(),
            offline_addr: offline.map(str::to_owned),
            ha_addr: ha.map(str::to_owned),
        };
    assert_eq!(t.notices(), [notice(&["10.0.0.2:10911"], 1, "10.0.0.1:10911", None, Some("ha"))]);
    t.put(&with(0));
    let others = ["10.0.0.1:10911", "10.0.0.2:10911"];
    assert_eq!(t.notices(), [notice(&others, 0, "10.0.0.0:10911", None, Some("ha"))]);
    t.routes.connection_lost(conn(0), t.rules, &mut t.actions);
    assert_eq!(t.notices(), [notice(&others, 1, "10.0.0.1:10911", Some("10.0.0.0:10911"), None)]);
    t.routes.connection_lost(conn(2), t.rules, &mut t.actions);
    assert_eq!(t.notices(), [], "it was not the lowest");
    t.rules.notify_lowest_id = false;
    t.put(&with(0));
    assert_eq!(t.notices(), []);
    // Alone under a lower id than before: it is told itself.
    t.rules.notify_lowest_id = true;
    t.routes.connection_lost(conn(0), t.rules, &mut t.actions);
    t.notices();
    t.put(&Registration { addr: "10.0.0.1:10911", ..with(0) });
    assert_eq!(t.notices(), [notice(&["10.0.0.1:10911"], 0, "10.0.0.1:10911", None, Some("ha"))]);
}

#[test]
fn a_miss_says_why() {
    let mut t = Table::default();
    assert_eq!(t.route("T"), Err(Miss::UnknownTopic { brokers: 0, similar: None }));
    t.put(&member(0, &["Orders", "U"]));
    assert_eq!(t.route("orders "), Err(Miss::UnknownTopic { brokers: 1, similar: Some("Orders".into()) }));
    t.routes.brokers.clear();
    assert_eq!(t.route("Orders"), Err(Miss::NoBroker { names: vec!["b".into()] }));
}

#[test]
fn lists_come_in_the_order_of_names() {
    let mut t = Table::default();
    let flags = |flag| Queues { topic_sys_flag: flag, ..RW };
    let topics = vec![("z", flags(0)), ("unit", flags(1)), ("both", flags(3)), ("a", flags(2))];
    t.put(&Registration { topics, ..member(0, &[]) });
    t.put(&Registration { cluster: "e", broker: "d", addr: "10.6.6.6:1", ..member(0, &["other", "z"]) });
    assert_eq!(t.routes.topics(), ["a", "both", "other", "unit", "z"]);
    assert_eq!(t.routes.topics_of_cluster("e"), ["other", "z"]);
    assert_eq!(t.routes.topics_of_cluster("nowhere"), Vec::<&str>::new());
    assert_eq!(t.routes.topics_by_unit(Unit::Unit), ["both", "unit"]);
    assert_eq!(t.routes.topics_by_unit(Unit::Subscribed), ["a", "both"]);
    assert_eq!(t.routes.topics_by_unit(Unit::SubscribedOnly), ["a"]);
    assert_eq!(t.routes.system_topics(), (vec!["b", "c", "d", "e"], Some("10.0.0.0:10911")));
    assert_eq!(Routes::default().system_topics(), (vec![], None));
}

#[test]
fn an_answer_may_be_kept_while_the_generation_stands() {
    let mut t = Table::default();
    t.put(&member(0, &["T", "U"]));
    let generation = t.routes.generation();
    t.put(&member(0, &["T", "U"]));
    t.routes.heartbeat(START + 1, "c", "10.0.0.0:10911");
    t.expire(START + 2);
    assert_eq!(t.routes.generation(), generation, "the registrations of a quiet cluster change nothing");
    t.put(&Registration { version: V2, ..member(0, &["T", "U"]) });
    assert_eq!(t.routes.generation(), generation, "a new version with the same topics neither");
    let mut last = generation;
    let mut moved = |t: &Table, what: &str| {
        assert!(t.routes.generation() > last, "{what}");
        last = t.routes.generation();
    };
    t.put(&Registration { version: V2, ..member(0, &["T", "U", "V"]) });
    moved(&t, "a topic came");
    t.put(&member(1, &[]));
    moved(&t, "a slave came");
    t.put(&Registration { zone: Some("z"), ..member(0, &["T", "U", "V"]) });
    moved(&t, "the zone changed");
    t.put(&Registration { filter_servers: Some(vec!["f".into()]), ..member(0, &["T", "U", "V"]) });
    moved(&t, "a filter server came");
    t.routes.wipe_write_perm("b");
    moved(&t, "permissions changed");
    t.routes.delete_topic("T", None);
    moved(&t, "a topic was deleted");
    t.routes.connection_lost(conn(1), t.rules, &mut t.actions);
    moved(&t, "a slave went");
}

#[test]
fn the_bounds_refuse_with_limit_and_value_and_change_nothing() {
    let mut t = Table::default();
    let long = "t".repeat(NAME_LEN_MAX + 1);
    let refused = |t: &mut Table, new: &Registration<'_>| {
        let refusal = t.at(START, 0, new).unwrap_err();
        assert!(t.routes.brokers().is_empty() && t.routes.topics.is_empty());
        refusal.to_string()
    };
    let text = refused(&mut t, &Registration { topics: vec![(&long, RW), ("U", RW)], ..member(0, &[]) });
    assert_eq!(text, "register broker failed: bytes of a name would be 1025, more than the limit of 1024");
    refused(&mut t, &Registration { broker: &long, ..member(0, &[]) });
    refused(&mut t, &Registration { addr: &long, ..member(0, &[]) });
    refused(&mut t, &Registration { cluster: &long, ..member(0, &[]) });
    let servers = Some(vec![String::new(); FILTER_SERVERS_MAX + 1]);
    refused(&mut t, &Registration { filter_servers: servers, ..member(0, &[]) });
    let names: Vec<String> = (0..=TOPICS_MAX).map(|number| number.to_string()).collect();
    let topics: Vec<(&str, Queues)> = names.iter().map(|name| (name.as_str(), RW)).collect();
    refused(&mut t, &Registration { topics: topics.clone(), ..member(0, &[]) });
    t.put(&Registration { topics: topics[1..].to_vec(), ..member(0, &[]) });
    assert!(t.at(START, 0, &member(0, &["one-more"])).is_err());
    t.routes.register_topic("one-more", &[("b".to_owned(), RW)]);
    assert_eq!(t.routes.topics.len(), TOPICS_MAX);
}
