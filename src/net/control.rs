//! The control runtime: two threads beside the event loops for everything that may take long (admin requests, state files,
//! name server calls), with a bound on what is in flight. Never on the path of a message.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// Threads of the control runtime: one may be busy with a long listing while the other answers.
pub const THREADS: usize = 2;

/// Slow requests in flight, from all loops; one more is answered SYSTEM_BUSY. Each holds a connection's request and answer.
pub const IN_FLIGHT_MAX: usize = 256;

/// Threads for blocking calls (state files) started from slow requests.
pub const BLOCKING_THREADS_MAX: usize = 4;

/// The runtime could not be started.
#[derive(Debug, Error)]
#[error("cannot start the control runtime: {0}; check the limits on threads and open files (ulimit -u, ulimit -n)")]
pub struct ControlError(#[from] std::io::Error);

/// Owns the runtime; dropping or shutting it down ends what runs there.
#[derive(Debug)]
pub struct ControlRuntime {
    runtime: Runtime,
    control: Control,
}

/// The way to it; clone freely.
#[derive(Clone, Debug)]
pub struct Control {
    handle: Handle,
    slow: Arc<Semaphore>,
}

impl ControlRuntime {
    /// Starts the threads.
    pub fn start() -> Result<ControlRuntime, ControlError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("control")
            .enable_all()
            .build()?;
        let control = Control { handle: runtime.handle().clone(), slow: Arc::new(Semaphore::new(IN_FLIGHT_MAX)) };
        Ok(ControlRuntime { runtime, control })
    }

    /// The way to it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends it; what is still running after `wait` is dropped at its next await.
    pub fn shutdown(self, wait: Duration) {
        self.runtime.shutdown_timeout(wait);
    }
}

impl Control {
    /// For long-lived tasks (registration, timers), which do not count as slow requests.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a slow request and hands its result to `done`: `None` if it panicked, the message then being in the log.
    /// False, and nothing runs, when as many as allowed are in flight.
    pub(super) fn run<T: Send + 'static>(
        &self,
        slow: impl Future<Output = T> + Send + 'static,
        done: impl FnOnce(Option<T>) + Send + 'static,
    ) -> bool {
        let Ok(permit) = self.slow.clone().try_acquire_owned() else { return false };
        let running = self.handle.spawn(slow);
        self.handle.spawn(async move {
            done(running.await.ok());
            drop(permit);
        });
        true
    }
}
