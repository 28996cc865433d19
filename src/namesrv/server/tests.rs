//! The name server over loopback sockets, request by request as brokers and clients send them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::*;
use crate::base::disk::RealDisk;
use crate::net::control::ControlRuntime;
use crate::wire::body::{DataVersion, RegisterBrokerBody, TopicConfig};
use crate::wire::codes::request::*;
use crate::wire::command::FLAG_ONEWAY;

const PATIENCE: Duration = Duration::from_secs(20);
const V4_9_3: i32 = 399;
const V4_9_4: i32 = 401;
const V5_3_3: i32 = 479;

struct Fixture {
    running: Option<Running<Infallible>>,
    shared: Arc<Shared>,
    _control: ControlRuntime,
    folder: PathBuf,
}

struct Peer(TcpStream);

struct Got {
    code: i64,
    remark: String,
    ext: Json,
    body: String,
}

impl Fixture {
    fn start(name: &str, change: impl FnOnce(&mut Config)) -> Fixture {
        let folder = std::env::temp_dir().join(format!("rocketmq-namesrv-{}-{name}", std::process::id()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let mut config = Config::in_folder(&folder);
        config.listen = "127.0.0.1:0".parse().unwrap();
        change(&mut config);
        let control = ControlRuntime::start().unwrap();
        let bound = NameServer::open(config, Arc::new(RealDisk)).unwrap().bind().unwrap();
        let shared = bound.shared.clone();
        let running = Some(bound.run(Clock::System, control.control()).unwrap());
        Fixture { running, shared, _control: control, folder }
    }

    fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.running.as_ref().unwrap().addrs()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer(stream)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.running.take().unwrap().shutdown(Duration::from_secs(5));
        std::fs::remove_dir_all(&self.folder).unwrap_or(());
    }
}

impl Peer {
    fn send(&mut self, code: i32, version: i32, flag: i32, ext: Json, body: &[u8]) {
        let header = json!({"code": code, "language": "JAVA", "version": version, "opaque": 7, "flag": flag,
            "extFields": ext});
        let header = header.to_string().into_bytes();
        let mut frame = Vec::new();
        frame.extend(((4 + header.len() + body.len()) as u32).to_be_bytes());
        frame.extend((header.len() as u32).to_be_bytes());
        frame.extend(header);
        frame.extend(body);
        self.0.write_all(&frame).unwrap();
    }

    fn receive(&mut self) -> Got {
        let mut word = [0; 4];
        self.0.read_exact(&mut word).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(word) as usize];
        self.0.read_exact(&mut frame).unwrap();
        let header_len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize & 0xff_ffff;
        let (header, body) = frame[4..].split_at(header_len);
        let header: Json = serde_json::from_slice(header).unwrap();
        assert_eq!(header["opaque"], 7);
        Got {
            code: header["code"].as_i64().unwrap(),
            remark: header["remark"].as_str().unwrap_or_default().to_owned(),
            ext: header["extFields"].clone(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn ask(&mut self, code: i32, version: i32, ext: Json, body: &[u8]) -> Got {
        self.send(code, version, 0, ext, body);
        self.receive()
    }

    fn route(&mut self, topic: &str) -> Got {
        self.ask(GET_ROUTEINFO_BY_TOPIC, V5_3_3, json!({"topic": topic}), b"")
    }

    fn register(&mut self, id: i64, topics: &[&str]) -> Got {
        self.ask(REGISTER_BROKER, V5_3_3, header(id), &topic_table(topics))
    }
}

fn header(id: i64) -> Json {
    json!({"brokerName": "b", "brokerAddr": format!("127.0.0.1:{}", 10911 + 10 * id), "clusterName": "c",
        "haServerAddr": format!("127.0.0.1:{}", 10912 + 10 * id), "brokerId": id.to_string(), "compressed": "false",
        "bodyCrc32": "0"})
}

fn table(topics: &[&str]) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion { counter: 1, state_version: 0, timestamp: 2 };
    for topic in topics {
        let config = TopicConfig {
            topic_name: (*topic).to_owned(),
            read_queue_nums: 4,
            write_queue_nums: 4,
            ..TopicConfig::default()
        };
        wrapper.topic_config_table.insert((*topic).to_owned(), config);
    }
    body
}

fn topic_table(topics: &[&str]) -> Vec<u8> {
    table(topics).to_json()
}

/// Asks for the route until `wanted` likes the answer.
fn route_until(peer: &mut Peer, topic: &str, wanted: impl Fn(&Got) -> bool) -> Got {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = peer.route(topic);
        if wanted(&got) {
            return got;
        }
        assert!(Instant::now() < deadline, "last answer: {} {} {}", got.code, got.remark, got.body);
    }
}

#[test]
fn a_route_has_the_bytes_of_java_in_both_forms() {
    let fixture = Fixture::start("forms", |_| {});
    let mut peer = fixture.connect();
    assert_eq!(peer.register(0, &["T", "U"]).code, 0);
    let slave = peer.register(1, &[]);
    assert_eq!(slave.ext, json!({"masterAddr": "127.0.0.1:10911", "haServerAddr": "127.0.0.1:10912"}));
    let form = |zero: &str, one: &str| {
        format!(
            "{{\"brokerDatas\":[{{\"brokerAddrs\":{{{zero}:\"127.0.0.1:10911\",{one}:\"127.0.0.1:10921\"}},\
             \"brokerName\":\"b\",\"cluster\":\"c\",\"enableActingMaster\":false}}],\"filterServerTable\":{{}},\
             \"queueDatas\":[{{\"brokerName\":\"b\",\"perm\":6,\"readQueueNums\":4,\"topicSysFlag\":0,\
             \"writeQueueNums\":4}}]}}"
        )
    };
    let (unquoted, quoted) = (form("0", "1"), form("\"0\"", "\"1\""));
    let topic = json!({"topic": "T"});
    let asked_for = json!({"topic": "T", "acceptStandardJsonOnly": "true"});
    let zone = json!({"topic": "T", "__ZONE_MODE": "true", "__ZONE_NAME": "z"});
    // Twice each: the second answer is one that was kept.
    for _ in 0..2 {
        assert_eq!(peer.ask(GET_ROUTEINFO_BY_TOPIC, V4_9_3, topic.clone(), b"").body, unquoted);
        assert_eq!(peer.ask(GET_ROUTEINFO_BY_TOPIC, V4_9_4, topic.clone(), b"").body, quoted);
        assert_eq!(peer.ask(GET_ROUTEINFO_BY_TOPIC, V4_9_3, asked_for.clone(), b"").body, quoted);
        let empty = r#"{"brokerDatas":[],"filterServerTable":{},"queueDatas":[]}"#;
        assert_eq!(peer.ask(GET_ROUTEINFO_BY_TOPIC, V5_3_3, zone.clone(), b"").body, empty);
    }
    let cluster = peer.ask(GET_BROKER_CLUSTER_INFO, V5_3_3, json!({}), b"").body;
    assert_eq!(
        cluster,
        "{\"brokerAddrTable\":{\"b\":{\"brokerAddrs\":{0:\"127.0.0.1:10911\",1:\"127.0.0.1:10921\"},\
         \"brokerName\":\"b\",\"cluster\":\"c\",\"enableActingMaster\":false}},\"clusterAddrTable\":{\"c\":[\"b\"]}}"
    );
    let group = peer.ask(GET_BROKER_MEMBER_GROUP, V5_3_3, json!({"clusterName": "any", "brokerName": "b"}), b"").body;
    assert_eq!(
        group,
        "{\"brokerMemberGroup\":{\"brokerAddrs\":{0:\"127.0.0.1:10911\",1:\"127.0.0.1:10921\"},\
         \"brokerName\":\"b\",\"cluster\":\"any\"}}"
    );
    let nobody = peer.ask(GET_BROKER_MEMBER_GROUP, V5_3_3, json!({"clusterName": "c", "brokerName": "x"}), b"").body;
    assert_eq!(nobody, r#"{"brokerMemberGroup":{"brokerAddrs":{},"brokerName":"x","cluster":"c"}}"#);
}

#[test]
fn a_miss_is_code_17_with_javas_first_sentence_and_the_reason() {
    let fixture = Fixture::start("miss", |_| {});
    let mut peer = fixture.connect();
    let first = "No topic route info in name server for the topic: t\nSee https://";
    let got = peer.route("t");
    assert_eq!(got.code, 17);
    assert!(got.remark.starts_with(first) && got.remark.contains("No broker is registered here"), "{}", got.remark);
    peer.register(0, &["T", "U"]);
    assert!(peer.route("t").remark.ends_with("Did you mean \"T\"?"));
    assert!(peer.route("other").remark.contains("None of the 1 registered brokers has the topic"));
}

#[test]
fn registrations_come_plain_compressed_bare_or_broken() {
    let fixture = Fixture::start("bodies", |_| {});
    let mut peer = fixture.connect();
    let packed = table(&["P", "Q"]).to_compressed(V5_3_3).unwrap();
    let mut checked = header(0);
    checked["bodyCrc32"] = json!(RegisterBrokerBody::crc32(&packed).to_string());
    assert_eq!(peer.ask(REGISTER_BROKER, V5_3_3, checked.clone(), &packed).code, 0);
    assert_eq!(peer.route("P").code, 0);
    let wrong = peer.ask(REGISTER_BROKER, V5_3_3, checked, &topic_table(&["X", "Y"]));
    assert_eq!((wrong.code, wrong.remark.as_str()), (1, "crc32 not match"));
    let bare = table(&["A", "B"]).topic_config_serialize_wrapper.to_json();
    assert_eq!(peer.ask(REGISTER_BROKER, 36, header(1), &bare).code, 0);
    assert_eq!(peer.ask(REGISTER_BROKER, V5_3_3, header(2), b"").code, 0);
    for broken in [&b"{"[..], b"[]", b"\x78\xda\x00", b"nonsense", b"{\"topicConfigSerializeWrapper\":7}"] {
        let got = peer.ask(REGISTER_BROKER, V5_3_3, header(0), broken);
        assert!(got.code == 1 && !got.remark.is_empty(), "{broken:?}");
    }
    let single = peer.ask(REGISTER_BROKER, V5_3_3, header(3), &topic_table(&["S"]));
    assert!(single.code == 1 && single.remark.starts_with("register broker failed"), "{}", single.remark);
    for field in ["brokerName", "brokerAddr", "clusterName"] {
        let mut short = header(0);
        short.as_object_mut().unwrap().remove(field);
        let got = peer.ask(REGISTER_BROKER, V5_3_3, short, b"");
        assert!(got.code == 1 && got.remark.contains(field), "{}", got.remark);
    }
    assert_eq!(peer.route("P").code, 0, "nothing of this closed the connection");
}

#[test]
fn oneway_requests_are_applied_and_not_answered() {
    let fixture = Fixture::start("oneway", |_| {});
    let mut peer = fixture.connect();
    peer.send(REGISTER_BROKER, V5_3_3, FLAG_ONEWAY, header(0), &topic_table(&["T", "U"]));
    peer.send(QUERY_DATA_VERSION, V5_3_3, FLAG_ONEWAY, header(0), b"{}");
    peer.send(BROKER_HEARTBEAT, V5_3_3, FLAG_ONEWAY, header(0), b"");
    peer.send(9_999, V5_3_3, FLAG_ONEWAY, json!({}), b"");
    let got = peer.route("T");
    assert_eq!(got.code, 0);
    assert!(got.body.contains("127.0.0.1:10911"));
    peer.send(UNREGISTER_BROKER, V5_3_3, FLAG_ONEWAY, header(0), b"");
    assert_eq!(peer.route("T").code, 17);
}

#[test]
fn a_broker_goes_with_its_connection_and_comes_back_with_the_next_registration() {
    let fixture = Fixture::start("loss", |config| config.loops = 2);
    let (mut asking, mut broker) = (fixture.connect(), fixture.connect());
    broker.register(0, &["T", "U"]);
    assert_eq!(asking.route("T").code, 0);
    drop(broker);
    route_until(&mut asking, "T", |got| got.code == 17);
    let mut broker = fixture.connect();
    broker.register(0, &["T", "U"]);
    assert_eq!(asking.route("T").code, 0);
}

#[test]
fn nobody_overtakes_a_long_registration_and_who_only_asks_does_not_wait_for_it() {
    let fixture = Fixture::start("line", |_| {});
    let (mut asking, mut broker, mut gone) = (fixture.connect(), fixture.connect(), fixture.connect());
    let names: Vec<String> = (0..200).map(|number| format!("T{number}")).collect();
    let long = topic_table(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(long.len() > READ_ON_LOOP_MAX);
    assert_eq!(broker.ask(REGISTER_BROKER, V5_3_3, header(0), &long).code, 0);
    let before = fixture.running.as_ref().unwrap().counts();
    // As if it took its time.
    let turn = fixture.shared.line.free().unwrap();
    broker.send(REGISTER_BROKER, V5_3_3, 0, header(0), &long);
    broker.send(UNREGISTER_BROKER, V5_3_3, 0, header(0), b"");
    gone.send(REGISTER_BROKER, V5_3_3, FLAG_ONEWAY, header(1), &topic_table(&["U", "V"]));
    drop(gone);
    let deadline = Instant::now() + PATIENCE;
    let mut asked = 0;
    loop {
        assert_eq!(asking.route("T7").code, 0, "what waits has changed nothing");
        asked += 1;
        let now = fixture.running.as_ref().unwrap().counts();
        if now.connections == before.connections - 1 && now.frames >= before.frames + 3 + asked {
            break;
        }
        assert!(Instant::now() < deadline, "{now:?}");
    }
    drop(turn);
    assert_eq!((broker.receive().code, broker.receive().code), (0, 0));
    // Unregistered behind its registration, and the other one gone behind its own.
    let got = route_until(&mut asking, "T7", |got| got.code == 17);
    assert!(got.remark.contains("No broker is registered here"), "{}", got.remark);
    assert!(fixture.shared.line.free().is_some());
}

#[test]
fn a_silent_broker_expires_by_the_timer_and_its_connection_is_closed() {
    let fixture = Fixture::start("silent", |config| config.scan_not_active_broker_interval_ms = 100);
    let (mut asking, mut broker) = (fixture.connect(), fixture.connect());
    let mut impatient = header(0);
    impatient["heartbeatTimeoutMillis"] = json!("300");
    assert_eq!(broker.ask(REGISTER_BROKER, V5_3_3, impatient, &topic_table(&["T", "U"])).code, 0);
    assert_eq!(asking.route("T").code, 0);
    route_until(&mut asking, "T", |got| got.code == 17);
    assert_eq!(broker.0.read(&mut [0; 1]).unwrap(), 0, "the end of the stream");
}

#[test]
fn version_queries_and_topic_registrations_follow_the_table() {
    let fixture = Fixture::start("versions", |_| {});
    let mut peer = fixture.connect();
    let version = br#"{"counter":1,"stateVersion":0,"timestamp":2}"#;
    let unknown = peer.ask(QUERY_DATA_VERSION, V5_3_3, header(0), version);
    assert_eq!((unknown.code, &unknown.ext["changed"], unknown.body.as_str()), (0, &json!("true"), ""));
    peer.register(0, &["T", "U"]);
    let same = peer.ask(QUERY_DATA_VERSION, V5_3_3, header(0), br#"{"counter":1,"timestamp":2}"#);
    assert_eq!(same.ext["changed"], "false");
    assert_eq!(same.body.as_bytes(), version);
    assert_eq!(peer.ask(QUERY_DATA_VERSION, V5_3_3, header(0), b"").ext["changed"], "true");
    let queues = br#"{"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":2,"writeQueueNums":3}]}"#;
    assert_eq!(peer.ask(REGISTER_TOPIC_IN_NAMESRV, V5_3_3, json!({"topic": "N"}), queues).code, 0);
    assert!(peer.route("N").body.contains("\"writeQueueNums\":3"));
    assert_eq!(peer.ask(DELETE_TOPIC_IN_NAMESRV, V5_3_3, json!({"topic": "N"}), b"").code, 0);
    assert_eq!(peer.route("N").code, 17);
}

#[test]
fn lists_permissions_and_what_can_be_switched_off() {
    let fixture = Fixture::start("lists", |_| {});
    let mut peer = fixture.connect();
    peer.register(0, &["T", "U"]);
    let list = |peer: &mut Peer, code, ext| peer.ask(code, V5_3_3, ext, b"");
    assert_eq!(list(&mut peer, GET_ALL_TOPIC_LIST_FROM_NAMESERVER, json!({})).body, r#"{"topicList":["T","U"]}"#);
    assert_eq!(list(&mut peer, GET_TOPICS_BY_CLUSTER, json!({"cluster": "c"})).body, r#"{"topicList":["T","U"]}"#);
    assert_eq!(list(&mut peer, GET_TOPICS_BY_CLUSTER, json!({"cluster": "x"})).body, r#"{"topicList":[]}"#);
    assert_eq!(
        list(&mut peer, GET_SYSTEM_TOPIC_LIST_FROM_NS, json!({})).body,
        r#"{"brokerAddr":"127.0.0.1:10911","topicList":["b","c"]}"#
    );
    let units = [GET_UNIT_TOPIC_LIST, GET_HAS_UNIT_SUB_TOPIC_LIST, GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST];
    for code in units {
        assert_eq!(list(&mut peer, code, json!({})).body, r#"{"topicList":[]}"#);
    }
    let wiped = list(&mut peer, WIPE_WRITE_PERM_OF_BROKER, json!({"brokerName": "b"}));
    assert_eq!((wiped.code, &wiped.ext["wipeTopicCount"]), (0, &json!("2")));
    assert!(peer.route("T").body.contains("\"perm\":4"));
    let added = list(&mut peer, ADD_WRITE_PERM_OF_BROKER, json!({"brokerName": "b"}));
    assert_eq!((added.code, &added.ext["addTopicCount"]), (0, &json!("2")));
    assert!(peer.route("T").body.contains("\"perm\":6"));
    let off = b"enableAllTopicList=false\nenableTopicList=false\n";
    assert_eq!(peer.ask(UPDATE_NAMESRV_CONFIG, V5_3_3, json!({}), off).code, 0);
    for code in units.into_iter().chain([GET_ALL_TOPIC_LIST_FROM_NAMESERVER, GET_TOPICS_BY_CLUSTER]) {
        let got = list(&mut peer, code, json!({"cluster": "c"}));
        assert_eq!((got.code, got.remark.as_str()), (1, "disable"));
    }
    assert_eq!(list(&mut peer, GET_SYSTEM_TOPIC_LIST_FROM_NS, json!({})).code, 0);
}

#[test]
fn key_values_are_on_disk_and_ordered_topics_reach_routes_and_brokers() {
    let fixture = Fixture::start("kv", |config| config.order_message_enable = true);
    let mut peer = fixture.connect();
    assert_eq!(peer.register(0, &["T", "U"]).body, "");
    assert!(!peer.route("T").body.contains("orderTopicConf"));
    let order = |key: &str| json!({"namespace": "ORDER_TOPIC_CONFIG", "key": key, "value": "b:4"});
    assert_eq!(peer.ask(PUT_KV_CONFIG, V5_3_3, order("T"), b"").code, 0);
    let file = std::fs::read_to_string(fixture.folder.join("kvConfig.json")).unwrap();
    assert_eq!(file, r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"b:4"}}}"#);
    assert!(peer.route("T").body.contains(r#""orderTopicConf":"b:4""#));
    assert_eq!(peer.register(0, &["T", "U"]).body, r#"{"table":{"T":"b:4"}}"#);
    assert_eq!(peer.ask(GET_KV_CONFIG, V5_3_3, order("T"), b"").ext["value"], "b:4");
    let miss = peer.ask(GET_KV_CONFIG, V5_3_3, order("x"), b"");
    assert_eq!((miss.code, miss.remark.as_str()), (22, "No config item, Namespace: ORDER_TOPIC_CONFIG Key: x"));
    assert_eq!(peer.ask(DELETE_KV_CONFIG, V5_3_3, order("T"), b"").code, 0);
    assert_eq!(peer.ask(GET_KVLIST_BY_NAMESPACE, V5_3_3, order("T"), b"").body, r#"{"table":{}}"#);
    let unknown = peer.ask(GET_KVLIST_BY_NAMESPACE, V5_3_3, json!({"namespace": "x"}), b"");
    assert_eq!((unknown.code, unknown.remark.as_str()), (22, "No config item, Namespace: x"));
    for short in [json!({"namespace": "n"}), json!({"key": "k"}), json!({})] {
        let got = peer.ask(PUT_KV_CONFIG, V5_3_3, short, b"");
        assert_eq!((got.code, got.remark.as_str()), (1, "namespace or key is null"));
    }
}

#[test]
fn settings_are_shown_and_changed_and_paths_never() {
    let fixture = Fixture::start("settings", |_| {});
    let mut peer = fixture.connect();
    peer.register(0, &["T", "U"]);
    let show = |peer: &mut Peer| peer.ask(GET_NAMESRV_CONFIG, V5_3_3, json!({}), b"").body;
    assert!(show(&mut peer).contains("\nneedWaitForService=false\n"));
    let black = peer.ask(UPDATE_NAMESRV_CONFIG, V5_3_3, json!({}), b"needWaitForService=true\nkvConfigPath=/tmp/x\n");
    assert_eq!(black.code, 16);
    assert!(black.remark.starts_with("Can not update config in black list."), "{}", black.remark);
    assert_eq!(peer.route("T").code, 0, "one forbidden key refuses the whole update");
    assert_eq!(peer.ask(UPDATE_NAMESRV_CONFIG, V5_3_3, json!({}), b"").code, 0);
    let bad = peer.ask(UPDATE_NAMESRV_CONFIG, V5_3_3, json!({}), b"a=\\uZ\n");
    assert!(bad.code == 1 && bad.remark.starts_with("string2Properties error"), "{}", bad.remark);
    assert_eq!(peer.ask(UPDATE_NAMESRV_CONFIG, V5_3_3, json!({}), b"needWaitForService=true\n").code, 0);
    assert!(show(&mut peer).contains("\nneedWaitForService=true\n"));
    let early = peer.route("T");
    assert_eq!((early.code, early.remark.as_str()), (1, "name server not ready"));
}

#[test]
fn codes_that_are_not_the_name_servers_get_code_3() {
    let fixture = Fixture::start("unknown", |_| {});
    let mut peer = fixture.connect();
    for code in [10, 11, 47, 905, 9_999] {
        let got = peer.ask(code, V5_3_3, json!({}), b"");
        assert_eq!((got.code, got.remark), (3, format!(" request type {code} not supported")));
    }
}

#[test]
fn an_advertised_address_that_is_not_where_the_broker_comes_from_is_doubted() {
    let doubted = |advertised: &str, source: &str| doubtful_address(advertised, source.parse().unwrap()).is_some();
    assert!(!doubted("10.0.0.1:10911", "10.0.0.1"));
    assert!(!doubted("10.0.0.1:10911", "::ffff:10.0.0.1"));
    assert!(!doubted("10.0.0.1:10911", "127.0.0.1"), "the same machine");
    assert!(!doubted("broker.example:10911", "10.0.0.1"), "a name says nothing");
    assert!(doubted("172.17.0.2:10911", "10.0.0.1"));
    assert!(doubted("127.0.0.1:10911", "10.0.0.1"));
}

#[test]
fn what_a_loop_keeps_is_bounded_and_forgotten_with_its_epoch() {
    let mut kept = Kept { len_max: 1 << 30, ..Kept::default() };
    let asked = std::cell::Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        Answer::default()
    };
    for _ in 0..3 {
        kept.get([1, 0, 0], "T", false, ask);
        kept.get([1, 0, 0], "T", true, ask);
    }
    assert_eq!(asked.get(), 2);
    for epoch in [[2, 0, 0], [2, 1, 0], [2, 1, 1]] {
        kept.get(epoch, "T", false, ask);
    }
    assert_eq!(asked.get(), 5);
    for number in 0..2 * ROUTES_KEPT_MAX {
        kept.get([2, 1, 1], &number.to_string(), false, ask);
        assert!(kept.answers[0].len() <= ROUTES_KEPT_MAX);
    }
}
