//! The settings in force, and how they change while the broker runs (UPDATE_BROKER_CONFIG). Whoever reads them often
//! keeps a `View`, which costs one load of a counter; knows no key and no file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::config::Config;

/// The settings in force.
#[derive(Debug)]
pub struct Live {
    current: RwLock<Arc<Config>>,
    generation: AtomicU64,
    changing: Mutex<()>,
}

impl Live {
    /// The settings of the start.
    pub fn new(config: Arc<Config>) -> Self {
        Live { current: RwLock::new(config), generation: AtomicU64::new(0), changing: Mutex::new(()) }
    }

    /// The settings of this moment.
    pub fn get(&self) -> Arc<Config> {
        self.current.read().clone()
    }

    /// How often they were changed since the start.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes them, or not when `change` fails; one change at a time. `apply` sees the settings before and after, while
    /// nobody else changes them.
    pub fn update<E>(
        &self,
        change: impl FnOnce(&Config) -> Result<Config, E>,
        apply: impl FnOnce(&Config, &Config),
    ) -> Result<(), E> {
        let _one_at_a_time = self.changing.lock();
        let before = self.get();
        let after = Arc::new(change(&before)?);
        *self.current.write() = after.clone();
        self.generation.fetch_add(1, Ordering::Release);
        apply(&before, &after);
        Ok(())
    }
}

/// The settings as one reader knows them.
#[derive(Debug)]
pub struct View {
    config: Arc<Config>,
    generation: u64,
}

impl View {
    /// The settings of this moment.
    pub fn new(live: &Live) -> Self {
        // In this order a change in between is seen by the next `refresh`.
        let generation = live.generation();
        View { config: live.get(), generation }
    }

    /// Takes over what changed; true if something did.
    pub fn refresh(&mut self, live: &Live) -> bool {
        let changed = self.generation != live.generation();
        if changed {
            *self = View::new(live);
        }
        changed
    }

    /// The settings.
    pub fn get(&self) -> &Arc<Config> {
        &self.config
    }
}
