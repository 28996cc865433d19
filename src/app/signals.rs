//! Signals: SIGINT and SIGTERM ask for a clean stop; a second one, while the stop is under way, ends the process at once.
//! SIGHUP reloads; a terminal that closes sends it too, and does not end a server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::iterator::backend::Handle;

/// The signals that ask for a stop, with their names.
const STOPPING: [(i32, &str); 2] = [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

/// Exit code of a process that a second signal ended: its state on disk is that of a crash.
const ENDED_AT_ONCE: i32 = 130;

/// Signals that were asked for and not yet waited on.
#[derive(Debug)]
pub struct Waiting {
    signals: Signals,
}

/// Ends the waiting from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Handle);

impl Waiting {
    /// Takes over the signals. From here on they are kept until somebody waits.
    pub fn start() -> io::Result<Waiting> {
        let stopping = Arc::new(AtomicBool::new(false));
        for (signal, _) in STOPPING {
            // In this order: the first signal finds the flag unset and sets it, the second finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, stopping.clone())?;
            signal_hook::flag::register(signal, stopping.clone())?;
        }
        Ok(Waiting { signals: Signals::new([SIGHUP, SIGINT, SIGTERM])? })
    }

    /// Something that ends `wait` without a signal.
    pub fn waker(&self) -> Waker {
        Waker(self.signals.handle())
    }

    /// Blocks until a signal asks for the stop; its name. `None` when a waker ended it. SIGHUP calls `reload`.
    pub fn wait(&mut self, reload: impl Fn()) -> Option<&'static str> {
        for signal in self.signals.forever() {
            match STOPPING.iter().find(|(number, _)| *number == signal) {
                Some((_, name)) => return Some(name),
                None => reload(),
            }
        }
        None
    }
}

impl Waker {
    /// Ends the waiting.
    pub fn wake(&self) {
        self.0.close();
    }
}
