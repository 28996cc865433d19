//! The control runtime: two threads beside the event loops for everything that may take long (admin requests, state files,
//! name server calls), with a bound on what is in flight. Never on the path of a message.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// Threads of the control runtime: one may be busy with a long listing while the other answers.
pub const THREADS: usize = 2;

/// Slow requests in flight, from all loops; one more is answered SYSTEM_BUSY. Each holds a connection's request and answer.
pub const IN_FLIGHT_MAX: usize = 256;

/// Bytes of their requests, if nobody says otherwise.
pub const IN_FLIGHT_LEN_MAX: usize = 64 * 1024 * 1024;

/// What a request without a body counts for.
const REQUEST_LEN_MIN: usize = 1024;

/// Threads for blocking calls (state files) started from slow requests.
pub const BLOCKING_THREADS_MAX: usize = 4;

/// How long a thread for blocking calls waits for the next: for good. Tokio panics in whoever asks for one when there is
/// none and the system gives none; while there is one, the call waits for it.
const BLOCKING_THREAD_STAYS: Duration = Duration::from_secs(u32::MAX as u64);

/// Pause before a long-lived task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Runs a long-lived task to its end. One that panics, which only ends a task of this runtime, is said and started anew:
/// a broker whose registrations had ended would go on without clients.
pub async fn kept_up<F: Future<Output = ()> + Send + 'static>(what: &'static str, task: impl Fn() -> F) {
    while let Err(error) = tokio::spawn(task()).await {
        if error.is_cancelled() {
            return;
        }
        tracing::error!("{what} failed on a panic, which is in the log above, and is started again: {error}");
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

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
    /// Room for their requests, in KiB.
    room: Arc<Semaphore>,
    room_max: u32,
}

impl ControlRuntime {
    /// Starts the threads.
    pub fn start() -> Result<ControlRuntime, ControlError> {
        ControlRuntime::bounded(IN_FLIGHT_LEN_MAX)
    }

    /// Starts the threads; slow requests in flight take at most so many bytes together.
    pub fn bounded(in_flight_len_max: usize) -> Result<ControlRuntime, ControlError> {
        let room_max = u32::try_from(in_flight_len_max / REQUEST_LEN_MIN).unwrap_or(u32::MAX).max(1);
        // Tokio panics as well when its first threads cannot be made: ask for as many before.
        let asked: Result<Vec<_>, _> = (0..=THREADS).map(|_| thread::Builder::new().spawn(thread::yield_now)).collect();
        asked?.into_iter().for_each(|thread| drop(thread.join()));
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_keep_alive(BLOCKING_THREAD_STAYS)
            .thread_name("control")
            .enable_all()
            .build()?;
        drop(runtime.spawn_blocking(|| {}));
        let (slow, room) = (Semaphore::new(IN_FLIGHT_MAX), Semaphore::new(room_max as usize));
        let (slow, room) = (Arc::new(slow), Arc::new(room));
        let control = Control { handle: runtime.handle().clone(), slow, room, room_max };
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

    /// Slow requests in flight, of `IN_FLIGHT_MAX`.
    pub fn in_flight(&self) -> usize {
        IN_FLIGHT_MAX - self.slow.available_permits()
    }

    /// Bytes that the requests of slow ones in flight may take, and how many they do.
    pub fn room(&self) -> (u64, u64) {
        let bytes = |kib: usize| (kib * REQUEST_LEN_MIN) as u64;
        let max = self.room_max as usize;
        (bytes(max), bytes(max.saturating_sub(self.room.available_permits())))
    }

    /// Runs a slow request and hands its result to `done`: `None` if it panicked, the message then being in the log.
    /// False, and nothing runs, when as many as allowed are in flight. `request_len` is what the request holds in bytes.
    pub(super) fn run<T: Send + 'static>(
        &self,
        request_len: usize,
        slow: impl Future<Output = T> + Send + 'static,
        done: impl FnOnce(Option<T>) + Send + 'static,
    ) -> bool {
        let Ok(permit) = self.slow.clone().try_acquire_owned() else { return false };
        // One that is larger than all the room runs alone.
        let kib = u32::try_from(request_len.div_ceil(REQUEST_LEN_MIN)).unwrap_or(u32::MAX).clamp(1, self.room_max);
        let Ok(room) = self.room.clone().try_acquire_many_owned(kib) else { return false };
        let running = self.handle.spawn(slow);
        self.handle.spawn(async move {
            done(running.await.ok());
            drop((permit, room));
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_long_lived_task_that_panics_is_started_again_and_one_that_ends_is_not() {
        let control = ControlRuntime::start().unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        control.control().handle().block_on(kept_up("a task that fails once on purpose", move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run > 0, "the first run fails on purpose") }
        }));
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
