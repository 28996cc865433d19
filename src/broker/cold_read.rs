//! Reads that have to wait for the disk: a small pool of threads beside the loops. A full queue is answered as busy, so
//! that a crowd of consumers far behind cannot pile up work for a slow disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::BytesMut;
use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::net::service::ConnId;
use crate::store::Store;

use super::figures::Figures;
use super::pull::ColdRead;
use super::stats::Stats;

/// Threads that read: enough to keep a disk's queue busy, few enough to leave the processors to the loops.
pub const READERS: usize = 4;
/// Reads that may wait for a thread, each of at most one pull's bytes; at 10 ms a read this is some seconds of work.
pub const READS_WAITING_MAX: usize = 1024;

/// Puts a whole frame into the output of a connection.
pub type Post = Arc<dyn Fn(ConnId, BytesMut) + Send + Sync>;

struct Job {
    conn: ConnId,
    read: ColdRead,
}

/// The way to the pool; clone freely. The threads end when the last clone is gone.
#[derive(Clone)]
pub struct ColdReader {
    jobs: SyncSender<Job>,
    figures: Arc<Figures>,
}

impl ColdReader {
    /// Starts the threads; join what is returned after the last `ColdReader` is dropped.
    pub fn start(
        store: Store,
        figures: Arc<Figures>,
        stats: Arc<Stats>,
        clock: Clock,
        post: Post,
    ) -> io::Result<(ColdReader, Vec<JoinHandle<()>>)> {
        let (jobs, waiting) = sync_channel::<Job>(READS_WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::with_capacity(READERS);
        for index in 0..READERS {
            let (waiting, store, post) = (waiting.clone(), store.clone(), post.clone());
            let (figures, stats, clock) = (figures.clone(), stats.clone(), clock.clone());
            let thread = std::thread::Builder::new().name(format!("cold-read-{index}")).spawn(move || {
                while let Some(job) = next(&waiting) {
                    post(job.conn, job.read.run(&store, &stats, &clock));
                    figures.cold_reads.fetch_sub(1, Relaxed);
                }
            })?;
            threads.push(thread);
        }
        Ok((ColdReader { jobs, figures }, threads))
    }

    /// Reads beside the loop and sends the answer; a full queue hands the read back.
    pub fn read(&self, conn: ConnId, read: ColdRead) -> Result<(), ColdRead> {
        // Before it can be done, so that the count never falls below zero.
        self.figures.cold_reads.fetch_add(1, Relaxed);
        self.jobs.try_send(Job { conn, read }).map_err(|error| {
            self.figures.cold_reads.fetch_sub(1, Relaxed);
            match error {
                std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job) => job.read,
            }
        })
    }
}

/// One thread waits in `recv` with the lock held and the others for the lock: a queue with many ends.
fn next(waiting: &Mutex<Receiver<Job>>) -> Option<Job> {
    waiting.lock().recv().ok()
}
