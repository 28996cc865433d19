//! Retries, dead letters, delays, order, queries, request and reply, as the published clients do them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clients::{GROUP, QUIET, TOPIC, awake_ms, consume, hears_all, keys, messages, send};
use crate::cluster::{Cluster, admin};
use crate::peers::{Client, Event, PATIENCE, Talk, call, kind, number, of_kind, route, text};

/// Delay levels of one second each, so that sixteen retries take a quarter of a minute; the third is two seconds.
const SHORT_LEVELS: (&str, &str) = ("messageDelayLevel", "1s 1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s");

/// A group whose retry topic exists: clients look for new topics only every 30 seconds, but at their start too.
fn make_group(cluster: &Cluster, client: Client) {
    let first = send(cluster, client, &[("sync", "1")]);
    let mut consumer = consume(cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&first));
    consumer.listen_for(QUIET);
    consumer.finish();
}

/// How often each key was delivered, as the reconsume counts in the order of delivery.
fn attempts(heard: &[Event]) -> BTreeMap<String, Vec<i64>> {
    let mut attempts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in messages(heard) {
        attempts.entry(text(event, "key").to_owned()).or_default().push(number(event, "reconsume"));
    }
    attempts
}

fn a_message_that_fails_comes_back_with_its_id_until_it_succeeds(client: Client) {
    let cluster = Cluster::configured("retry", &[SHORT_LEVELS]);
    make_group(&cluster, client);
    // The C++ client calls its listener for the first of several that fail together, and sends all of them back.
    let count = if client == Client::Cpp { "1" } else { "4" };
    let sent = send(&cluster, client, &[("async", count), ("tags", "TagA")]);
    let mut consumer = consume(&cluster, client, "push", &[("fail", "3")]);
    let wanted = keys(&sent);
    consumer.until("four deliveries of each message", |heard| {
        let attempts = attempts(heard);
        wanted.iter().all(|key| attempts.get(key).is_some_and(|counts| counts.len() >= 4))
    });
    consumer.listen_for(QUIET);
    let heard = consumer.finish();
    for (key, counts) in attempts(&heard) {
        assert_eq!(counts, [0, 1, 2, 3], "{key}");
    }
    let ids: BTreeMap<&str, &str> = sent.iter().map(|event| (text(event, "key"), text(event, "msgId"))).collect();
    for event in messages(&heard) {
        assert_eq!(text(event, "msgId"), ids[text(event, "key")], "the id stays: {event:?}");
        assert_eq!(text(event, "tags"), "TagA");
        if number(event, "reconsume") > 0 {
            let properties = event["properties"].as_object().expect("properties");
            assert!(properties["ORIGIN_MESSAGE_ID"].as_str().is_some_and(|id| id.len() == 32), "{event:?}");
        }
    }
}

fn a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads(client: Client) {
    let cluster = Cluster::configured("dead-letter", &[SHORT_LEVELS]);
    make_group(&cluster, client);
    // The C++ client says nothing of a limit, so that the group's counts; and it gives back all that fail together.
    if client == Client::Cpp {
        admin(&cluster.namesrv, cluster.folder(), &["updateSubGroup", "-c", "DefaultCluster", "-g", GROUP, "-r", "2"]);
    }
    let count = if client == Client::Cpp { "1" } else { "3" };
    let sent = send(&cluster, client, &[("async", count), ("tags", "TagA")]);
    let wanted = keys(&sent);
    let mut consumer = consume(&cluster, client, "push", &[("fail", "1000"), ("max_reconsume", "2")]);
    consumer.until("three deliveries of each message", |heard| {
        let attempts = attempts(heard);
        wanted.iter().all(|key| attempts.get(key).is_some_and(|counts| counts.len() >= 3))
    });
    consumer.listen_for(Duration::from_secs(4));
    let heard = consumer.finish();
    for (key, counts) in attempts(&heard) {
        assert_eq!(counts, [0, 1, 2], "{key}");
    }
    let topic = format!("%DLQ%{GROUP}");
    let mut reader = consume(&cluster, client, "push", &[("group", "reader_of_dead_letters"), ("topic", &topic)]);
    hears_all(&mut reader, &wanted);
    let heard = reader.finish();
    let ids: BTreeMap<&str, &str> = sent.iter().map(|event| (text(event, "key"), text(event, "msgId"))).collect();
    for event in messages(&heard) {
        assert_eq!(text(event, "msgId"), ids[text(event, "key")], "the id stays: {event:?}");
        assert_eq!(event["properties"]["RETRY_TOPIC"], TOPIC, "{event:?}");
    }
}

/// How late a broker with nothing else to do may deliver a delayed message, and a waiting consumer hear of it after that:
/// milliseconds in which the consumer's process was let run.
const LATE_MS: i64 = 1_000;

fn a_delayed_message_is_delivered_when_it_is_due_and_not_before(client: Client) {
    let cluster = Cluster::configured("delay", &[SHORT_LEVELS]);
    // The consumer waits at each of the four queues when it has had a message from each.
    let plain = send(&cluster, client, &[("selector", "4")]);
    let mut consumer = consume(&cluster, client, "push", &[]);
    hears_all(&mut consumer, &keys(&plain));
    let mut sends: Vec<(Event, i64)> = Vec::new();
    for (level, delay, how) in [("1", 1000, "async"), ("3", 2000, "sync")] {
        let sent = send(&cluster, client, &[(how, "5"), ("level", level)]);
        hears_all(&mut consumer, &keys(&sent));
        sends.extend(sent.into_iter().map(|event| (event, delay)));
    }
    let heard = consumer.finish();
    for (sent, delay) in &sends {
        let key = text(sent, "key");
        let got = messages(&heard).into_iter().find(|event| text(event, "key") == key).expect("it was heard");
        let (born, answered) = (number(got, "born"), number(sent, "now"));
        let (stored, now) = (number(got, "stored"), number(got, "now"));
        // The delay begins when the broker stores the message: not before it was made, not after the send was answered.
        assert!(stored >= born + delay, "{key}: stored {} ms after it was made", stored - born);
        let late = awake_ms(&heard, answered + delay, stored);
        let way = awake_ms(&heard, stored, now);
        assert!(late < LATE_MS && way < LATE_MS, "{key}: {late} ms late, {way} ms from there to the consumer");
    }
}

fn orderly_consumers_never_work_on_one_queue_at_the_same_time(client: Client) {
    let cluster = Cluster::start("orderly");
    send(&cluster, client, &[("sync", "4")]);
    let orderly = [("orderly", "true"), ("work_ms", "10")];
    let mut one = consume(&cluster, client, "push", &orderly);
    one.until("its first message", |heard| !messages(heard).is_empty());
    let sent = send(&cluster, client, &[("selector", "400")]);
    let mut two = consume(&cluster, client, "push", &orderly);
    two.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
    let wanted: BTreeSet<String> = keys(&sent);
    let deadline = std::time::Instant::now() + crate::peers::PATIENCE;
    loop {
        one.listen_for(Duration::from_millis(50));
        two.listen_for(Duration::from_millis(50));
        let got: BTreeSet<&str> = one.heard.iter().chain(&two.heard).map(|event| text(event, "key")).collect();
        if wanted.iter().all(|key| got.contains(key.as_str())) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{} of {} received", got.len(), wanted.len());
    }
    let (one, two) = (one.finish(), two.finish());
    // Spans of work per queue, over both consumers: none begins before the one before it has ended.
    let mut spans: BTreeMap<i64, Vec<(i64, i64, i64, usize)>> = BTreeMap::new();
    for (consumer, heard) in [&one, &two].into_iter().enumerate() {
        let ended = of_kind(heard, "worked");
        for begun in messages(heard) {
            let same = |event: &&&Event| event["queue"] == begun["queue"] && event["offset"] == begun["offset"];
            if let Some(end) = ended.iter().find(same) {
                let span = (number(begun, "now"), number(end, "now"), number(begun, "offset"), consumer);
                spans.entry(number(begun, "queue")).or_default().push(span);
            }
        }
    }
    for (queue, mut spans) in spans {
        spans.sort();
        for pair in spans.windows(2) {
            // The C++ client gives its lock back while it still works on the message in hand.
            let handed_over = client == Client::Cpp && pair[0].3 != pair[1].3;
            assert!(pair[0].1 <= pair[1].0 || handed_over, "queue {queue}: {:?} overlaps {:?}", pair[0], pair[1]);
            assert!(pair[1].2 <= pair[0].2 + 1, "queue {queue}: a gap between {:?} and {:?}", pair[0], pair[1]);
        }
    }
}

/// client-go locks its queues and never unlocks them, so that two of them share none before the locks have expired.
fn an_orderly_consumer_locks_its_queues_and_works_through_each_in_order(client: Client) {
    let cluster = Cluster::start("orderly-alone");
    let sent = send(&cluster, client, &[("selector", "200")]);
    let mut consumer = consume(&cluster, client, "push", &[("orderly", "true"), ("work_ms", "2")]);
    hears_all(&mut consumer, &keys(&sent));
    let words = ["consumerStatus", "-g", GROUP, "--output", "json"];
    let told: serde_json::Value =
        serde_json::from_str(&admin(&cluster.namesrv, cluster.folder(), &words)).expect("JSON");
    let queues = told[0]["queues"].as_array().expect("queues").iter().filter(|queue| queue["topic"] == TOPIC);
    let locked: Vec<bool> = queues.map(|queue| queue["locked"] == true).collect();
    assert_eq!(locked, [true; 4], "{told}");
    let heard = consumer.finish();
    let mut next: BTreeMap<i64, i64> = BTreeMap::new();
    for event in heard.iter().filter(|event| matches!(kind(event), "message" | "worked")) {
        let (queue, offset) = (number(event, "queue"), number(event, "offset"));
        let at = next.entry(queue).or_insert(0);
        // Twice the offset when work on a message begins, one more when it ends: nothing in between.
        assert_eq!(*at, offset * 2 + i64::from(kind(event) == "worked"), "queue {queue}");
        *at += 1;
    }
}

fn a_message_is_found_by_its_id_its_unique_key_and_its_key(client: Client) {
    let cluster = Cluster::start("query");
    let sent = send(&cluster, client, &[("sync", "5"), ("batch", "3")]);
    let wanted = &sent[3];
    let arguments =
        [("id", text(wanted, "offsetMsgId")), ("unique", text(wanted, "msgId")), ("key", text(wanted, "key"))];
    let heard = consume(&cluster, client, "query", &arguments).finish();
    for found in ["by_id", "by_unique", "by_key"] {
        let events = of_kind(&heard, found);
        assert_eq!(events.len(), 1, "{found}");
        for field in ["key", "queue", "offset"] {
            assert_eq!(events[0].get(field), wanted.get(field), "{found}");
        }
    }
}

fn a_request_is_answered_to_the_client_that_asked(client: Client) {
    let cluster = Cluster::start("request-reply");
    let mut arguments = vec![("count", "5")];
    if matches!(client, Client::Java(version) if version.starts_with('5')) {
        arguments.push(("callback", "true"));
    }
    let mut talk = consume(&cluster, client, "requestReply", &arguments);
    if client == Client::Go {
        // It asks as soon as the broker knows by a heartbeat where to push the answer.
        talk.until("its start", |heard| heard.iter().any(|event| kind(event) == "started"));
        let members = serde_json::json!({"producerGroup": format!("{GROUP}_asks")});
        let deadline = std::time::Instant::now() + PATIENCE;
        while call(cluster.broker, 204, members.clone()).expect("an answer").header["code"] != 0 {
            assert!(std::time::Instant::now() < deadline, "the broker hears nothing of the producer");
            std::thread::sleep(Duration::from_millis(20));
        }
        talk.go_on();
    }
    let heard = talk.finish();
    let answers: Vec<&str> = of_kind(&heard, "answer").iter().map(|event| text(event, "body")).collect();
    assert_eq!(answers, (0..5).map(|i| format!("answer to question {i}")).collect::<Vec<_>>());
}

/// Instances that share a broker: a client's topic and group carry the name of its namespace, and nobody else's do.
fn a_namespace_keeps_its_topics_for_itself(client: Client) {
    let cluster = Cluster::start("namespace");
    let space = ("namespace", "Instance1");
    let sent = send(&cluster, client, &[("sync", "8"), space]);
    assert_eq!(sent.len(), 8);
    let mut consumer = consume(&cluster, client, "push", &[space]);
    hears_all(&mut consumer, &keys(&sent));
    let heard = consumer.finish();
    // client-go tells its listener the broker's name of the topic, the others take the namespace off.
    let told = if client == Client::Go { format!("Instance1%{TOPIC}") } else { TOPIC.to_owned() };
    assert!(messages(&heard).iter().all(|event| text(event, "topic") == told), "{heard:?}");
    let namesrv = cluster.namesrv.parse().expect("an address");
    assert_eq!(route(namesrv, &format!("Instance1%{TOPIC}")), ["broker-a"]);
    assert_eq!(route(namesrv, TOPIC), Vec::<String>::new(), "no topic without the namespace");
    let groups = call(cluster.broker, 201, serde_json::json!({})).expect("an answer").body;
    let groups = String::from_utf8_lossy(&groups).into_owned();
    assert!(groups.contains(&format!("Instance1%{GROUP}")), "{groups}");
}

/// An address server, as `rocketmq.namesrv.domain` names it: whatever is asked, it answers the list of name servers.
fn address_server(namesrv: &str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{namesrv}", namesrv.len());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            kept.lock().push(lines.next().unwrap_or_default());
            lines.find(String::is_empty);
            // Whoever hangs up without its answer asks again.
            drop((&stream).write_all(answer.as_bytes()));
        }
    });
    (address, asked)
}

fn a_client_of_a_unit_finds_its_name_servers_over_http(client: Client) {
    let cluster = Cluster::start("over-http");
    let (address, asked) = address_server(&cluster.namesrv);
    let (domain, url) = (address.to_string(), format!("http://{address}/rocketmq/nsaddr"));
    let mut arguments = vec![("group", GROUP), ("topic", TOPIC), ("sync", "8")];
    match client {
        Client::Java(_) => arguments.extend([("rocketmq.namesrv.domain", domain.as_str()), ("unit", "unit1")]),
        Client::Go => arguments.extend([("domain", url.as_str()), ("unit", "unit1")]),
        Client::Cpp => arguments.push(("domain", url.as_str())),
    }
    let heard = Talk::start(client, cluster.folder(), "send", &arguments).finish();
    let sent: Vec<Event> = of_kind(&heard, "sent").into_iter().cloned().collect();
    assert!(sent.len() == 8 && sent.iter().all(|event| text(event, "status") == "SEND_OK"), "{sent:?}");
    let mut consumer = Talk::start(client, cluster.folder(), "push", &arguments);
    hears_all(&mut consumer, &keys(&sent));
    consumer.finish();
    let asked = asked.lock();
    assert!(!asked.is_empty());
    if client != Client::Cpp {
        assert!(asked.iter().all(|line| line.contains("nsaddr-unit1")), "the unit's list: {asked:?}");
    }
}

macro_rules! everyday {
    ($module:ident, $client:expr; $($sentence:ident)*) => {
        mod $module {
            use crate::peers::Client;
            $(
                #[test]
                fn $sentence() {
                    super::$sentence($client);
                }
            )*
        }
    };
}

macro_rules! java {
    ($module:ident, $version:expr $(, $more:ident)*) => {
        everyday! { $module, Client::Java($version);
            a_message_that_fails_comes_back_with_its_id_until_it_succeeds
            a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads
            a_delayed_message_is_delivered_when_it_is_due_and_not_before
            orderly_consumers_never_work_on_one_queue_at_the_same_time
            a_message_is_found_by_its_id_its_unique_key_and_its_key
            a_client_of_a_unit_finds_its_name_servers_over_http
            $($more)*
        }
    };
}

java!(java_4_2_0, "4.2.0");
java!(java_4_7_1, "4.7.1", a_request_is_answered_to_the_client_that_asked, a_namespace_keeps_its_topics_for_itself);
java!(java_4_9_7, "4.9.7", a_request_is_answered_to_the_client_that_asked, a_namespace_keeps_its_topics_for_itself);
java!(java_5_3_3, "5.3.3", a_request_is_answered_to_the_client_that_asked, a_namespace_keeps_its_topics_for_itself);
java!(java_5_4_0, "5.4.0", a_request_is_answered_to_the_client_that_asked, a_namespace_keeps_its_topics_for_itself);
everyday! { go_2_1_2, Client::Go;
    a_message_that_fails_comes_back_with_its_id_until_it_succeeds
    a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads
    a_delayed_message_is_delivered_when_it_is_due_and_not_before
    an_orderly_consumer_locks_its_queues_and_works_through_each_in_order
    a_request_is_answered_to_the_client_that_asked
    a_namespace_keeps_its_topics_for_itself
    a_client_of_a_unit_finds_its_name_servers_over_http
}
everyday! { cpp_0_4_4, Client::Cpp;
    a_message_that_fails_comes_back_with_its_id_until_it_succeeds
    a_message_that_always_fails_becomes_a_dead_letter_that_a_plain_consumer_reads
    a_delayed_message_is_delivered_when_it_is_due_and_not_before
    orderly_consumers_never_work_on_one_queue_at_the_same_time
    a_client_of_a_unit_finds_its_name_servers_over_http
}
