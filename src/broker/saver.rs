//! The thread that writes consumer offsets and looked-up groups behind their requests, at most a second late. Knows
//! nothing of what it saves beyond "something changed".

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::handles::Handles;

/// Upper bound of the pause between saves, milliseconds: a kill loses at most this and the time of one save, together
/// less than a second.
const PAUSE_MS_MAX: u64 = 800;

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// The running thread.
pub struct Saver {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

impl Saver {
    /// Starts it.
    pub fn start(handles: Arc<Handles>) -> io::Result<Saver> {
        let stop = Arc::new(Stop::default());
        let watched = stop.clone();
        let thread = std::thread::Builder::new().name("state-saver".into()).spawn(move || run(&handles, &watched))?;
        Ok(Saver { stop, thread })
    }

    /// Ends it. What it has not written yet is `Handles::close`'s matter.
    pub fn stop(self) {
        *self.stop.asked.lock() = true;
        self.stop.changed.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that saves consumer offsets failed; they are saved by the stop itself");
        }
    }
}

fn run(handles: &Handles, stop: &Stop) {
    let mut failing = false;
    loop {
        let interval_ms = handles.config.get().flush_consumer_offset_interval_ms;
        let pause = Duration::from_millis(interval_ms.clamp(1, PAUSE_MS_MAX));
        {
            let mut asked = stop.asked.lock();
            if !*asked {
                stop.changed.wait_for(&mut asked, pause);
            }
            if *asked {
                return;
            }
        }
        let saved = handles.save();
        *handles.stats.save_failure.lock() = saved.as_ref().err().map(ToString::to_string);
        match saved {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("consumer offsets and groups are saved again");
            }
            Ok(()) => {}
            // Said once: it is tried again with every pause, and the last save of a stop reports for itself.
            Err(error) if !failing => {
                failing = true;
                tracing::error!("{error}; consumers would start again from the last saved offsets after a crash");
            }
            Err(_) => {}
        }
    }
}
