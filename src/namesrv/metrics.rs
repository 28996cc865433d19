//! What a name server tells Prometheus: ONE table of metrics, and where they are read. Its routes are locked for as long as
//! it takes to count them.

use std::sync::Arc;

use crate::base::metrics::{Labels, Page};
use crate::net::control::{self, Control};
use crate::net::server::Watch;

use super::server::Shared;

crate::base::metrics::table! {
    BROKERS = Gauge "rocketmq_namesrv_brokers" ("cluster,broker")
        "Addresses that are registered under a broker name: a master and its slaves.";
    TOPICS = Gauge "rocketmq_namesrv_topics" ("")
        "Topics that have a route.";
    CONNECTIONS = Gauge "rocketmq_namesrv_connections" ("")
        "Open connections.";
    FRAMES = Counter "rocketmq_namesrv_frames_received_total" ("")
        "Requests and answers received.";
    CONNECTIONS_REFUSED = Counter "rocketmq_namesrv_connections_refused_total" ("")
        "Connections that were closed at once because as many as allowed were open.";
    CONNECTIONS_CLOSED = Counter "rocketmq_namesrv_connections_closed_total" ("reason")
        "Connections that a bound closed: idle, unread (what was pushed to it), stalled_frame (while memory was used up).";
    SLOW_REFUSED = Counter "rocketmq_namesrv_slow_requests_refused_total" ("")
        "Registrations, lists and changes refused because as many as allowed were under way.";
    BOUND_LIMIT = Gauge "rocketmq_namesrv_bound_limit" ("bound")
        "What a bound of the name server allows.";
    BOUND_USED = Gauge "rocketmq_namesrv_bound_used" ("bound")
        "How much of a bound is used.";
}

/// The way to a name server's figures.
#[derive(Clone, Debug)]
pub struct Figures {
    pub(super) shared: Arc<Shared>,
}

impl Figures {
    /// Writes everything; `watch` is of its loops.
    pub fn collect(&self, page: &mut Page, watch: &Watch, slow: &Control) {
        let (brokers, topics) = {
            let routes = self.shared.routes.lock();
            let brokers = routes.brokers().iter();
            let brokers: Vec<_> =
                brokers.map(|(name, broker)| (broker.cluster.clone(), name.clone(), broker.addrs.len())).collect();
            (brokers, routes.topics_count())
        };
        let labelled = |(cluster, broker, addresses)| (Labels::of("cluster", cluster).and("broker", broker), addresses);
        page.each(&BROKERS, brokers.into_iter().map(labelled));
        let (counts, limits) = (watch.counts(), watch.limits());
        page.one(&TOPICS, &Labels::none(), topics);
        page.one(&CONNECTIONS, &Labels::none(), counts.connections);
        page.one(&FRAMES, &Labels::none(), counts.frames);
        page.one(&CONNECTIONS_REFUSED, &Labels::none(), counts.connections_refused);
        let closed = |(reason, count)| (Labels::of("reason", reason), count);
        page.each(&CONNECTIONS_CLOSED, counts.closed().into_iter().map(closed));
        page.one(&SLOW_REFUSED, &Labels::none(), counts.slow_refused);
        let (room, room_used) = slow.room();
        let bounds = [
            ("connections", limits.connections_max as u64, counts.connections as u64),
            ("unsent_bytes", limits.unsent_total_max as u64, counts.unsent as u64),
            ("receive_memory_bytes", limits.receive_memory_max as u64, counts.receive_memory as u64),
            ("slow_requests", control::IN_FLIGHT_MAX as u64, slow.in_flight() as u64),
            ("slow_requests_bytes", room, room_used),
        ];
        page.each(&BOUND_LIMIT, bounds.iter().map(|(bound, limit, _)| (Labels::of("bound", bound), limit)));
        page.each(&BOUND_USED, bounds.iter().map(|(bound, _, used)| (Labels::of("bound", bound), used)));
    }
}
