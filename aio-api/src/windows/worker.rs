//! The threads that do what may take as long as a disk: map windows, unmap them, read pieces.
//!
//! Receives jobs through one bounded ring and hands on their outcomes through another; every job has exactly one.
//! It never decides what is mapped, and never touches a socket.

use crossbeam_queue::ArrayQueue;
use naio_dma::{Buffer, Domain, FileWindow, RegionError, WindowError};
use naio_sys::clock;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// Bytes of a piece: what is read at once of a file that cannot be shown to the card.
pub(super) const PIECE_LEN: usize = 64 * 1024;
/// Pieces that are registered at once.
pub(super) const PIECES_AT_ONCE: usize = 16;

/// Something to do, for the slot of that number.
pub(super) enum Job {
    Map {
        slot: usize,
        file: Arc<File>,
        offset: u64,
    },
    Unmap {
        slot: usize,
        window: FileWindow,
    },
    /// Without a buffer, some are registered first.
    Read {
        slot: usize,
        file: Arc<File>,
        offset: u64,
        len: usize,
        buffer: Option<Buffer>,
    },
    #[cfg(test)]
    Panic {
        slot: usize,
    },
}

impl Job {
    fn slot(&self) -> usize {
        match self {
            Job::Map { slot, .. } | Job::Unmap { slot, .. } | Job::Read { slot, .. } => *slot,
            #[cfg(test)]
            Job::Panic { slot } => *slot,
        }
    }
}

/// What became of it.
pub(super) enum Outcome {
    Mapped(Result<FileWindow, WindowError>),
    Unmapped,
    /// Memory (what was lent, or what was registered for it) and how many bytes of the first are the file's.
    Read {
        buffers: Vec<Buffer>,
        got: Result<usize, ErrorKind>,
    },
    NoMemory(RegionError),
    Panicked,
}

struct Rings {
    jobs: ArrayQueue<Job>,
    outcomes: ArrayQueue<(usize, Outcome, Duration)>,
    stop: AtomicBool,
    domain: Domain,
}

impl Rings {
    /// Does one job, if there is any.
    fn work(&self) -> bool {
        let Some(job) = self.jobs.pop() else { return false };
        let slot = job.slot();
        // What a panic leaves behind is dropped with the job; nothing here is used again after it.
        let begin = clock::thread_cpu();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&self.domain, job))).unwrap_or(Outcome::Panicked);
        // As many outcomes fit as there can be jobs: see `Workers::new`.
        let cost = clock::thread_cpu().saturating_sub(begin);
        let pushed = self.outcomes.push((slot, outcome, cost));
        debug_assert!(pushed.is_ok(), "a place for every outcome");
        true
    }
}

/// The threads, and the rings to and from them.
pub(super) struct Workers {
    rings: Arc<Rings>,
    wanted: usize,
    threads: Vec<Thread>,
    /// Jobs without an outcome yet.
    outstanding: usize,
}

impl Workers {
    /// `count` threads, started with the first job; with none, whoever collects outcomes does the jobs. At most
    /// `jobs_max` jobs may be outstanding.
    pub(super) fn new(domain: &Domain, count: usize, jobs_max: usize) -> Workers {
        let rings = Rings {
            jobs: ArrayQueue::new(jobs_max.max(1)),
            outcomes: ArrayQueue::new(jobs_max.max(1)),
            stop: AtomicBool::new(false),
            domain: domain.clone(),
        };
        Workers { rings: Arc::new(rings), wanted: count, threads: Vec::new(), outstanding: 0 }
    }

    /// Has a job done.
    pub(super) fn submit(&mut self, job: Job) {
        if self.threads.is_empty() && self.wanted > 0 {
            self.start();
        }
        self.outstanding += 1;
        // A slot has one job at a time, and the rings hold one for each slot.
        let pushed = self.rings.jobs.push(job);
        debug_assert!(pushed.is_ok(), "a place for every job");
        for thread in &self.threads {
            thread.unpark();
        }
    }

    /// The next outcome, if one is there: of which slot, and what CPU time it took.
    pub(super) fn outcome(&mut self) -> Option<(usize, Outcome, Duration)> {
        if self.outstanding == 0 {
            return None;
        }
        if self.threads.is_empty() {
            self.rings.work();
        }
        let outcome = self.rings.outcomes.pop()?;
        self.outstanding -= 1;
        Some(outcome)
    }

    /// Whether a job has not been collected yet.
    pub(super) fn is_busy(&self) -> bool {
        self.outstanding > 0
    }

    fn start(&mut self) {
        for n in 0..self.wanted {
            let rings = self.rings.clone();
            let body = move || {
                while !rings.stop.load(Ordering::Acquire) {
                    if !rings.work() {
                        std::thread::park();
                    }
                }
            };
            match std::thread::Builder::new().name(format!("naio-file-{n}")).spawn(body) {
                Ok(handle) => self.threads.push(handle.thread().clone()),
                Err(e) => log::warn!("a thread for files cannot be started: {e}"),
            }
        }
        if self.threads.is_empty() {
            log::warn!("files are read by the thread that polls");
            self.wanted = 0;
        }
    }

    #[cfg(test)]
    pub(super) fn watch(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.rings)
    }
}

impl Drop for Workers {
    /// Tells the threads to end and does not wait for a disk: one in the middle of a job ends after it.
    fn drop(&mut self) {
        self.rings.stop.store(true, Ordering::Release);
        for thread in &self.threads {
            thread.unpark();
        }
    }
}

fn run(domain: &Domain, job: Job) -> Outcome {
    match job {
        Job::Map { file, offset, .. } => Outcome::Mapped(FileWindow::map(domain, &file, offset)),
        Job::Unmap { window, .. } => {
            drop(window);
            Outcome::Unmapped
        }
        Job::Read { file, offset, len, buffer, .. } => {
            let mut buffers = match buffer {
                Some(buffer) => vec![buffer],
                None => match Buffer::allocate(domain, PIECES_AT_ONCE, PIECE_LEN) {
                    Ok(buffers) => buffers,
                    Err(e) => return Outcome::NoMemory(e),
                },
            };
            let got = match buffers.first_mut() {
                Some(piece) => read(&file, &mut piece[..len], offset),
                None => Ok(0),
            };
            Outcome::Read { buffers, got }
        }
        #[cfg(test)]
        Job::Panic { .. } => panic!("a test wants to see what then happens"),
    }
}

/// Reads until `into` is full, or the file ends, or an error comes after the first byte; the error comes again.
fn read(file: &File, into: &mut [u8], offset: u64) -> Result<usize, ErrorKind> {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(&mut into[got..], offset.saturating_add(got as u64)) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if got == 0 => return Err(e.kind()),
            Err(_) => break,
        }
    }
    Ok(got)
}
