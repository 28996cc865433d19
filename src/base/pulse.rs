//! Signs of life: every event loop and the flusher beat while they get on, and whoever must know (`/livez`, a watchdog)
//! asks whether one has stopped. Knows no loop and no store; reads the monotonic clock only, so that a clock that is set
//! stops nobody's heart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the moment of a beat says of a part that has ended on purpose.
const ENDED: u64 = u64::MAX;

/// One part that has to get on. A cheap clone: all clones are the same heart.
#[derive(Clone, Debug)]
pub struct Beat(Arc<Heart>);

#[derive(Debug)]
struct Heart {
    name: String,
    patience: Duration,
    born: Instant,
    /// Milliseconds after `born`.
    last_ms: AtomicU64,
}

impl Beat {
    /// A part that beats now. `patience` is how long it may be silent: well above its own interval and the longest
    /// thing that it does between two beats.
    pub fn new(name: impl Into<String>, patience: Duration) -> Beat {
        Beat(Arc::new(Heart { name: name.into(), patience, born: Instant::now(), last_ms: AtomicU64::new(0) }))
    }

    /// It gets on. One reading of the clock and one store.
    pub fn beat(&self) {
        let now_ms = self.0.born.elapsed().as_millis() as u64;
        if self.0.last_ms.load(Ordering::Relaxed) != ENDED {
            self.0.last_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// It has ended and is not missed: a flusher whose log can no longer be written, a loop that was stopped.
    pub fn end(&self) {
        self.0.last_ms.store(ENDED, Ordering::Relaxed);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How long it has been silent; `None` when it has ended.
    pub fn silent(&self) -> Option<Duration> {
        let last_ms = self.0.last_ms.load(Ordering::Relaxed);
        (last_ms != ENDED).then(|| self.0.born.elapsed().saturating_sub(Duration::from_millis(last_ms)))
    }
}

/// The parts of a process that have to get on. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    parts: Arc<[Beat]>,
}

impl FromIterator<Beat> for Pulse {
    fn from_iter<T: IntoIterator<Item = Beat>>(parts: T) -> Self {
        Pulse { parts: parts.into_iter().collect() }
    }
}

impl Pulse {
    /// The parts.
    pub fn parts(&self) -> &[Beat] {
        &self.parts
    }

    /// What no longer gets on, in words for a person; `None` while everything does.
    pub fn stuck(&self) -> Option<String> {
        let silent = |part: &Beat| {
            let silent = part.silent().filter(|silent| *silent > part.0.patience)?;
            let (name, allowed) = (part.name(), part.0.patience.as_secs());
            Some(format!("{name} has not got on for {} s (allowed: {allowed} s)", silent.as_secs()))
        };
        let told: Vec<_> = self.parts.iter().filter_map(silent).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_too_long_is_named_until_it_beats_or_ends() {
        let (patient, hasty) = (Beat::new("patient", Duration::from_secs(3600)), Beat::new("hasty", Duration::ZERO));
        let pulse: Pulse = [patient, hasty.clone()].into_iter().collect();
        let deadline = Instant::now() + Duration::from_secs(10);
        while pulse.stuck().is_none() {
            assert!(Instant::now() < deadline, "the monotonic clock stands still");
            std::thread::yield_now();
        }
        assert_eq!(pulse.stuck().as_deref(), Some("hasty has not got on for 0 s (allowed: 0 s)"));
        hasty.end();
        hasty.beat();
        assert_eq!((pulse.stuck(), hasty.silent()), (None, None), "who has ended is not missed");
        assert_eq!(pulse.parts().len(), 2);
    }
}
