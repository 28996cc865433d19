//! The clock's door: product code asks a `Clock`, so that tests and the simulator can hold time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC, as in every RocketMQ timestamp.
pub type Millis = u64;

/// Wall clock: the machine's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until somebody moves it.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A manual clock that shows `start`.
    pub fn manual(start: Millis) -> Self {
        Clock::Manual(Arc::new(AtomicU64::new(start)))
    }

    /// Now, in milliseconds since the epoch.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            Clock::Manual(millis) => millis.load(Ordering::Acquire),
        }
    }

    /// Moves a manual clock forward; the machine's clock is left alone.
    pub fn advance(&self, by: Millis) {
        if let Clock::Manual(millis) = self {
            millis.fetch_add(by, Ordering::AcqRel);
        }
    }
}
