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
    patience_ms: AtomicU64,
    born: Instant,
    /// Milliseconds after `born`.
    last_ms: AtomicU64,
}

impl Beat {
    /// A part that beats now. `patience` is how long it may be silent: well above its own interval and the longest
    /// thing that it does between two beats.
    pub fn new(name: impl Into<String>, patience: Duration) -> Beat {
        let (patience_ms, last_ms) = (AtomicU64::new(patience.as_millis() as u64), AtomicU64::new(0));
        Beat(Arc::new(Heart { name: name.into(), patience_ms, born: Instant::now(), last_ms }))
    }

    /// It gets on. One reading of the clock and one store.
    pub fn beat(&self) {
        let now_ms = self.0.born.elapsed().as_millis() as u64;
        if self.0.last_ms.load(Ordering::Relaxed) != ENDED {
            self.0.last_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// It gets on, and may be silent for another time than before until its next beat.
    pub fn beat_for(&self, patience: Duration) {
        self.beat();
        // After the beat, and read before it: a shorter patience never counts from an older beat.
        self.0.patience_ms.store(patience.as_millis() as u64, Ordering::Release);
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
            let patience = Duration::from_millis(part.0.patience_ms.load(Ordering::Acquire));
            let silent = part.silent().filter(|silent| *silent > patience)?;
            let (name, allowed) = (part.name(), patience.as_secs());
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
        hasty.beat_for(Duration::from_secs(3600));
        assert_eq!(pulse.stuck(), None, "it said that it will be silent for longer");
        hasty.end();
        hasty.beat();
        assert_eq!((pulse.stuck(), hasty.silent()), (None, None), "who has ended is not missed");
        assert_eq!(pulse.parts().len(), 2);
    }
}
