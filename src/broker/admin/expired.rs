//! What an administrator wants removed because it is too old. Retention is not built: success is answered only when
//! nothing is too old, since a tool prints it as done.

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;

/// Java's default of `fileReservedTime`.
const RESERVED_MS: u64 = 72 * 60 * 60 * 1000;

/// CLEAN_EXPIRED_CONSUMEQUEUE: queues whose messages have all left the log.
pub(super) fn queues(handles: &Handles) -> Answered {
    let store = &handles.store;
    let topics = store.topics();
    let queues = topics.iter().flat_map(|topic| store.queues_of(topic));
    let expired = queues.filter(|queue| queue.max().0 > 0 && queue.min() == queue.max()).count();
    if expired == 0 {
        return Ok(Answer::empty());
    }
    Err(Refusal::system(format!(
        "{expired} queues hold only messages that have left the log; removing queues by age is not built yet, nothing was removed"
    )))
}

/// DELETE_EXPIRED_COMMITLOG: files of the log that are older than 72 hours, but never the newest.
pub(super) fn log(handles: &Handles) -> Answered {
    let store = &handles.store;
    let file_of = |at: u64| at / store.config().log_file_size;
    let earliest = store.earliest_time().map_err(Refusal::system)?.and_then(|at| u64::try_from(at).ok());
    let age_ms = earliest.map_or(0, |at| handles.clock.now().saturating_sub(at));
    if age_ms <= RESERVED_MS || file_of(store.log_min().0) == file_of(store.log_max().0) {
        return Ok(Answer::empty());
    }
    Err(Refusal::system(format!(
        "the oldest message is {} hours old, 72 are kept; removing files of the log by age is not built yet, nothing was removed",
        age_ms / 3_600_000
    )))
}

#[cfg(test)]
mod tests {
    use crate::broker::fixture::Broker;
    use crate::wire::codes::request::{CLEAN_EXPIRED_CONSUMEQUEUE, DELETE_EXPIRED_COMMITLOG, GET_ALL_DELAY_OFFSET};

    #[test]
    fn nothing_is_called_removed_that_is_still_there() {
        let broker = Broker::new("expired");
        assert_eq!(broker.call(1, CLEAN_EXPIRED_CONSUMEQUEUE, &[], &[]).code, 0);
        assert_eq!(broker.call(1, DELETE_EXPIRED_COMMITLOG, &[], &[]).code, 0);
        let body = "x".repeat(100_000);
        for _ in 0..12 {
            broker.put("T", 0, &body, &[]);
        }
        assert_eq!(broker.call(1, CLEAN_EXPIRED_CONSUMEQUEUE, &[], &[]).code, 0);
        assert_eq!(broker.call(1, DELETE_EXPIRED_COMMITLOG, &[], &[]).code, 0, "all of it is new");
        broker.handles.clock.advance(73 * 3_600_000);
        let refused = broker.call(1, DELETE_EXPIRED_COMMITLOG, &[], &[]);
        assert_eq!(refused.code, 1);
        assert!(refused.remark.contains("73 hours old, 72 are kept"), "{}", refused.remark);
    }

    #[test]
    fn the_place_of_each_delay_level_is_told() {
        let broker = Broker::new("delay-offsets");
        let got = broker.call(1, GET_ALL_DELAY_OFFSET, &[], &[]);
        assert_eq!(got.code, 0);
        assert!(got.json()["offsetTable"].is_object(), "{:?}", got.json());
    }
}
