//! Notices queues that wait for a consumer group although members of it are there: each member believes that another one
//! owns the queue, or its owner is stuck. Looks at offsets every ten seconds; costs a pull nothing.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::base::clock::Millis;
use crate::base::position::QueueId;
use crate::wire::body::ConsumeType;

use super::handles::Handles;

/// How long a group may leave messages of a queue alone, milliseconds: three rebalances of a client.
const PATIENCE_MS: Millis = 60_000;
/// Pause between two warnings of one queue, milliseconds.
const WARNING_INTERVAL_MS: Millis = 600_000;
/// Waiting queues that are watched; more are not.
const WATCHED_MAX: usize = 100_000;

/// A queue of a group.
type Place = (String, String, u32);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Where the group is.
    at: i64,
    since: Millis,
    warned: Option<Millis>,
}

/// The queues in which groups have not moved.
#[derive(Debug, Default)]
pub struct Unconsumed {
    waiting: HashMap<Place, Waiting>,
}

impl Unconsumed {
    /// Looks at every group that is online and consumes by itself; warns of what waits too long and counts it.
    pub fn look(&mut self, handles: &Handles, now: Millis) {
        let before = std::mem::take(&mut self.waiting);
        let mut idle = 0;
        for (group, members) in handles.clients.consumer_groups() {
            if members.broadcasting || members.consume_type != ConsumeType::Passively {
                continue;
            }
            for topic in members.subscriptions.keys() {
                let Some(config) = handles.topics.get(topic) else { continue };
                let offsets = handles.offsets.of_topic(&group, topic);
                for id in 0..config.read_queue_nums {
                    let Some(queue) = handles.store.find_queue(topic, QueueId(id)) else { continue };
                    let at = offsets.get(&id).copied().unwrap_or(queue.min().0 as i64);
                    let lag = queue.max().0 as i64 - at;
                    if lag <= 0 || self.waiting.len() >= WATCHED_MAX {
                        continue;
                    }
                    let place = (group.clone(), topic.clone(), id);
                    let stayed = before.get(&place).filter(|waiting| waiting.at == at);
                    let mut waiting = stayed.copied().unwrap_or(Waiting { at, since: now, warned: None });
                    let age_ms = now.saturating_sub(waiting.since);
                    if age_ms >= PATIENCE_MS {
                        idle += 1;
                        if waiting.warned.is_none_or(|at| at + WARNING_INTERVAL_MS <= now) {
                            tracing::warn!(
                                "no member of consumer group {group} has taken anything from queue {id} of topic {topic} \
                                 for {} s, {lag} messages wait: either no member owns the queue (compare their \
                                 subscriptions and client ids) or its owner is stuck",
                                age_ms / 1000
                            );
                            waiting.warned = Some(now);
                        }
                    }
                    self.waiting.insert(place, waiting);
                }
            }
        }
        handles.stats.unconsumed_queues.store(idle, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{Broker, START};
    use crate::wire::codes::request;

    #[test]
    fn a_queue_that_nobody_of_an_online_group_takes_from_is_counted_until_somebody_does() {
        let broker = Broker::new("unconsumed");
        let handles = &broker.handles;
        handles.topics.create_in_send("T", "TBW102", 4, false).unwrap();
        broker.put("T", 1, "a", &[]);
        broker.put("T", 2, "b", &[]);
        let beat = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1,"tagsSet":[],"topic":"T"}],"unitMode":false}],"producerDataSet":[]}"#;
        assert_eq!(broker.call(1, request::HEART_BEAT, &[], beat.as_bytes()).code, 0);
        let mut unconsumed = Unconsumed::default();
        let mut look = |seconds: u64| {
            unconsumed.look(handles, START + seconds * 1000);
            handles.stats.unconsumed_queues.load(Ordering::Relaxed)
        };
        assert_eq!(look(0), 0);
        assert_eq!(look(59), 0, "not yet");
        assert_eq!(look(60), 2);
        handles.offsets.commit("G", "T", QueueId(1), 1);
        assert_eq!(look(70), 1, "one is consumed");
        broker.put("T", 1, "c", &[]);
        assert_eq!(look(80), 1, "its next message has waited a moment only");
        handles.clients.closed(Broker::conn(1).id);
        assert_eq!(look(200), 0, "a group that is away is nobody's fault");
    }
}
