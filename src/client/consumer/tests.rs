//! A member against a broker that a test plays: what it does when the group changes, and what it answers.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::{Condvar, Mutex};

use super::*;
use crate::base::shutdown;
use crate::net::control::ControlRuntime;
use crate::net::limits::Limits;
use crate::net::server::{LoopContext, Running, Server};
use crate::net::service::{Conn, ConnId, Outbox, Outcome, RequestCx, Service};
use crate::wire::body::{BrokerData, QueueData, TopicRouteData};
use crate::wire::command::{Command, FLAG_ONEWAY, write_request, write_response};
use crate::wire::frame::Serialization;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn queues_are_shared_as_javas_clients_share_them() {
    let queues: Vec<u32> = (0..8).collect();
    let members = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(share(&queues, &members, "a"), [0, 1, 2]);
    assert_eq!(share(&queues, &members, "b"), [3, 4, 5]);
    assert_eq!(share(&queues, &members, "c"), [6, 7]);
    assert_eq!(share(&queues, &members, "d"), [0_u32; 0]);
    assert_eq!(share(&queues[..2], &members, "c"), [0_u32; 0]);
}

/// What the played broker saw, and what it says.
#[derive(Default)]
struct Seen {
    addr: String,
    member: Option<(String, ConnId)>,
    forgets: bool,
    others: Vec<String>,
    hellos: usize,
    /// Queue and offset of each pull.
    pulls: Vec<(i64, i64)>,
    /// Queue and offset of each saved offset.
    saved: Vec<(i64, i64)>,
    /// The member's answers.
    answers: Vec<(i32, Vec<u8>)>,
    goodbye: bool,
}

#[derive(Clone, Default)]
struct Played(Arc<(Mutex<Seen>, Condvar)>);

impl Played {
    fn until<T>(&self, what: &str, find: impl Fn(&Seen) -> Option<T>) -> T {
        let mut seen = self.0.0.lock();
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&seen) {
                return found;
            }
            assert!(!self.0.1.wait_until(&mut seen, deadline).timed_out(), "waited in vain: {what}");
        }
    }

    fn ask(&self, running: &Running<()>, code: i32, flag: i32, ext: &[(&str, Value<'_>)], body: &[u8]) {
        let mut frame = BytesMut::new();
        write_request(&mut frame, Serialization::Json, code, 1, flag, ext, body);
        let (_, conn) = self.0.0.lock().member.clone().expect("a member");
        running.mailboxes().post_frame(conn, frame);
    }

    /// Asks the member and waits for its answer.
    fn asked(&self, running: &Running<()>, code: i32) -> (i32, Vec<u8>) {
        self.0.0.lock().answers.clear();
        self.ask(running, code, 0, &[("consumerGroup", Value::Str("G"))], b"");
        self.until("an answer", |seen| seen.answers.first().cloned())
    }
}

impl Service for Played {
    type Mail = ();

    fn request(&mut self, cx: &mut RequestCx<'_>, request: &Command<'_>) -> Outcome {
        let mut seen = self.0.0.lock();
        let field = |name| request.ext.i64(name).unwrap_or(-1);
        let mut body = Vec::new();
        let mut ext = Vec::new();
        match request.code {
            request::GET_ROUTEINFO_BY_TOPIC => {
                let broker = BrokerData {
                    broker_addrs: BTreeMap::from([(0, seen.addr.clone())]),
                    broker_name: "b".to_owned(),
                    ..BrokerData::default()
                };
                let queues = QueueData { broker_name: "b".into(), perm: 6, read_queue_nums: 4, ..QueueData::default() };
                let route = TopicRouteData {
                    broker_datas: vec![broker],
                    queue_datas: vec![queues],
                    ..TopicRouteData::default()
                };
                body = route.to_json();
            }
            request::HEART_BEAT => {
                let heartbeat = HeartbeatData::parse(request.body).unwrap();
                seen.member = Some((heartbeat.client_id, cx.conn.id));
                seen.hellos += 1;
            }
            request::GET_CONSUMER_LIST_BY_GROUP => {
                let forgets = std::mem::take(&mut seen.forgets);
                let own = seen.member.iter().filter(|_| !forgets).map(|(id, _)| id.clone());
                let consumer_id_list = own.chain(seen.others.iter().cloned()).collect();
                body = GetConsumerListByGroupResponseBody { consumer_id_list }.to_json();
            }
            request::QUERY_CONSUMER_OFFSET => ext.push(("offset", Value::I64(3))),
            request::UPDATE_CONSUMER_OFFSET => seen.saved.push((field("queueId"), field("commitOffset"))),
            request::PULL_MESSAGE => {
                seen.pulls.push((field("queueId"), field("queueOffset")));
                self.0.1.notify_all();
                return Outcome::Held;
            }
            request::UNREGISTER_CLIENT => seen.goodbye = true,
            other => panic!("request {other}"),
        }
        write_response(cx.out, request.reply_to(), 0, None, &ext, &body);
        self.0.1.notify_all();
        Outcome::Done
    }

    fn response(&mut self, _: Conn, response: &Command<'_>) {
        self.0.0.lock().answers.push((response.code, response.body.to_vec()));
        self.0.1.notify_all();
    }

    fn mail(&mut self, (): (), _: &mut dyn Outbox) {}
}

#[test]
fn a_member_shares_anew_when_it_is_told_to_and_says_how_it_stands() {
    let control = ControlRuntime::start().unwrap();
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], Limits::default()).unwrap();
    let played = Played::default();
    played.0.0.lock().addr = server.addrs()[0].to_string();
    let service = played.clone();
    let running = server.run(1, Clock::System, control.control(), move |_: LoopContext<()>| service.clone()).unwrap();
    let what = Subscription {
        name_servers: vec![running.addrs()[0].to_string()],
        group: "G".to_owned(),
        topic: "T".to_owned(),
        expression: "a || b".to_owned(),
        from: ConsumeFromWhere::LastOffset,
        retries: false,
    };
    let (trigger, stop) = shutdown::channel();
    let member = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(consume(what, stop, || {}, |_| ControlFlow::Continue(Consumed::Done))).unwrap();
    });
    played.until("four pulls", |seen| (seen.pulls.len() == 4).then_some(()));

    let (code, body) = played.asked(&running, request::GET_CONSUMER_RUNNING_INFO);
    let info = ConsumerRunningInfo::parse(&body).unwrap();
    assert_eq!((code, info.mq_table.len()), (0, 4));
    assert!(info.mq_table.values().all(|queue| queue.commit_offset == 3 && queue.last_pull_timestamp > 0));
    assert_eq!(info.subscription_set[0].tags_set, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(info.properties["PROP_CLIENT_VERSION"], "V5_3_3");

    // Somebody else joins: half of the queues are theirs, long before the next look is due.
    played.0.0.lock().others.push("zzz".to_owned());
    let group = [("consumerGroup", Value::Str("G"))];
    played.ask(&running, request::NOTIFY_CONSUMER_IDS_CHANGED, FLAG_ONEWAY, &group, b"");
    let deadline = std::time::Instant::now() + PATIENCE;
    let status = loop {
        let (code, body) = played.asked(&running, request::GET_CONSUMER_STATUS_FROM_CLIENT);
        let status = GetConsumerStatusBody::parse(&body).unwrap().message_queue_table;
        if status.len() == 2 {
            assert_eq!(code, 0);
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "{status:?}");
    };
    assert_eq!(status.keys().map(|queue| queue.queue_id).collect::<Vec<_>>(), [0, 1]);

    // A reset counts for the queues that it has, at once, although a pull is under way.
    let queue = |queue_id| MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id };
    let offsets = ResetOffsetBody { offset_table: BTreeMap::from([(queue(1), 7), (queue(2), 9)]) }.to_json();
    played.ask(&running, request::RESET_CONSUMER_CLIENT_OFFSET, FLAG_ONEWAY, &group, &offsets);
    played.until("a pull at the new offset", |seen| seen.pulls.contains(&(1, 7)).then_some(()));
    played.until("the new offset is saved", |seen| (seen.saved == [(1, 7)]).then_some(()));
    assert_eq!(played.asked(&running, request::CONSUME_MESSAGE_DIRECTLY).0, response::REQUEST_CODE_NOT_SUPPORTED);

    // The broker has forgotten it, as after a restart: it says hello again and keeps its queues.
    let hellos = {
        let mut seen = played.0.0.lock();
        seen.forgets = true;
        seen.others.clear();
        seen.pulls.clear();
        seen.hellos
    };
    played.ask(&running, request::NOTIFY_CONSUMER_IDS_CHANGED, FLAG_ONEWAY, &group, b"");
    played.until("hello", |seen| (seen.hellos > hellos).then_some(()));
    played.until("the other queues", |seen| (seen.pulls == [(2, 3), (3, 3)]).then_some(()));
    trigger.stop();
    member.join().unwrap();
    assert!(played.0.0.lock().goodbye);
    running.shutdown(Duration::ZERO);
}
